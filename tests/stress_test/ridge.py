"""A learner without a network: a bootstrap of composition ridges, fast enough to run whole stress tests on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np
from sklearn.linear_model import Ridge

from matjax.data.descriptors import composition_features
from matjax.keys import generator
from matjax.types import Crystal, Prediction, Visible

LABEL = "formation_energy_per_atom"


@dataclasses.dataclass(frozen=True, eq=False)
class RidgePredictor:
    models: tuple[Ridge, ...]

    def __call__(self, crystals: Sequence[Crystal]) -> Prediction:
        features = composition_features(crystals)
        return Prediction(np.stack([m.predict(features) for m in self.models]), features=features[:, :8], label=LABEL)

    def member(self, number: int) -> Callable[[Sequence[Crystal]], Prediction]:
        return RidgePredictor(self.models[number : number + 1])


@dataclasses.dataclass(frozen=True)
class RidgeEnsemble:
    members: int = 3
    strength: float = 1e-2
    label: str = LABEL
    domain: str = "anion"
    fails: bool = False

    def fit(self, visible: Visible, key: jax.Array, *, held_from: np.ndarray | None = None, report=None) -> RidgePredictor:
        if self.fails:
            raise FloatingPointError("12 of 12 updates were skipped")
        features, target = composition_features(visible.train.crystals), visible.train.labels[LABEL]
        draw, models = generator(key), []
        for m in range(self.members):
            seen = np.flatnonzero(np.ones(len(target), bool) if held_from is None else (held_from >> m) & 1 == 0)
            rows = draw.choice(seen, len(seen))
            models.append(Ridge(alpha=self.strength).fit(features[rows], target[rows]))
        if report is not None:
            report({"epoch": 1, "n_epoch": 1, "risk": 0.0, "validation": 0.0, "seconds": 0.0, "last": True})
        return RidgePredictor(tuple(models))
