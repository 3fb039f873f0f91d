"""A learner on fixed features: descriptors, or what a pretrained potential makes of a crystal; seconds where a network takes minutes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matjax.config import spec
from matjax.data.descriptors import element_fractions, property_statistics
from matjax.data.domains import domain_labels
from matjax.data.suggest import suggest_domain
from matjax.graph.descriptors import structure_descriptors
from matjax.risk import CMixup, Risk
from matjax.training.head_network import HeadNetwork, Heads, Pace, fit_heads, predict_heads
from matjax.training.head_rows import Rows, padded_rows, shape_of, stacked
from matjax.training.labelling import N_DOMAIN, OTHERS, domain_names
from matjax.training.loss import Loss
from matjax.training.optimizer import AdamW, Muon
from matjax.training.step import Plan
from matjax.training.supervision import Supervision, default_label, supervision, target_per_atom
from matjax.types import Crystal, Dataset, Prediction, Visible

Features = Callable[[Sequence[Crystal]], np.ndarray]


def structures(crystals: Sequence[Crystal]) -> np.ndarray:
    """Structure descriptors of crystals [n, n_feature]."""
    return np.stack([structure_descriptors(crystal) for crystal in crystals])


PARTS: dict[str, Features] = {
    "composition": lambda crystals: property_statistics(element_fractions(crystals)),
    "elements": element_fractions,
    "structure": structures,
}
"""Features by name; `+` joins them. `elements` is one-hot: it knows nothing of an element that it has not seen."""


def features_of(features: str | Features, crystals: Sequence[Crystal]) -> np.ndarray:
    """Features [n, n_feature], float32, by name (`composition+structure`) or by a function of crystals.

    Raises:
      ValueError: If a name is unknown, or a feature is not finite, naming the crystal.
    """
    if isinstance(features, str):
        unknown = [name for name in features.split("+") if name not in PARTS]
        if unknown:
            raise ValueError(f"unknown features {unknown[0]!r} in {features!r}; allowed, joined by +: {', '.join(PARTS)}; or a function")
        found = np.concatenate([PARTS[name](crystals) for name in features.split("+")], 1)
    else:
        found = np.asarray(features(crystals))
        if found.ndim != 2 or len(found) != len(crystals):
            raise ValueError(f"the function of crystals gave features of shape {found.shape}; {len(crystals)} rows of numbers are needed")
    if not np.isfinite(found).all():
        raise ValueError(f"crystal {np.flatnonzero(~np.isfinite(found).all(1))[0]} has features that are not finite; leave it out")
    return found.astype(np.float32)


@spec
class HeadLearner:
    """Trains an ensemble of small networks on fixed features of the visible part of a split.

    Attributes:
      features: `composition` (statistics of elemental properties), `elements` (one-hot fractions), `structure`, joined by
        `+`; or a function of crystals, such as the latent features of a pretrained potential.
      network: The network.
      loss: Loss per crystal; its energy part is the label's.
      risk: What is made of it: ERM, a robust risk, penalties.
      optimizer: AdamW or Muon.
      pace: How long a fit is.
      domain: Domain column that the risk sees; empty to choose from the data.
      label: Label to learn; empty for `energy`, a formation energy or the only scalar label.
      members: Ensemble members.
      ema: Decay of the running average of parameters.
      bootstrap: 1.0 for Bayesian bootstrap weights per member, 0.0 for none.
      use_target: Show the unlabelled target crystals to the risk (information level L1).
      augment: Mixup of the rows of a batch, or None.
    """

    features: str | Features = "composition+structure"
    network: HeadNetwork = HeadNetwork()
    loss: Loss = Loss()
    risk: Risk = Risk()
    optimizer: AdamW | Muon = AdamW(learning_rate=1e-2)
    pace: Pace = Pace()
    domain: str = ""
    label: str = ""
    members: int = 5
    ema: float = 0.95
    bootstrap: float = 0.0
    use_target: bool = False
    augment: CMixup | None = None

    def __call__(self, visible: Visible, key: jax.Array) -> HeadPredictor:
        """Fits the visible part of a split."""
        return self.fit(visible, key)

    def fit(
        self,
        visible: Visible,
        key: jax.Array,
        *,
        held_from: np.ndarray | None = None,
        report: Callable[[dict[str, Any]], None] | None = None,
    ) -> HeadPredictor:
        """Fits all members in one call.

        Args:
          visible: Training, validation and target crystals.
          key: Randomness of the fit.
          held_from: Bit mask per training crystal [n_train]: bit m keeps it from member m; the last epoch is then taken, since
            validation crystals share domains with those that are held.
          report: Called once, with the epochs that were chosen and their validation error.

        Raises:
          ValueError: If labels are missing, a member has nothing to learn from, or target crystals are wanted and there are none.
        """
        label = self.label or default_label(visible.train)
        if self.use_target and not len(visible.target):
            raise ValueError("use_target is on but the split has no target crystals; set sizes.target above 0")
        taught = supervision(dataclasses.replace(visible.train, labels={label: visible.train.labels[label]}), label)
        parts = [visible.train, visible.validation, *([visible.target] if self.use_target else [])]
        x = features_of(self.features, [crystal for part in parts for crystal in part.crystals])
        y = np.concatenate([target_per_atom(part, label) if part.labels else np.full(len(part), np.nan) for part in parts])
        rows = stacked([self._rows(m, parts, y, held_from) for m in range(self.members)])
        keys = jax.random.key_data(jax.random.split(key, self.members))
        pad = shape_of(len(x)) - len(x)
        table = np.pad(x, ((0, pad), (0, 0))), np.pad(y, (0, pad)).astype(np.float32)
        heads = fit_heads(*table, rows, stacked([self.plan] * self.members), keys, **self.structure, n_domain=N_DOMAIN)
        if report is not None:
            report({"epoch": int(np.mean(heads.epoch)), "validation_mae": float(np.mean(heads.error))})
        return HeadPredictor(self.features, self.network, heads, taught)

    @property
    def plan(self) -> Plan:
        """What an update depends on."""
        return Plan(self.loss, self.risk, self.optimizer, float(self.pace.n_step), self.ema, self.bootstrap, augment=self.augment)

    @property
    def structure(self) -> dict[str, Any]:
        """The static settings of a fit."""
        return {"network": self.network, "pace": self.pace}

    def shape_for(self, dataset: Dataset) -> HeadLearner:
        """The same learner: shapes of tables are rounded up, so that splits share programs as they are."""
        return self

    def _rows(self, member: int, parts: Sequence[Dataset], y: np.ndarray, held_from: np.ndarray | None) -> Rows:
        """Rows of one member: crystals with a label that are not held from it, and all target crystals."""
        train, n, n_seen = parts[0], len(parts[0]), len(parts[0]) + len(parts[1])
        held = np.zeros(n, bool) if held_from is None else (held_from >> member) & 1 == 1
        seen = np.flatnonzero(np.isfinite(y[:n]) & ~held)
        if not len(seen):
            raise ValueError(f"member {member} has nothing to learn from: its {n} training crystals have no label, or are held from it")
        labels = domain_labels(train, self.domain or suggest_domain(train))
        place = {name: i for i, name in enumerate(domain_names(labels))}
        return padded_rows(
            seen,
            np.arange(n, n_seen) if held_from is None else np.zeros(0, int),
            target=np.arange(n_seen, len(y)),
            domain=np.array([place.get(str(labels[i]), OTHERS) for i in seen]),
            n_domain=N_DOMAIN,
            shape=(shape_of(n + len(y) - n_seen), shape_of(len(parts[1]))),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class HeadPredictor:
    """Ensemble of networks on fixed features: crystals in, samples out.

    Attributes:
      features: What the networks see of a crystal.
      network: The network.
      heads: The trained members.
      supervision: What they were trained on.
    """

    features: str | Features
    network: HeadNetwork
    heads: Heads
    supervision: Supervision

    def __call__(self, crystals: Sequence[Crystal]) -> Prediction:
        """Predicts crystals.

        Raises:
          ValueError: If there are none.
        """
        if not len(crystals):
            raise ValueError("no crystals to predict; the list is empty")
        n, x = len(crystals), features_of(self.features, crystals)
        mean, noise, latent = predict_heads(self.heads, np.pad(x, ((0, shape_of(n) - n), (0, 0))), network=self.network)
        return Prediction(
            samples=np.asarray(mean, np.float64)[:, :n],
            noise=None if noise is None else np.sqrt((np.asarray(noise, np.float64)[:, :n] ** 2).mean(0)),
            features=np.asarray(latent)[0, :n],
            n_atom=np.array([len(c) for c in crystals]),
            label=self.supervision.label,
            unit=self.supervision.unit,
        )

    def member(self, number: int) -> HeadPredictor:
        """One member as a predictor of its own, with its own latent features."""
        return dataclasses.replace(self, heads=jax.tree.map(lambda leaf: jnp.asarray(leaf)[number : number + 1], self.heads))
