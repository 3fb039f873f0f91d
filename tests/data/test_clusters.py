"""Clusters: within their limits whatever the features are, and the ones that are there where there are any."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from matjax.data import cluster_labels


@given(st.integers(0, 1000), st.integers(60, 200), st.integers(2, 12), st.floats(0.02, 0.05), st.floats(0.2, 0.6))
@settings(max_examples=20, deadline=None)
def test_every_cluster_is_within_the_limits(seed: int, n: int, n_cluster: int, smallest: float, largest: float) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3)) ** 3  # a dense heart and outliers: singletons and a giant without limits
    labels = cluster_labels(features, n_cluster, smallest=smallest, largest=largest, seed=seed)
    sizes = np.bincount(labels)
    assert sizes.min() >= max(2, round(smallest * n)) and sizes.max() <= int(largest * n)
    assert (np.diff(sizes) <= 0).all() and sizes.sum() == n


def test_clusters_that_are_there_are_found_at_any_scale_of_a_feature() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(12), 25)
    centres = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0)), -1).reshape(-1, 2)
    features = (centres[truth] + 0.05 * rng.normal(size=(300, 2))) * [1.0, 1000.0]
    assert adjusted_rand_score(truth, cluster_labels(features, 12)) > 0.99


def test_an_outlier_joins_the_nearest() -> None:
    rng = np.random.default_rng(1)
    features = np.concatenate([rng.normal(size=(50, 1)) * 0.1, 10 + rng.normal(size=(50, 1)) * 0.1, [[14.0]]])
    labels = cluster_labels(features, 3, smallest=0.05, largest=0.6)
    assert np.bincount(labels).tolist() == [51, 50] and labels[-1] == labels[60]


@pytest.mark.parametrize(
    ("features", "settings_", "message"),
    [
        (np.full((50, 2), np.nan), {}, "finite numbers"),
        (np.ones((50, 2)), {}, "1 crystals differ"),
        (np.arange(50.0)[:, None], {"n_cluster": 30}, "ask for 2 to 25"),
        (np.arange(50.0)[:, None], {"n_cluster": 5, "largest": 0.05}, "at least twice"),
        (np.r_[np.zeros(40), np.arange(10.0)][:, None], {"n_cluster": 5, "largest": 0.3}, "alike"),
    ],
)
def test_what_cannot_be_clustered_is_refused(features: np.ndarray, settings_: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cluster_labels(features, **{"n_cluster": 20, **settings_})  # type: ignore[arg-type]
