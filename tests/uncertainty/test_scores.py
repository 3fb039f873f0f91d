"""Scores against scipy, numerical integration, naive loops and limits."""

import numpy as np
import pytest
from scipy import integrate, stats

from matjax.uncertainty.scores import (
    expected_normalised_calibration_error,
    gaussian_crps,
    gaussian_nll,
    interval_score,
    miscalibration_area,
    reliability,
    sample_crps,
    sharpness,
)


def draw(n=3000, factor=1.0, seed=0):
    """Errors whose true spread is `factor` times the predicted one."""
    rng = np.random.default_rng(seed)
    std = rng.gamma(3.0, size=n)
    return factor * std * rng.normal(size=n), std


def test_nll_is_scipys():
    error, std = draw()
    assert gaussian_nll(error, std) == pytest.approx(-stats.norm.logpdf(error, scale=std).mean())


def test_crps_is_the_integral_of_the_squared_difference_of_distributions():
    error, std = np.array([0.3, -2.0, 0.0, 5.0]), np.array([1.0, 0.5, 2.0, 1.5])
    naive = []
    for e, s in zip(error, std, strict=True):  # prediction N(e, s), truth at 0
        below = integrate.quad(lambda x, e=e, s=s: stats.norm.cdf(x, e, s) ** 2, -60, 0, points=[min(e, 0.0) - s])[0]
        naive.append(below + integrate.quad(lambda x, e=e, s=s: (1 - stats.norm.cdf(x, e, s)) ** 2, 0, 60, points=[max(e, 0.0) + s])[0])
    assert gaussian_crps(error, std) == pytest.approx(np.mean(naive), rel=1e-6)


def test_crps_tends_to_the_absolute_error_for_a_sure_prediction():
    error, _ = draw(50)
    assert gaussian_crps(error, np.full(50, 1e-9)) == pytest.approx(np.abs(error).mean())


def test_reliability_is_a_naive_count():
    error, std = draw(200, factor=1.7)
    nominal, observed = reliability(error, std, 11)
    for level, share in zip(nominal[1:-1], observed[1:-1], strict=True):
        z = stats.norm.ppf((1 + level) / 2)
        assert share == np.mean([abs(e) <= z * s for e, s in zip(error, std, strict=True)])
    assert observed[-1] == 1.0


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_area_is_the_integral_of_the_curve(factor):
    error, std = draw(300, factor)
    nominal, observed = reliability(error, std, 20_001)
    assert miscalibration_area(error, std) == pytest.approx(np.trapezoid(np.abs(observed - nominal), nominal), abs=2e-4)


@pytest.mark.parametrize("fair", [False, True])
def test_sample_crps_is_its_double_loop(fair):
    random = np.random.default_rng(0)
    samples, target = random.normal(size=(5, 7)), random.normal(size=7)
    naive = []
    for j in range(7):
        between = sum(abs(a - b) for a in samples[:, j] for b in samples[:, j]) / (5 * (4 if fair else 5))
        naive.append(np.mean([abs(a - target[j]) for a in samples[:, j]]) - between / 2)
    assert sample_crps(samples, target, fair=fair) == pytest.approx(np.mean(naive))


def test_sample_crps_is_the_integral_over_steps_and_tends_to_the_gaussian():
    samples, target = np.array([[0.2], [1.5], [-0.7]]), np.array([0.9])
    grid = np.linspace(-5, 5, 200_001)
    step = (np.searchsorted(np.sort(samples[:, 0]), grid, side="right") / 3 - (grid >= 0.9)) ** 2
    assert sample_crps(samples, target) == pytest.approx(np.trapezoid(step, grid), abs=1e-4)
    quantiles = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    error = np.array([0.3, -2.0, 5.0])
    assert sample_crps(quantiles[:, None] + error, np.zeros(3)) == pytest.approx(gaussian_crps(error, np.ones(3)), abs=1e-3)


def test_fair_score_of_few_samples_is_that_of_many():
    """Golden value: the CRPS of the true Gaussian is 1 / sqrt(pi); five samples look worse unless the score is fair."""
    random = np.random.default_rng(0)
    samples, target = random.normal(size=(5, 40_000)), random.normal(size=40_000)
    assert sample_crps(samples, target, fair=True) == pytest.approx(1 / np.sqrt(np.pi), abs=0.006)
    assert sample_crps(samples, target) > 1 / np.sqrt(np.pi) + 0.08
    assert sample_crps(samples[:1], target) == pytest.approx(np.abs(samples[0] - target).mean())


def test_interval_score_is_written_out():
    assert interval_score(np.array([0.5, -1.0, 3.0]), np.array([1.0, 1.0, 2.0]), 0.9) == pytest.approx((2 + 2 + 4 + 20 * 1.0) / 3)
    assert interval_score(np.ones(2), np.array([1.0, np.inf]), 0.9) == np.inf


def test_ence_is_a_loop_over_bins_and_small_for_a_calibrated_spread():
    error, std = draw(1000)
    order = np.argsort(std)
    naive = []
    for b in range(10):
        rows = order[100 * b : 100 * (b + 1)]
        rmv, rmse = np.sqrt(np.mean(std[rows] ** 2)), np.sqrt(np.mean(error[rows] ** 2))
        naive.append(abs(rmv - rmse) / rmv)
    assert expected_normalised_calibration_error(error, std) == pytest.approx(np.mean(naive))
    error, std = draw(20_000)
    floor = np.sqrt(10 / (np.pi * 20_000))
    assert expected_normalised_calibration_error(error, std) == pytest.approx(floor, rel=0.5)
    assert expected_normalised_calibration_error(error, 2 * std) == pytest.approx(0.5, abs=0.02)


def test_sharpness_is_the_root_of_the_mean_variance():
    assert sharpness(np.array([3.0, 4.0])) == pytest.approx(np.sqrt(12.5))


def test_errors_say_what_came():
    with pytest.raises(ValueError, match="3 of 3 errors are not finite"):
        gaussian_nll(np.full(3, np.nan), np.ones(3))
    with pytest.raises(ValueError, match=r"samples have shape \(1, 4\)"):
        sample_crps(np.ones((1, 4)), np.ones(4), fair=True)
    with pytest.raises(ValueError, match="NaN or infinite"):
        sample_crps(np.ones((2, 4)), np.full(4, np.nan))
    with pytest.raises(ValueError, match="10 bins for 4 crystals"):
        expected_normalised_calibration_error(np.ones(4), np.ones(4))
