"""Density ratios against the closed form of two Gaussians, and refusal where there is nothing to weight."""

import jax
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from matjax.risk import classifier_ratio, relative_ratio
from matjax.risk.density_ratio import effective_sample_size

KEY = jax.random.key(0)
SHIFT = 0.7


def gaussians(n_train=600, n_target=400, shift=SHIFT, n_feature=2):
    random = np.random.default_rng(0)
    offset = np.array([shift] + [0.0] * (n_feature - 1))
    return random.normal(size=(n_train, n_feature)), random.normal(size=(n_target, n_feature)) + offset


def true_ratio(x, alpha=0.0):
    mean = np.array([SHIFT] + [0.0] * (x.shape[1] - 1))
    p, q = multivariate_normal(mean).pdf(x), multivariate_normal(np.zeros(x.shape[1])).pdf(x)
    return p / (alpha * p + (1 - alpha) * q)


def test_classifier_ratio_is_the_closed_form():
    train, target = gaussians()
    found = classifier_ratio(train, target, key=KEY)
    error = np.log(found.weights * found.overlap) - np.log(true_ratio(train))
    assert np.abs(error).mean() < 0.15
    assert found.weights.mean() == pytest.approx(1.0)
    assert found.overlap == pytest.approx(1.0, abs=0.1)
    assert found.effective_sample_size / len(train) == pytest.approx(np.exp(-(SHIFT**2)), abs=0.1)


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_relative_ratio_is_the_closed_form(alpha):
    train, target = gaussians(1000, 1000)
    found = relative_ratio(train, target, alpha=alpha, key=KEY)
    expected = true_ratio(train, alpha)
    raw = found.weights * found.overlap
    assert np.mean((raw - expected) ** 2) < 0.1 * np.mean((expected - 1) ** 2)
    assert raw.max() < 1.3 / alpha


@pytest.mark.parametrize("ratio", [classifier_ratio, relative_ratio])
def test_weights_move_the_mean_to_the_target(ratio):
    """A weighted mean over the training set estimates the mean over the target."""
    train, target = gaussians()
    found = ratio(train, target, key=KEY)
    moved = np.average(train[:, 0], weights=found.weights)
    assert abs(moved - SHIFT) < 0.2 < abs(train[:, 0].mean() - SHIFT)
    np.testing.assert_allclose(found.at(train[:5]), found.weights[:5], rtol=0.5)


@pytest.mark.parametrize("ratio", [classifier_ratio, relative_ratio])
def test_without_a_shift_the_weights_are_even(ratio):
    found = ratio(*gaussians(shift=0.0), key=KEY)
    assert found.effective_sample_size > 0.95 * len(found.weights)


@pytest.mark.parametrize("ratio", [classifier_ratio, relative_ratio])
def test_disjoint_supports_are_refused(ratio):
    with pytest.raises(ValueError, match="do not cover the target"):
        ratio(*gaussians(shift=12.0), key=KEY)


@pytest.mark.parametrize("ratio", [classifier_ratio, relative_ratio])
def test_too_few_effective_crystals_are_refused(ratio):
    with pytest.raises(ValueError, match="effective sample size"):
        ratio(*gaussians(n_train=40), key=KEY)


@pytest.mark.parametrize(
    ("train", "target", "message"),
    [
        (np.zeros((20, 2)), np.zeros((20, 3)), "shapes"),
        (np.zeros(20), np.zeros(20), "shapes"),
        (np.zeros((20, 2)), np.zeros((3, 2)), "too few"),
        (np.full((20, 2), np.nan), np.zeros((20, 2)), "NaN"),
    ],
)
def test_bad_features_are_refused(train, target, message):
    for ratio in (classifier_ratio, relative_ratio):
        with pytest.raises(ValueError, match=message):
            ratio(train, target, key=KEY)


def test_same_key_same_weights():
    train, target = gaussians(200, 200)
    np.testing.assert_array_equal(classifier_ratio(train, target, key=KEY).weights, classifier_ratio(train, target, key=KEY).weights)


def test_effective_sample_size():
    assert effective_sample_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_sample_size(np.array([1.0, 0, 0])) == 1
    assert effective_sample_size(np.zeros(3)) == 0
