"""Baselines that know only the composition: what a model of crystals has to beat on every row.

Each is a spec with `fit(crystals, target, key)`, which gives a function of crystals. One core, seconds per thousand
crystals, no structure, no tuning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import jax
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from matjax.config import spec
from matjax.data.descriptors import composition_features
from matjax.keys import generator
from matjax.types import Crystal

FittedBaseline = Callable[[Sequence[Crystal]], np.ndarray]


class Baseline(Protocol):
    """Settings of a baseline."""

    def fit(self, crystals: Sequence[Crystal], target: np.ndarray, key: jax.Array) -> FittedBaseline:
        """Learns target [n] from crystals; gives a function of crystals to predictions [n]."""
        ...


@spec
class CompositionTrees:
    """Gradient-boosted trees on composition features: the strongest of the three inside the training domains.

    Settings and features were compared on test crystals of the embedded set, in the baseline's favour. Trees cannot
    extrapolate: with fluorides held out `CompositionRidge` has less than half their error.

    Attributes:
      n_tree: Boosting rounds.
      step_size: Shrinkage of each tree.
      max_leaves: Leaves per tree.
      max_features: Share of features that each split looks at.

    Source:
      Ke et al. (2017), LightGBM, by scikit-learn's histogram gradient boosting.
    """

    n_tree: int = 300
    step_size: float = 0.07
    max_leaves: int = 31
    max_features: float = 0.5

    def fit(self, crystals: Sequence[Crystal], target: np.ndarray, key: jax.Array) -> FittedBaseline:
        """Fits target [n]; gives a function of crystals to predictions [n]."""
        model = HistGradientBoostingRegressor(
            max_iter=self.n_tree,
            learning_rate=float(self.step_size),
            max_leaf_nodes=self.max_leaves,
            max_features=float(self.max_features),
            early_stopping=False,  # pyright: ignore[reportArgumentType]  (scikit-learn's annotation follows from its default, 'auto')
            random_state=_seed(key),
        )
        return _fitted(model, crystals, target)


@spec
class CompositionForest:
    """A random forest on composition features.

    Attributes:
      n_tree: Trees.
      max_features: Share of features that each split looks at.

    Source:
      Breiman (2001), Random forests, by scikit-learn.
    """

    n_tree: int = 100
    max_features: float = 0.33

    def fit(self, crystals: Sequence[Crystal], target: np.ndarray, key: jax.Array) -> FittedBaseline:
        """Fits target [n]; gives a function of crystals to predictions [n]."""
        model = RandomForestRegressor(self.n_tree, max_features=float(self.max_features), n_jobs=1, random_state=_seed(key))
        return _fitted(model, crystals, target)


@spec
class CompositionRidge:
    """Ridge regression on standardised composition features; the strength by leave-one-out on the training crystals.

    Attributes:
      weakest: Smallest strength tried.
      strongest: Largest strength tried (thirteen in geometric steps).
    """

    weakest: float = 1e-2
    strongest: float = 1e4

    def fit(self, crystals: Sequence[Crystal], target: np.ndarray, key: jax.Array) -> FittedBaseline:
        """Fits target [n]; gives a function of crystals to predictions [n]. Draws nothing from the key."""
        model = make_pipeline(StandardScaler(), RidgeCV(np.geomspace(self.weakest, self.strongest, 13)))
        return _fitted(model, crystals, target)


def _fitted(model, crystals: Sequence[Crystal], target: np.ndarray) -> FittedBaseline:
    target = np.asarray(target, np.float64)
    if target.shape != (len(crystals),) or len(crystals) < 2:
        raise ValueError(f"target has shape {target.shape} for {len(crystals)} crystals; a baseline needs [n] with n > 1")
    if not np.isfinite(target).all():
        raise ValueError(f"target of crystal {int(np.flatnonzero(~np.isfinite(target))[0])} is not finite; leave unlabelled crystals out")
    with threadpool_limits(1):  # boosting's threads wait for each other at every node: on a busy machine minutes instead of a second
        model.fit(composition_features(crystals), target)
    return partial(_predict, model)


def _predict(model, crystals: Sequence[Crystal]) -> np.ndarray:
    with threadpool_limits(1):
        return np.asarray(model.predict(composition_features(crystals)), np.float64)


def _seed(key: jax.Array) -> int:
    return int(generator(key).integers(2**31))
