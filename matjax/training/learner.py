"""The learner: what may be seen of a split goes in, a predictor comes out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matjax.config import spec
from matjax.data.domains import domain_labels
from matjax.data.elements import N_ELEMENT
from matjax.data.suggest import suggest_domain
from matjax.graph import CachedGraphs, Shape, cached_graphs, pack, shape_for, sizes_of, to_graph
from matjax.graph import plan as batch_plan
from matjax.keys import child
from matjax.nn import Equivariant, GeometryTensor, Model
from matjax.nn.layout import planned, unplanned
from matjax.nn.sharing import count, repeated
from matjax.risk import Adversarial, Risk, RiskShape
from matjax.thermo import References, fit_references
from matjax.training.epoch import Saving
from matjax.training.fit import Reporter, Task, fit
from matjax.training.growth import check_growth, continued, grown
from matjax.training.head_labels import check_heads, head_constants, heads_of, trained_heads
from matjax.training.labelling import N_DOMAIN, Graphs, Labelling, domain_names
from matjax.training.loss import Loss
from matjax.training.mesh import mesh_of
from matjax.training.optimizer import AdamW, Muon
from matjax.training.predictor import GraphPredictor
from matjax.training.step import Plan, init_members
from matjax.training.supervision import Supervision, default_label, supervision, target_per_atom
from matjax.types import Dataset, Visible


@spec
class GraphLearner:
    """Trains an ensemble of equivariant networks on the visible part of a split.

    Attributes:
      model: The network.
      loss: Loss per crystal.
      risk: What is made of it: ERM, a robust risk, penalties.
      optimizer: AdamW or Muon.
      domain: Domain column that the risk sees; empty to choose from the data.
      label: Label to learn; empty for `energy`, a formation energy or the only scalar label that is not a head's.
      members: Ensemble members.
      members_per_step: Members updated together: 1 is best on a CPU, `members` on a GPU.
      n_epoch: Passes over the training set at most.
      patience: Epochs without improvement before stopping; 0 for never.
      batch_size: Average crystals per batch.
      ema: Decay of the running average of parameters.
      bootstrap: 1.0 for Bayesian bootstrap weights per member, 0.0 for none.
      use_target: Show the unlabelled target crystals to the risk (information level L1).
      shape: Fixed batch shape (n_node, n_edge, n_graph), so that many fits share one program; empty to choose from the data.
      fidelity: Domain column with each crystal's fidelity, for a model with `fidelities`.
      charge: Domain column with each crystal's total charge, for a model with `charge`.
      mesh: (member, data): devices along which the ensemble and every batch are cut, one of them 0 for all that are left; empty for
        one device, or, in a run of several processes, for all of theirs along data. Changes where a fit runs, not what it is.
      accumulate: Batches that make one update, as if they were one batch; needs a risk that is a mean over crystals.
      choose_by: Validation error that chooses the epoch: "mean" over all crystals, that of the "worst_domain", "mean_of_domains".
      matmul: Precision of matrix products in training: "default" (the platform's), "float32", "tensorfloat32" or "bfloat16".
      augment: Adversarial deformation of the crystals of a batch, or None.
      graph_cache: Folder that keeps the neighbours of the crystals from one run to the next and feeds training from disk, for sets that
        do not fit memory; empty for memory. No result depends on it, but a fit is resumed with the choice it began with.
    """

    model: Equivariant | GeometryTensor = dataclasses.field(default_factory=Equivariant)
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
    fidelity: str = ""
    charge: str = ""
    mesh: tuple[int, ...] = ()
    accumulate: int = 1
    choose_by: str = "mean"
    matmul: str = "default"
    augment: Adversarial | None = None
    graph_cache: str = ""

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
        saving: Saving | None = None,
    ) -> GraphPredictor:
        """Fits, with what a call cannot say.

        Args:
          visible: Training, validation and target crystals.
          key: Randomness of the fit.
          held_from: Bit mask per training crystal [n_train]: bit m keeps it from member m (cross-fitting over domains).
          start: Ensemble to go on from, with the same model and as many members, or one that all start from: its parameters,
            references, scale and batch shape are kept, its optimizer is not. The model may have other heads and further conditions than
            it had.
          run_dir: Where to keep a state that can be resumed.
          report: Called with a record per epoch.
          saving: How often a run with a folder also saves within an epoch.

        Raises:
          ValueError: If labels are missing, the set is empty, the cutoff leaves every atom alone, or `start` is another model.
        """
        mesh = mesh_of(self.mesh, self.members)
        if start is not None:
            self._check_start(start)
            start = dataclasses.replace(start, params=repeated(start.params, self.members))
        label, taught = self._taught(visible.train, start)
        labelling = self._labelling(visible.train, label, start)
        train, validation = self._train_graphs(labelling, visible, held_from), labelling.graphs(visible.validation)
        every = np.concatenate([sizes_of(train), sizes_of(validation)])
        constants, shape = self._constants(visible.train, train, start), self._shape(every, start)
        model = planned(self.model, every, shape) if mesh is None else unplanned(self.model, int(every[:, 0].max()))
        derivatives = tuple(d for d in ("forces", "stress") if d in taught.has)
        own = None
        if held_from is not None and label:  # a member's references must not know the domains that are held from it
            own = self._own_references(visible.train, label, labelling.references, held_from)
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
            mesh=mesh,
            choose_by=self.choose_by,
            matmul=self.matmul,
        )
        params, history = self._train(task, model, own, start, key, run_dir, report, saving)
        return GraphPredictor(model, params, constants, labelling.references, taught, shape, history, own)

    def shape_for(self, dataset: Dataset) -> GraphLearner:
        """The same learner with its batch shape fixed for this data set, so that every split of it shares one program."""
        cutoff, crystals = self.model.cutoff, dataset.crystals
        cached = cached_graphs(crystals, cutoff, self.graph_cache) if self.graph_cache else None
        graphs = [to_graph(c, cutoff=cutoff) for c in crystals] if cached is None else cached
        return dataclasses.replace(self, shape=tuple(shape_for(graphs, self.batch_size)))

    def _taught(self, train: Dataset, start: GraphPredictor | None) -> tuple[str, Supervision]:
        """The label of the energy, empty if there is none, and all that the data teach."""
        heads = heads_of(self.model)
        names = tuple(h.name for h in heads)
        label = self.label or default_label(train, names)
        if start is None:
            check_heads(train, heads, label)
        if not label and not trained_heads(train, heads):
            raise ValueError("nothing to learn: the data have neither a label nor a labelled head")
        taught = supervision(train, label, tuple(h.name for h in trained_heads(train, heads)))
        return label, taught if start is None else continued(start, taught, train)

    def _labelling(self, train: Dataset, label: str, start: GraphPredictor | None) -> Labelling:
        """How crystals become labelled graphs."""
        column = self.domain or suggest_domain(train)
        references = self._references(train, label) if start is None else start.references
        names = domain_names(domain_labels(train, column))
        heads = trained_heads(train, heads_of(self.model))
        return Labelling(label, references, column, names, self.model, heads, self.fidelity, self.charge, self.graph_cache)

    def _shape(self, sizes: np.ndarray, start: GraphPredictor | None) -> Shape:
        """The shape of batches: the one that is set or was, where the crystals fit."""
        shape = Shape(*self.shape) if self.shape else shape_for(sizes, self.batch_size)
        if start is None:
            return shape
        need = shape_for(sizes, 1)
        return start.shape if start.shape.n_node >= need.n_node and start.shape.n_edge >= need.n_edge else shape

    def _constants(self, dataset: Dataset, train: Graphs, start: GraphPredictor | None) -> dict[str, Any]:
        """What the network knows of the training set beside its weights."""
        sizes = sizes_of(train)
        degree = sizes[:, 1].sum() / sizes[:, 0].sum()
        if degree == 0:
            raise ValueError(f"cutoff {self.model.cutoff} Å leaves every atom of the training set without a neighbour; raise model.cutoff")
        constants = {"average_degree": jnp.float32(degree), "scale": jnp.float32(_scale(train))}
        constants |= head_constants(dataset, heads_of(self.model))
        return constants if start is None else {name: start.constants.get(name, value) for name, value in constants.items()}

    def _train_graphs(self, labelling: Labelling, visible: Visible, held_from: np.ndarray | None) -> Graphs:
        """Labelled graphs, and those of target crystals where the risk is shown them."""
        train = labelling.graphs(visible.train, held_from=held_from)
        if not self.use_target:
            return train
        if not len(visible.target):
            raise ValueError("use_target is on but the split has no target crystals; set sizes.target above 0")
        return train + labelling.unlabelled(visible.target, first=len(train))  # type: ignore[operator] (both are of one kind)

    def _references(self, train: Dataset, label: str) -> References:
        """References fitted on these crystals; zero where heads alone are learned."""
        if not label:
            return References(np.zeros(N_ELEMENT + 1))
        return fit_references(train.crystals, target_per_atom(train, label), physical=self.model.physical)

    def _own_references(self, train: Dataset, label: str, common: References, held_from: np.ndarray) -> np.ndarray:
        """What each member's references add to the common ones [n_member, n_element]."""
        rows = [np.flatnonzero((held_from >> m) & 1 == 0) for m in range(self.members)]
        return np.stack([self._references(train.select(seen), label).energies - common.energies for seen in rows])

    def _check_start(self, start: GraphPredictor) -> None:
        members = count(start.params)
        if members not in (1, self.members):
            raise ValueError(f"start has {members} members; this learner trains {self.members}")
        if members < self.members and self.bootstrap == 0:
            raise ValueError(f"{self.members} members that start as one would stay equal; set bootstrap = 1.0, or members = 1")
        check_growth(start.model, self.model)

    def _train(
        self,
        task: Task,
        model: Model,
        own: np.ndarray | None,
        start: GraphPredictor | None,
        key: jax.Array,
        run_dir: Path | None,
        report: Reporter | None,
        saving: Saving | None,
    ):
        first = pack([task.train[0]], task.shape, cutoff=model.cutoff)
        n_batch = sum(1 for _ in batch_plan(sizes_of(task.train), task.shape))
        n_step = float(self.n_epoch * -(-n_batch // self.accumulate))
        plan = Plan(
            self.loss, self.risk, self.optimizer, n_step, self.ema, self.bootstrap, accumulate=self.accumulate, augment=self.augment
        )
        k_init, k_order = child(key, "init"), child(key, "order")
        keys = jax.random.key_data(jax.random.split(k_init, self.members))
        n_feature = jax.eval_shape(lambda g: model.apply(model.init(jax.random.key(0), g), g).features, first).shape[-1]
        members = init_members(keys, first, plan, model=model, risk_shape=RiskShape(N_DOMAIN, n_feature))
        if own is not None:
            members = members._replace(reference=jnp.asarray(own, jnp.float32))
        if start is not None:
            members = members._replace(params=grown(members.params, start.params), average=grown(members.average, start.params))
        return fit(task, members, plan, model, k_order, run_dir=run_dir, report=report, saving=saving)


def _scale(graphs: Graphs) -> float:
    """Energy per unit of the network, eV: the larger of the root mean square force (times 1 Å) and the spread per atom."""
    labelled = list(graphs.without_edges() if isinstance(graphs, CachedGraphs) else graphs)
    forces = [g.nodes.forces for g in labelled if g.globals.has_forces[0]]
    energies = np.array([g.globals.energy[0] / g.n_node[0] for g in labelled if g.globals.has_energy[0]])
    size = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else 0.0
    value = max(size, float(energies.std()) if len(energies) else 0.0)
    return value if np.isfinite(value) and value > 1e-6 else 1.0
