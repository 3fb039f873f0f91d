"""The table of neighbours against scikit-learn on every subset that it is asked about."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from matjax.uncertainty import NeighbourTable
from matjax.uncertainty.novelty import whitening


@pytest.fixture(scope="module")
def descriptors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(150, 4)) @ rng.normal(size=(4, 4)) + 4 * rng.integers(2, size=(150, 1))


@pytest.mark.parametrize("n_kept", [3, 20, 500])
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_neighbours_of_any_subset_are_scikit_learns(descriptors, n_kept, share):
    """Few kept neighbours and small subsets make it measure again: the answer stays exact."""
    rng = np.random.default_rng(1)
    table = NeighbourTable.of(descriptors, n_kept=n_kept)
    allowed = rng.random(150) < share
    rows = np.flatnonzero(~allowed) if share < 1 else np.arange(10)
    features = whitening(descriptors, 0.05)(descriptors)
    others = np.flatnonzero(allowed)
    found, near = NearestNeighbors(n_neighbors=5 + (share == 1)).fit(features[others]).kneighbors(features[rows])
    found, near = (found[:, 1:], near[:, 1:]) if share == 1 else (found, near)  # a crystal is not its own neighbour
    np.testing.assert_allclose(table.distance(rows, allowed, k=5), found.mean(1), atol=1e-7)
    error = rng.normal(size=150)
    naive = (np.abs(error)[others[near]].sum(1) + 2 * np.abs(error)[others].mean()) / 7
    np.testing.assert_allclose(table.local_error(rows, allowed, error, k=5), naive)


def test_crystals_without_an_error_are_no_neighbours(descriptors):
    table, rng = NeighbourTable.of(descriptors, n_kept=20), np.random.default_rng(2)
    error, allowed, rows = rng.normal(size=150), np.arange(150) >= 30, np.arange(30)
    absent = rng.random(150) < 0.6
    masked = table.local_error(rows, allowed & ~absent, error, k=8)
    np.testing.assert_array_equal(table.local_error(rows, allowed, np.where(absent, np.nan, error), k=8), masked)


def test_fewer_crystals_than_neighbours_all_count(descriptors):
    table, allowed = NeighbourTable.of(descriptors), np.arange(150) < 3
    few = table.distance(np.arange(100, 110), allowed, k=5)
    np.testing.assert_allclose(few, table.distance(np.arange(100, 110), allowed, k=3))


def test_errors_say_what_came(descriptors):
    table = NeighbourTable.of(descriptors, n_kept=20)
    with pytest.raises(ValueError, match="0 crystals allowed"):
        table.distance(np.arange(3), np.zeros(150, bool))
    with pytest.raises(ValueError, match="no neighbour of itself"):
        table.distance(np.array([3]), np.arange(150) == 3)
    with pytest.raises(ValueError, match=r"2 errors for a mask of shape \(150,\)"):
        table.local_error(np.arange(3), np.ones(150, bool), np.ones(2))
    with pytest.raises(ValueError, match="0 crystals allowed"):
        table.local_error(np.arange(3), np.ones(150, bool), np.full(150, np.nan))
    with pytest.raises(ValueError, match="all training features are equal"):
        NeighbourTable.of(np.ones((20, 3)))
