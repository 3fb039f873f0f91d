"""IRM: slopes of the domains, squared; and the slope itself against finite differences through the training loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.risk import IRM, RiskShape, VREx

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
DOMAIN, WEIGHT = np.arange(12) % 3, RANDOM.uniform(0.5, 1.5, 12)
TARGET, PREDICTION = RANDOM.normal(size=(2, 12))
ERROR = PREDICTION - TARGET


@jax.jit
def run(base, batch, step=1e6):
    params, memory = base.init(KEY, RiskShape(3, 2))
    return base.apply(params, {**memory, "step": jnp.asarray(step, jnp.float32)}, batch)


def test_irm_is_the_derivative_by_a_common_factor(outcome):
    """mean_g l_g + strength (d/dw mean (w f - y)^2)^2, the derivative by central differences in the factor."""
    batch = outcome(ERROR**2, DOMAIN, weight=WEIGHT, slope=2 * ERROR * PREDICTION)
    of_factor = lambda w, d: np.average((w * PREDICTION - TARGET)[DOMAIN == d] ** 2, weights=WEIGHT[DOMAIN == d])
    slopes = np.array([(of_factor(1 + 1e-4, d) - of_factor(1 - 1e-4, d)) / 2e-4 for d in range(3)])
    expected = np.mean([of_factor(1, d) for d in range(3)]) + 3.0 * np.mean(slopes**2)
    value, memory, metrics = run(IRM(3.0), batch)
    assert value == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(memory["slope"], slopes, rtol=1e-4)
    assert metrics["square_slope"] == pytest.approx(np.mean(slopes**2), rel=1e-4)


def test_without_strength_or_before_the_warm_up_it_is_the_mean_over_domains(outcome):
    batch = outcome(ERROR**2, DOMAIN, slope=2 * ERROR * PREDICTION)
    plain = VREx(0.0).apply(*VREx().init(KEY, RiskShape(3, 2)), batch)[0]
    assert run(IRM(0.0), batch)[0] == pytest.approx(float(plain)) == run(IRM(5.0), batch, step=0)[0]
    half = run(IRM(5.0, warmup=100.0), batch, step=50)[0] - plain
    assert half == pytest.approx(float(run(IRM(5.0), batch)[0] - plain) / 2, rel=1e-4)


def test_the_best_multiple_of_itself_costs_nothing(outcome):
    """Predictions that are the least-squares multiple of themselves in every domain have no slope."""
    scale = np.array([(TARGET * PREDICTION)[DOMAIN == d].sum() / (PREDICTION[DOMAIN == d] ** 2).sum() for d in range(3)])[DOMAIN]
    best = scale * PREDICTION
    batch = outcome((best - TARGET) ** 2, DOMAIN, slope=2 * (best - TARGET) * best)
    assert run(IRM(1.0), batch)[2]["square_slope"] == pytest.approx(0, abs=1e-10)


def test_bad_input_is_refused(outcome):
    with pytest.raises(ValueError, match=r"Outcome\.slope"):
        run(IRM(), outcome(np.ones(3), [0, 1, 2]))
    for bad in ({"strength": -1.0}, {"warmup": 0.0}):
        with pytest.raises(ValueError, match="must lie in"):
            IRM(**bad)
