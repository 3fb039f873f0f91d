"""Formulas written again in NumPy, limits, and what each base is for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.risk import ERM, CVaR, GroupDRO, Risk, RiskShape, VREx, domain_weights

KEY = jax.random.key(0)
LOSS = np.array([0.5, 2.0, 1.0, 4.0, 0.25, 3.0])
DOMAIN = np.array([0, 0, 1, 1, 1, 2])
WEIGHT = np.array([1.0, 2.0, 0.5, 1.0, 1.0, 3.0])


STEP = jax.jit(lambda base, params, memory, batch: base.apply(params, memory, batch))


def run(base, batch, n_domain=3, memory=None, sizes=None):
    params, fresh = base.init(KEY, RiskShape(n_domain, 2, sizes))
    return STEP(base, params, fresh if memory is None else memory, batch)


def domain_losses():
    return np.array([np.average(LOSS[DOMAIN == d], weights=WEIGHT[DOMAIN == d]) for d in range(3)])


def test_erm_is_the_weighted_mean(outcome):
    value, _, _ = run(ERM(), outcome(LOSS, DOMAIN, weight=WEIGHT))
    assert value == pytest.approx(np.average(LOSS, weights=WEIGHT))


def test_erm_ignores_what_has_no_label(outcome):
    labelled = np.array([True, True, True, True, True, False])
    value, _, _ = Risk().apply(*Risk().init(KEY, RiskShape(3, 2)), outcome(LOSS, DOMAIN, labelled=labelled))
    assert value == pytest.approx(LOSS[:5].mean())


def test_vrex_is_mean_plus_variance_of_the_domains(outcome):
    batch = outcome(LOSS, DOMAIN, weight=WEIGHT)
    losses = domain_losses()
    assert run(VREx(0.0), batch)[0] == pytest.approx(losses.mean())
    value, _, metrics = run(VREx(2.5), batch, n_domain=7)
    assert value == pytest.approx(losses.mean() + 2.5 * ((losses - losses.mean()) ** 2).mean())
    assert metrics["worst_loss"] == pytest.approx(losses.max())


def test_group_dro_without_a_step_keeps_uniform_weights(outcome):
    value, memory, _ = run(GroupDRO(step_size=0.0), outcome(LOSS, DOMAIN, weight=WEIGHT))
    assert value == pytest.approx(domain_losses().mean())
    np.testing.assert_allclose(domain_weights(memory), np.full(3, 1 / 3), rtol=1e-6)


def test_group_dro_is_exponentiated_gradient(outcome):
    """Algorithm 1 of the paper with the size adjustment, several steps, all domains present."""
    base, sizes, memory, weights = GroupDRO(0.3, size_adjustment=2.0), (50, 10, 2), None, np.ones(3) / 3
    for step in range(4):
        loss = LOSS * (1 + 0.1 * step)
        losses = np.array([np.average(loss[DOMAIN == d], weights=WEIGHT[DOMAIN == d]) for d in range(3)])
        weights = weights * np.exp(0.3 * (losses + 2.0 / np.sqrt(sizes)))
        weights /= weights.sum()
        value, memory, metrics = run(base, outcome(loss, DOMAIN, weight=WEIGHT), memory=memory, sizes=sizes)
        assert value == pytest.approx((weights * losses).sum(), rel=1e-5)
        np.testing.assert_allclose(domain_weights(memory), weights, rtol=1e-5)
    assert metrics["largest_weight"] == pytest.approx(weights.max(), rel=1e-5)


def test_group_dro_concentrates_on_the_worst_domain(outcome):
    value, memory, _ = run(GroupDRO(0.1), outcome(LOSS, DOMAIN))
    for _ in range(200):
        value, memory, _ = run(GroupDRO(0.1), outcome(LOSS, DOMAIN), memory=memory)
    assert domain_weights(memory)[2] > 0.99
    assert value == pytest.approx(3.0, rel=1e-2)


def test_group_dro_remembers_a_domain_that_is_absent(outcome):
    """The worst domain keeps gaining weight from its last loss while no batch has it; one never seen has none."""
    _, memory, _ = run(GroupDRO(0.1), outcome(LOSS, DOMAIN), n_domain=4)
    before = domain_weights(memory)
    for _ in range(10):
        _, memory, _ = run(GroupDRO(0.1), outcome(LOSS[:5], DOMAIN[:5]), n_domain=4, memory=memory)
    after = domain_weights(memory)
    assert after[2] > before[2] > before[0]
    assert before[3] == after[3] == 0


def test_group_dro_gradient_is_the_weights(outcome):
    """No gradient flows through the weights: d value / d l_g = q_g."""
    base = GroupDRO(1.0)
    params, memory = base.init(KEY, RiskShape(2, 2))
    gradient = jax.grad(lambda loss: base.apply(params, memory, outcome(LOSS[:2], [0, 1])._replace(loss=loss))[0])(jnp.asarray(LOSS[:2]))
    expected = np.exp(LOSS[:2]) / np.exp(LOSS[:2]).sum()
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_cvar_is_the_mean_of_the_worst(outcome):
    batch = outcome(LOSS, DOMAIN)
    assert run(CVaR(1.0), batch)[0] == pytest.approx(LOSS.mean())
    value, _, metrics = run(CVaR(0.5), batch)
    assert value == pytest.approx(np.sort(LOSS)[-3:].mean())
    assert metrics["tail_begins"] == 2.0
    assert run(CVaR(1e-6), batch)[0] == pytest.approx(LOSS.max())


@pytest.mark.parametrize("fraction", [0.2, 0.37, 0.9])
def test_cvar_is_the_minimum_of_its_dual(outcome, fraction):
    """Rockafellar and Uryasev: min over t of t + E max(loss - t, 0) / fraction, with weights."""
    share = WEIGHT / WEIGHT.sum()
    dual = min(t + (share * np.maximum(LOSS - t, 0)).sum() / fraction for t in np.linspace(-1, 5, 6001))
    value, _, _ = run(CVaR(fraction), outcome(LOSS, DOMAIN, weight=WEIGHT))
    assert value == pytest.approx(dual, rel=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupDRO(-1.0), "step_size"),
        (lambda: VREx(-0.1), "beta"),
        (lambda: CVaR(0.0), "fraction"),
        (lambda: CVaR(1.5), "fraction"),
        (lambda: GroupDRO(size_adjustment=1.0).init(KEY, RiskShape(2, 2)), "sizes"),
        (lambda: RiskShape(2, 2, (1, 2, 3)), "3 sizes for 2 domains"),
        (lambda: RiskShape(0, 2), "n_domain=0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
