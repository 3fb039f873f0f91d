"""Density ratios against the closed form of two Gaussians, and refusal where there is nothing to weight."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from matjax.risk import Refusal, classifier_ratio, kernel_mean_matching, kliep, relative_ratio
from matjax.risk.density_ratio import effective_sample_size
from matjax.risk.kernel_mean_matching import _matched
from matjax.risk.kliep import _mixture

KEY = jax.random.key(0)
ESTIMATORS = [classifier_ratio, relative_ratio, kliep, kernel_mean_matching]
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


@pytest.mark.parametrize("ratio", ESTIMATORS)
def test_weights_move_the_mean_to_the_target(ratio):
    """A weighted mean over the training set estimates the mean over the target."""
    train, target = gaussians()
    found = ratio(train, target, key=KEY)
    moved = np.average(train[:, 0], weights=found.weights)
    assert abs(moved - SHIFT) < 0.2 < abs(train[:, 0].mean() - SHIFT)
    np.testing.assert_allclose(found.at(train[:5]), found.weights[:5], rtol=0.5)


@pytest.mark.parametrize("ratio", ESTIMATORS)
def test_a_line_fitted_under_the_weights_suits_the_target(ratio):
    """A line through a parabola: unweighted it suits the training crystals, weighted those of the target."""
    random = np.random.default_rng(1)
    train, target = gaussians(n_feature=1)
    law = lambda x: x[:, 0] ** 2
    line = lambda x: np.column_stack([x, np.ones(len(x))])
    labels, unseen = law(train) + 0.1 * random.normal(size=len(train)), SHIFT + random.normal(size=(2000, 1))

    def outside(weights):
        root = np.sqrt(weights)[:, None]
        fitted = np.linalg.lstsq(root * line(train), root[:, 0] * labels, rcond=None)[0]
        return np.mean((line(unseen) @ fitted - law(unseen)) ** 2)

    assert outside(ratio(train, target, key=KEY).weights) < 0.75 * outside(np.ones(len(train)))


@pytest.mark.parametrize("ratio", ESTIMATORS)
def test_without_a_shift_the_weights_are_even(ratio):
    found = ratio(*gaussians(shift=0.0), key=KEY)
    assert found.effective_sample_size > 0.9 * len(found.weights)


@pytest.mark.parametrize("ratio", ESTIMATORS)
def test_disjoint_supports_are_refused(ratio):
    with pytest.raises(ValueError, match="do not cover the target"):
        ratio(*gaussians(shift=12.0), key=KEY)


@pytest.mark.parametrize("ratio", ESTIMATORS)
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
        (np.ones((20, 2)), np.ones((20, 2)), "constant"),
    ],
)
def test_bad_features_are_refused(train, target, message):
    for ratio in ESTIMATORS:
        with pytest.raises(ValueError, match=message):
            ratio(train, target, key=KEY)


def test_same_key_same_weights():
    train, target = gaussians(200, 200)
    np.testing.assert_array_equal(classifier_ratio(train, target, key=KEY).weights, classifier_ratio(train, target, key=KEY).weights)


def test_effective_sample_size():
    assert effective_sample_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_sample_size(np.array([1.0, 0, 0])) == 1
    assert effective_sample_size(np.zeros(3)) == 0


def test_kliep_is_the_closed_form_and_of_mean_one():
    train, target = gaussians(1000, 1000)
    found = kliep(train, target, key=KEY)
    expected = true_ratio(train)
    assert np.mean((found.weights - expected) ** 2) < 0.25 * np.mean((expected - 1) ** 2)
    assert found.weights.mean() == pytest.approx(1.0) and found.overlap > 0.95


def test_kliep_climbs_to_the_optimum():
    """The likeliest mixture satisfies the Kuhn-Tucker conditions: the mean of component / mixture is 1 in the support, below it outside."""
    components = np.random.default_rng(0).gamma(1.0, size=(60, 8))
    weights = _mixture(components, 5000)
    slopes = (components / (components @ weights)[:, None]).mean(0)
    np.testing.assert_allclose(slopes[weights > 1e-4], 1, atol=1e-3)
    assert (slopes < 1 + 1e-3).all() and weights.sum() == pytest.approx(1.0)


def test_kernel_mean_matching_solves_its_programme():
    """Against SciPy's solver on a small case."""
    random = np.random.default_rng(0)
    factor = random.normal(size=(12, 12))
    quadratic, linear = factor @ factor.T + np.eye(12), 12 * random.normal(size=12)
    found = _matched(quadratic, linear, 3.0)
    value = lambda w: 0.5 * w @ quadratic @ w - linear @ w
    constraint = {"type": "eq", "fun": lambda w: w.mean() - 1}
    best = minimize(
        value, np.ones(12), jac=lambda w: quadratic @ w - linear, bounds=[(0, 3.0)] * 12, constraints=constraint, method="SLSQP"
    )
    assert found.mean() == pytest.approx(1.0) and found.min() >= 0 and found.max() <= 3.0
    assert value(found) == pytest.approx(best.fun, rel=1e-5, abs=1e-4)


def test_largest_weight_must_allow_for_the_mean():
    with pytest.raises(ValueError, match="above 1"):
        kernel_mean_matching(*gaussians(), largest=1.0, key=KEY)


def test_weights_are_clipped():
    """No weight above the clip, up to the factor that keeps the mean at one; the effective sample size is that of what is returned."""
    train, target = gaussians()
    free, clipped = (classifier_ratio(train, target, refusal=Refusal(clip=clip), key=KEY) for clip in (np.inf, 2.0))
    scale = 1 / np.minimum(free.weights, 2.0).mean()
    np.testing.assert_allclose(clipped.weights, scale * np.minimum(free.weights, 2.0))
    np.testing.assert_allclose(clipped.at(train), scale * np.minimum(free.at(train), 2.0))
    assert clipped.effective_sample_size == effective_sample_size(clipped.weights) > free.effective_sample_size
