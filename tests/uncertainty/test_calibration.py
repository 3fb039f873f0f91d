"""Calibration figures against numerical integration, naive loops and calibrated data."""

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from matjax.uncertainty.calibration import gaussian_crps, gaussian_nll, miscalibration_area, reliability, spread_factor


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
        gaussian_crps(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="level is 1.5"):
        spread_factor(np.ones(3), np.ones(3), level=1.5)
