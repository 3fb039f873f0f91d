"""The probability of a single phase: against scipy, its limits, and how often it is right."""

import jax
import numpy as np
import pytest
from scipy import stats

from matjax.thermo import single_phase_probability


def test_forms_against_scipy():
    values = np.random.default_rng(0).normal(-0.005, 0.01, (5, 7))
    mean, spread = values.mean(0), values.std(0, ddof=1)
    student = stats.t.cdf(-mean / (1.7 * spread * np.sqrt(1.2)), 4)
    np.testing.assert_allclose(single_phase_probability(values, widening=1.7), student, rtol=1e-10)
    np.testing.assert_allclose(
        single_phase_probability(values, widening=1.7, form="normal"), stats.norm.cdf(-mean / 1.7 / spread), rtol=1e-10
    )
    np.testing.assert_allclose(single_phase_probability(values, form="count"), (values < 0).mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        single_phase_probability(values, widening=3.0, form="count"), (mean + 3 * (values - mean) < 0).mean(0), rtol=1e-12
    )


@pytest.mark.parametrize("form", ["student", "normal", "count"])
def test_limits(form):
    members = np.array([-0.011, -0.010, -0.012, -0.009])
    of = lambda values, widening=1.0: float(single_phase_probability(values, widening=widening, form=form))
    assert of(members - 1) > 0.999999 and of(members + 1) < 1e-6  # far below and far above
    assert of(members - members.mean()) == pytest.approx(0.5)
    assert of(members) > of(members, 20.0) >= 0.5 - 1e-3  # doubt moves it towards a half
    assert of(np.full(3, -1e-9)) == 1 and of(np.full(3, 1e-9)) == of(np.zeros(3)) == 0
    assert np.isnan(of(np.array([-0.1, np.nan, -0.1])))


def test_student_becomes_normal_with_many_members():
    rng = np.random.default_rng(1)
    gaps = []
    for n in (10, 100, 1000):
        values = stats.zscore(rng.normal(size=n), ddof=1) - 1.0  # mean -1, spread 1
        gaps.append(abs(float(single_phase_probability(values)) - stats.norm.cdf(1.0)))
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.2) and gaps[1] / gaps[2] == pytest.approx(10, rel=0.2)


def test_it_is_calibrated_for_draws_of_one_distribution():
    """The truth is a draw like the members: of the candidates given 90 to 97%, that many are stable. The normal form claims too much."""
    rng = np.random.default_rng(2)
    centres = rng.uniform(-4, 4, 40000)  # flat, as nothing is known before
    values, truth = rng.normal(centres, 1.0, (5, 40000)), rng.normal(centres, 1.0)
    share = {}
    for form in ("student", "normal"):
        said = np.asarray(single_phase_probability(values, form=form))
        inside = (said > 0.9) & (said < 0.97)
        share[form] = (truth[inside] < 0).mean() - said[inside].mean()
    assert 0 <= share["student"] < 0.025 and share["normal"] < -0.015


def test_gradients_are_finite_also_in_the_middle():
    with jax.enable_x64(True):
        slope = jax.grad(lambda shift: single_phase_probability(np.array([-0.01, 0.0, 0.01]) + shift))
        at = slope(0.0)
        step = 1e-6
        numeric = float(single_phase_probability(np.array([-0.01, 0.0, 0.01]) + step)) - 0.5
    assert float(at) == pytest.approx(numeric / step, rel=1e-5) and np.isfinite(at)


def test_bad_ensembles_are_refused():
    with pytest.raises(ValueError, match="at least 2"):
        single_phase_probability(np.array([-0.1]))
    with pytest.raises(ValueError, match="allowed: student"):
        single_phase_probability(np.zeros(3), form="bayes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be positive"):
        single_phase_probability(np.zeros(3), widening=-1.0)
