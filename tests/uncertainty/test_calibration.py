"""Recalibration by one factor and by the shape of the distribution: closed forms, minimisation, data that were bent on purpose."""

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.isotonic import IsotonicRegression

from matjax.uncertainty.calibration import Recalibration, spread_factor
from matjax.uncertainty.scores import gaussian_nll, miscalibration_area


def draw(n=3000, factor=1.0, seed=0):
    """Errors whose true spread is `factor` times the predicted one."""
    rng = np.random.default_rng(seed)
    std = rng.gamma(3.0, size=n)
    return factor * std * rng.normal(size=n), std


def test_factor_minimises_the_likelihood():
    error, std = draw(factor=2.3)
    found = optimize.minimize_scalar(lambda f: gaussian_nll(error, f * std), bounds=(0.1, 10), method="bounded", options={"xatol": 1e-8})
    assert spread_factor(error, std) == pytest.approx(found.x, rel=1e-5)
    assert spread_factor(error, std) == pytest.approx(2.3, rel=0.05)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_factor_by_level_covers_that_level(level):
    error, std = draw(factor=2.3)
    error[:20] *= 100  # outliers do not move it
    factor = spread_factor(error, std, level=level)
    z = stats.norm.ppf((1 + level) / 2)
    assert np.mean(np.abs(error) <= z * factor * std) == pytest.approx(level, abs=1e-3)
    assert factor == pytest.approx(2.3, rel=0.07)


def test_area_runs_from_calibrated_to_one_half_and_recalibration_repairs_it():
    error, std = draw(3000, factor=3.0)
    assert miscalibration_area(error, std * 1e-9) == pytest.approx(0.5, abs=1e-6)
    assert miscalibration_area(error, std * 1e9) == pytest.approx(0.5, abs=1e-6)
    assert miscalibration_area(error, std) > 0.2
    assert miscalibration_area(error, std * spread_factor(error, std)) < 0.02


def test_errors_say_what_came():
    with pytest.raises(ValueError, match="3 of 3 standard deviations are not positive"):
        gaussian_nll(np.ones(3), np.zeros(3))
    with pytest.raises(ValueError, match="both must be"):
        spread_factor(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="level is 1.5"):
        spread_factor(np.ones(3), np.ones(3), level=1.5)


def test_every_domain_counts_the_same_in_the_factor():
    rng = np.random.default_rng(0)
    error = np.r_[rng.normal(size=900), 4 * rng.normal(size=100)]
    std, domain = np.ones(1000), np.repeat(["large", "small"], [900, 100])
    naive = np.sqrt((np.mean(error[:900] ** 2) + np.mean(error[900:] ** 2)) / 2)
    assert spread_factor(error, std, domain=domain) == pytest.approx(naive)
    assert spread_factor(error, std) < 0.6 * naive
    reached = spread_factor(error, std, level=0.9, domain=domain) * stats.norm.ppf(0.95)
    assert (np.mean(np.abs(error[:900]) <= reached) + np.mean(np.abs(error[900:]) <= reached)) / 2 == pytest.approx(0.9, abs=0.01)


def skewed(n, seed):
    """Errors of a skewed, heavy-tailed law that is nothing like the Gaussian predicted."""
    rng = np.random.default_rng(seed)
    std = rng.gamma(3.0, size=n)
    return std * (rng.gamma(1.0, size=n) - 0.4), std


def test_recalibrated_levels_are_uniform_on_other_crystals_and_quantiles_cover():
    fitted = Recalibration().fit(*skewed(2000, 0))
    error, std = skewed(4000, 1)
    assert stats.kstest(stats.norm.cdf(-error / std), "uniform").statistic > 0.15
    assert stats.kstest(fitted.level(error, std), "uniform").statistic < 0.04
    for level in (0.05, 0.5, 0.95):
        assert np.mean(-error <= fitted.quantile(std, level)) == pytest.approx(level, abs=0.03)
        np.testing.assert_allclose(fitted.level(-fitted.quantile(std, level), std), level, atol=1e-9)


def test_the_map_is_what_isotonic_regression_finds():
    error, std = skewed(200, 0)
    fitted = Recalibration().fit(error, std)
    predicted = np.sort(stats.norm.cdf(-error / std))
    empirical = np.array([np.mean(predicted <= p) for p in predicted])
    isotonic = IsotonicRegression().fit(predicted, empirical).predict(predicted)
    np.testing.assert_allclose(np.interp(predicted, fitted.predicted, fitted.observed), isotonic * 200 / 201, atol=1e-12)


def test_a_calibrated_gaussian_stays_as_it_is():
    error, std = draw(20_000)
    fitted = Recalibration().fit(error, std)
    np.testing.assert_allclose(fitted.quantile(np.ones(3), 0.9), stats.norm.ppf(0.9), atol=0.03)


def test_shapes_fitted_on_left_out_domains_hold_for_new_ones_on_average():
    rng = np.random.default_rng(2)
    draw_domains = lambda n: np.exp(0.5 * rng.normal(size=(n, 1))) * rng.normal(size=(n, 50))
    error = draw_domains(60)
    fitted = Recalibration().fit(error.ravel(), np.ones(3000), np.repeat(np.arange(60), 50))
    new = draw_domains(2000).ravel()
    inside = (-new >= fitted.quantile(np.ones(len(new)), 0.05)) & (-new <= fitted.quantile(np.ones(len(new)), 0.95))
    assert inside.mean() == pytest.approx(0.9, abs=0.03)


def test_a_shape_needs_crystals_and_a_level():
    with pytest.raises(ValueError, match="5 calibration crystals; the shape of a distribution needs at least 20"):
        Recalibration().fit(np.ones(5), np.ones(5))
    with pytest.raises(ValueError, match="30 of 30 errors are not finite"):
        Recalibration().fit(np.full(30, np.nan), np.ones(30))
    with pytest.raises(ValueError, match="level is 0"):
        Recalibration().fit(*draw(50)).quantile(np.ones(2), 0.0)
