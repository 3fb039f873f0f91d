"""Novelty against scipy and scikit-learn, its limits, and that it grows with distance from the training crystals."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import ShrunkCovariance
from sklearn.neighbors import NearestNeighbors

from matjax.stress_test.metrics import auroc
from matjax.uncertainty.novelty import Mahalanobis, Mixture, NearestNeighbours, whitening

METHODS = [Mahalanobis(), NearestNeighbours(), Mixture()]


def cloud(seed=0, n=400, n_feature=6):
    """Correlated features of very different sizes; every seed draws from the same distribution."""
    mixing = np.random.default_rng(99).normal(size=(n_feature, n_feature))
    return np.random.default_rng(seed).normal(size=(n, n_feature)) @ mixing * np.logspace(-2, 2, n_feature) + 3.0


def test_mahalanobis_is_scipys_without_shrinkage():
    train, test = cloud(0), cloud(1)[:20] + 1.0
    inverse = np.linalg.inv(np.cov(train.T, bias=True))
    expected = [mahalanobis(row, train.mean(0), inverse) for row in test]
    np.testing.assert_allclose(Mahalanobis(shrinkage=0.0).fit(train).score(test), expected, rtol=1e-6)


def test_shrinkage_is_scikit_learns_on_standardised_features():
    train, test = cloud(0), cloud(1)[:20]
    standard = lambda x: (x - train.mean(0)) / train.std(0)
    expected = ShrunkCovariance(shrinkage=0.3).fit(standard(train)).mahalanobis(standard(test)) ** 0.5
    np.testing.assert_allclose(Mahalanobis(shrinkage=0.3).fit(train).score(test), expected, rtol=1e-10)


def test_nearest_neighbours_are_scikit_learns_in_whitened_features():
    train, test = cloud(0), cloud(1)
    whiten = whitening(train, 0.05)
    expected = NearestNeighbors(n_neighbors=5).fit(whiten(train)).kneighbors(whiten(test))[0].mean(1)
    np.testing.assert_allclose(NearestNeighbours(k=5).fit(train).score(test), expected, rtol=1e-8)


def test_whitening_whitens():
    rows = whitening(cloud(), 0.0)(cloud())
    np.testing.assert_allclose(rows.T @ rows / len(rows), np.eye(6), atol=1e-10)


def test_mixture_of_one_is_mahalanobis():
    train, test = cloud(0), cloud(1) + 2.0
    np.testing.assert_allclose(Mixture(n_component=1).fit(train).score(test), Mahalanobis().fit(train).score(test), rtol=1e-8)


def test_mixture_score_is_the_relative_density_written_out():
    train, test = np.concatenate([cloud(0), cloud(1) + 500.0]), cloud(2)[:10]
    fitted = Mixture(n_component=2).fit(train)
    rows = fitted.whiten(test)
    density = sum(w * np.exp(-np.sum((rows - c) ** 2, 1) / 2) for w, c in zip(fitted.weight, fitted.centre, strict=True))
    np.testing.assert_allclose(fitted.score(test), np.sqrt(-2 * np.log(density)), rtol=1e-8)


def test_between_two_families_only_the_mixture_and_the_neighbours_are_alarmed():
    """One cloud around two families has its mean in the hole between them."""
    rng = np.random.default_rng(0)
    centre = np.array([8.0, 0, 0, 0])
    train = np.concatenate([rng.normal(size=(300, 4)) - centre, rng.normal(size=(300, 4)) + centre])
    inside, hole = rng.normal(size=(100, 4)) + centre, rng.normal(size=(100, 4)) * 0.3
    gain = {m: auroc(np.r_[m.fit(train).score(inside), m.fit(train).score(hole)], np.arange(200) >= 100) for m in METHODS + [Mixture(2)]}
    assert gain[Mahalanobis()] < 0.2
    assert gain[NearestNeighbours()] > 0.9
    assert gain[Mixture(2)] > 0.99


@pytest.mark.parametrize("method", METHODS)
def test_score_grows_monotonically_with_distance(method):
    train = cloud()
    direction = np.random.default_rng(5).normal(size=6) * train.std(0)
    path = train.mean(0) + np.linspace(3, 60, 40)[:, None] * direction
    assert (np.diff(method.fit(train).score(path)) > 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_score_does_not_care_about_units_or_order(method):
    train, test = cloud(0), cloud(1)
    scale, shift = np.logspace(-3, 3, 6), np.arange(6.0)
    order = np.random.default_rng(0).permutation(len(train))
    expected = method.fit(train).score(test)
    np.testing.assert_allclose(method.fit(train * scale + shift).score(test * scale + shift), expected, rtol=1e-6)
    if not isinstance(method, Mixture):  # whose start is drawn
        np.testing.assert_allclose(method.fit(train[order]).score(test), expected, rtol=1e-8)
    np.testing.assert_allclose(method.fit(train).score(test[::-1]), expected[::-1], rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_dead_feature_that_comes_alive_is_novel_and_finite(method):
    train = np.concatenate([cloud(), np.zeros((400, 1))], 1)
    test = np.concatenate([cloud(1), np.zeros((400, 1))], 1)
    alive = test.copy()
    alive[:, -1] = 3 * train.std(0).mean()
    fitted = method.fit(train)
    assert np.isfinite(fitted.score(alive)).all()
    assert fitted.score(alive).min() > fitted.score(test).max()


@pytest.mark.parametrize("method", METHODS)
def test_more_features_than_crystals_are_met_by_shrinkage(method):
    train = np.random.default_rng(0).normal(size=(30, 64))
    assert np.isfinite(method.fit(train).score(train)).all()


def test_errors_say_what_came():
    with pytest.raises(ValueError, match="1 training crystals"):
        Mahalanobis().fit(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="all training features are equal"):
        Mahalanobis().fit(np.ones((10, 3)))
    with pytest.raises(ValueError, match="singular"):
        Mahalanobis(shrinkage=0.0).fit(np.random.default_rng(0).normal(size=(5, 9)))
    with pytest.raises(ValueError, match=r"\(7, 5\); they must be \[n, 6\]"):
        Mahalanobis().fit(cloud()).score(np.zeros((7, 5)))
    with pytest.raises(ValueError, match="crystal 2 are not finite"):
        Mahalanobis().fit(cloud()).score(np.where(np.arange(24).reshape(4, 6) == 13, np.nan, 0.0))
    with pytest.raises(ValueError, match="shrinkage is 2"):
        NearestNeighbours(shrinkage=2.0)
    with pytest.raises(ValueError, match="at least one neighbour"):
        NearestNeighbours(k=0)
    with pytest.raises(ValueError, match="at least one"):
        Mixture(n_component=0)
