"""Boosted trees on composition and structure descriptors."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from matjax.config import spec
from matjax.data.descriptors import element_fractions, property_statistics
from matjax.graph.descriptors import structure_descriptors
from matjax.types import Dataset


@spec
class Trees:
    """Settings of scikit-learn's histogram gradient boosting (Ke et al. 2017).

    Attributes:
      n_tree: Boosting rounds.
      step_size: Shrinkage of each tree.
      max_leaves: Leaves per tree.
      max_bins: Bins per feature.
    """

    n_tree: int = 200
    step_size: float = 0.1
    max_leaves: int = 31
    max_bins: int = 64

    def predict(self, features: np.ndarray, target: np.ndarray, train: np.ndarray, seed: int) -> np.ndarray:
        """Predictions for all crystals [n] by a fit on the rows `train`."""
        model = HistGradientBoostingRegressor(
            max_iter=self.n_tree,
            learning_rate=self.step_size,
            max_leaf_nodes=self.max_leaves,
            max_bins=self.max_bins,
            early_stopping=False,  # pyright: ignore[reportArgumentType]  (the default is a str)
            random_state=seed,
        )
        with threadpool_limits(1):
            return model.fit(features[train], target[train]).predict(features)


def descriptors(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Composition (statistics of elemental properties) and structure descriptors [n, n_feature] each."""
    composition = property_statistics(element_fractions(data.crystals))
    return composition, np.stack([structure_descriptors(crystal) for crystal in data.crystals])
