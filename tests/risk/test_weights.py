"""Sample weights: balance between domains, tempered and clipped importance."""

import jax
import numpy as np
import pytest

from matjax.risk import Balance, Importance, Risk, RiskShape, VREx

SHAPE = RiskShape(3, 2)


def value_of(risk, batch):
    return risk.apply(*risk.init(jax.random.key(0), SHAPE), batch)


def test_full_balance_makes_erm_the_mean_over_domains(outcome):
    batch = outcome(np.arange(6.0), [0, 0, 0, 0, 1, 1])
    assert value_of(Risk(weights=Balance(1.0)), batch)[0] == pytest.approx(float(value_of(Risk(VREx(0.0)), batch)[0]))
    assert value_of(Risk(weights=Balance(0.0)), batch)[0] == pytest.approx(2.5)


def test_balance_counts_over_batches(outcome):
    """After 9 crystals of domain 0 and 1 of domain 1, the weights are n / (2 n_g)."""
    memory = Balance().init(SHAPE)
    _, memory, _ = Balance().apply(memory, outcome(np.ones(8), np.zeros(8)))
    weight, memory, _ = Balance().apply(memory, outcome(np.ones(2), [0, 1]))
    np.testing.assert_allclose(weight, [10 / 18, 10 / 2], rtol=1e-6)
    np.testing.assert_allclose(memory["count"], [9, 1, 0])


def test_importance_tempers_clips_and_normalises(outcome):
    ratio = np.array([0.25, 1.0, 4.0, 400.0])
    weight, _, metrics = Importance(power=0.5, clip=3.0).apply((), outcome(np.ones(4), weight=ratio))
    expected = np.minimum(np.sqrt(ratio), 3.0)
    expected /= expected.mean()
    np.testing.assert_allclose(weight, expected, rtol=1e-6)
    assert metrics["effective_share"] == pytest.approx(expected.sum() ** 2 / (expected**2).sum() / 4, rel=1e-6)


def test_importance_without_power_is_no_weighting(outcome):
    weight, _, metrics = Importance(power=0.0).apply((), outcome(np.ones(3), weight=[0.1, 1.0, 7.0]))
    np.testing.assert_allclose(weight, 1.0)
    assert metrics["effective_share"] == pytest.approx(1.0)


def test_importance_leaves_crystals_without_label_or_weight_alone(outcome):
    labelled = np.array([True, True, True, False])
    weight, _, _ = Importance().apply((), outcome(np.ones(4), weight=[0.0, 2.0, 6.0, 0.7], labelled=labelled))
    np.testing.assert_allclose(weight, [0.0, 0.5, 1.5, 0.7], rtol=1e-6)


@pytest.mark.parametrize("make", [lambda: Importance(power=2.0), lambda: Importance(clip=0.5), lambda: Balance(-1.0)])
def test_bad_settings_are_refused(make):
    with pytest.raises(ValueError, match="must lie in"):
        make()
