"""The learner: what may be seen of a split goes in, a predictor comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from matjax.config import spec
from matjax.data.domains import domain_labels
from matjax.data.suggest import suggest_domain
from matjax.graph import Shape, batches, pack, shape_for, to_graph
from matjax.keys import child
from matjax.nn import Equivariant
from matjax.risk import Risk, RiskShape
from matjax.thermo import References, fit_references
from matjax.training.fit import Reporter, Task, fit
from matjax.training.labelling import N_DOMAIN, Labelling, domain_names
from matjax.training.loss import Loss
from matjax.training.optimizer import AdamW, Muon
from matjax.training.predictor import GraphPredictor
from matjax.training.step import Plan, init_members
from matjax.training.supervision import default_label, supervision, target_per_atom
from matjax.types import Dataset, Graph, Visible


@spec
class GraphLearner:
    """Trains an ensemble of equivariant networks on the visible part of a split.

    Attributes:
      model: The network.
      loss: Loss per crystal.
      risk: What is made of it: ERM, a robust risk, penalties.
      optimizer: AdamW or Muon.
      domain: Domain column that the risk sees; empty to choose from the data.
      label: Label to learn; empty for `energy`, a formation energy or the only scalar label.
      members: Ensemble members.
      members_per_step: Members updated together: 1 is best on a CPU, `members` on a GPU.
      n_epoch: Passes over the training set at most.
      patience: Epochs without improvement before stopping; 0 for never.
      batch_size: Average crystals per batch.
      ema: Decay of the running average of parameters.
      bootstrap: 1.0 for Bayesian bootstrap weights per member, 0.0 for none.
      use_target: Show the unlabelled target crystals to the risk (information level L1).
      shape: Fixed batch shape (n_node, n_edge, n_graph), so that many fits share one program; empty to choose from the data.
    """

    model: Equivariant = dataclasses.field(default_factory=Equivariant)
    loss: Loss = dataclasses.field(default_factory=Loss)
    risk: Risk = dataclasses.field(default_factory=Risk)
    optimizer: AdamW | Muon = dataclasses.field(default_factory=Muon)
    domain: str = ""
    label: str = ""
    members: int = 3
    members_per_step: int = 1
    n_epoch: int = 12
    patience: int = 0
    batch_size: int = 16
    ema: float = 0.99
    bootstrap: float = 0.0
    use_target: bool = False
    shape: tuple[int, ...] = ()

    def __call__(self, visible: Visible, key: jax.Array) -> GraphPredictor:
        """Fits the visible part of a split."""
        return self.fit(visible, key)

    def fit(
        self,
        visible: Visible,
        key: jax.Array,
        *,
        held_from: np.ndarray | None = None,
        start: GraphPredictor | None = None,
        run_dir: Path | None = None,
        report: Reporter | None = None,
    ) -> GraphPredictor:
        """Fits, with what a call cannot say.

        Args:
          visible: Training, validation and target crystals.
          key: Randomness of the fit.
          held_from: Bit mask per training crystal [n_train]: bit m keeps it from member m (cross-fitting over domains).
          start: Ensemble to go on from, with the same model and number of members: its parameters, references, scale and batch
            shape are kept, its optimizer is not.
          run_dir: Where to keep a state that can be resumed.
          report: Called with a record per epoch.

        Raises:
          ValueError: If labels are missing, the set is empty, the cutoff leaves every atom alone, or `start` is another model.
        """
        if start is not None:
            self._check_start(start)
        label = self.label or default_label(visible.train)
        taught = supervision(visible.train, label)
        column = self.domain or suggest_domain(visible.train)
        fitted = lambda: fit_references(visible.train.crystals, target_per_atom(visible.train, label), physical=self.model.physical)
        references = fitted() if start is None else start.references
        names = domain_names(domain_labels(visible.train, column))
        labelling = Labelling(label, references, column, names, self.model.cutoff)
        train = labelling.graphs(visible.train, held_from=held_from)
        if self.use_target:
            if not len(visible.target):
                raise ValueError("use_target is on but the split has no target crystals; set sizes.target above 0")
            train += labelling.unlabelled(visible.target, first=len(train))
        validation = labelling.graphs(visible.validation)
        degree = sum(int(g.n_edge[0]) for g in train) / sum(int(g.n_node[0]) for g in train)
        if degree == 0:
            raise ValueError(f"cutoff {self.model.cutoff} Å leaves every atom of the training set without a neighbour; raise model.cutoff")
        shape = Shape(*self.shape) if self.shape else shape_for(train + validation, self.batch_size)
        constants = {"average_degree": jnp.float32(degree), "scale": jnp.float32(_scale(train))}
        if start is not None:
            need = shape_for(train + validation, 1)
            shape = start.shape if start.shape.n_node >= need.n_node and start.shape.n_edge >= need.n_edge else shape
            constants = start.constants
        derivatives = tuple(d for d in ("forces", "stress") if d in taught.has)
        own = None
        if held_from is not None:  # a member's references must not know the domains that are held from it
            own = self._own_references(visible.train, label, references, held_from)
        task = Task(
            train=train,
            validation=validation,
            shape=shape,
            constants=constants,
            derivatives=derivatives,
            n_epoch=self.n_epoch,
            patience=0 if held_from is not None else self.patience,
            members_per_step=self.members_per_step,
            names=visible.train.ids + (visible.target.ids if self.use_target else ()),
            last=held_from is not None,  # validation crystals share domains with those held from a member
        )
        params, history = self._train(task, own, start, key, run_dir, report)
        return GraphPredictor(self.model, params, constants, references, taught, shape, history, own)

    def shape_for(self, dataset: Dataset) -> GraphLearner:
        """The same learner with its batch shape fixed for this data set, so that every split of it shares one program."""
        graphs = [to_graph(c, cutoff=self.model.cutoff) for c in dataset.crystals]
        return dataclasses.replace(self, shape=tuple(shape_for(graphs, self.batch_size)))

    def _own_references(self, train: Dataset, label: str, common: References, held_from: np.ndarray) -> np.ndarray:
        """What each member's references add to the common ones [n_member, n_element]."""
        rows = [np.flatnonzero((held_from >> m) & 1 == 0) for m in range(self.members)]
        parts = [train.select(seen) for seen in rows]
        fitted = [fit_references(p.crystals, target_per_atom(p, label), physical=self.model.physical) for p in parts]
        return np.stack([f.energies - common.energies for f in fitted])

    def _check_start(self, start: GraphPredictor) -> None:
        members = jax.tree.leaves(start.params)[0].shape[0]
        if members != self.members:
            raise ValueError(f"start has {members} members; this learner trains {self.members}")
        if start.model != self.model:
            raise ValueError(f"start is another network than this learner trains: {start.model} is not {self.model}")

    def _train(
        self,
        task: Task,
        own: np.ndarray | None,
        start: GraphPredictor | None,
        key: jax.Array,
        run_dir: Path | None,
        report: Reporter | None,
    ):
        first = pack(task.train[:1], task.shape, cutoff=self.model.cutoff)
        n_step = float(self.n_epoch * sum(1 for _ in batches(task.train, task.shape, cutoff=self.model.cutoff)))
        plan = Plan(self.loss, self.risk, self.optimizer, n_step, self.ema, self.bootstrap)
        k_init, k_order = child(key, "init"), child(key, "order")
        keys = jax.random.key_data(jax.random.split(k_init, self.members))
        n_feature = jax.eval_shape(lambda g: self.model.init_with_output(jax.random.key(0), g)[0].features, first).shape[-1]
        members = init_members(keys, first, plan, model=self.model, risk_shape=RiskShape(N_DOMAIN, n_feature))
        if own is not None:
            members = members._replace(reference=jnp.asarray(own, jnp.float32))
        if start is not None:  # copies, since the training step donates its members
            members = members._replace(params=jax.tree.map(jnp.array, start.params), average=jax.tree.map(jnp.array, start.params))
        return fit(task, members, plan, self.model, k_order, run_dir=run_dir, report=report)


def _scale(graphs: Sequence[Graph]) -> float:
    """Energy per unit of the network, eV: the larger of the root mean square force (times 1 Å) and the spread per atom."""
    forces = [g.nodes.forces for g in graphs if g.globals.has_forces[0]]
    energies = np.array([g.globals.energy[0] / g.n_node[0] for g in graphs if g.globals.has_energy[0]])
    size = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else 0.0
    value = max(size, float(energies.std()))
    return value if np.isfinite(value) and value > 1e-6 else 1.0
