"""The pessimistic reward: limits, the dual, derivatives, and the hole that one member has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.toml import from_toml, to_toml
from matjax.value.reward import Entropic, LowerBound, Mean, Pessimism, calibrate, inflate, novelty_limit

SAMPLES = np.random.default_rng(0).normal(-3.0, 1.0, (6, 40)) - np.random.default_rng(1).exponential(2.0, 40)


def test_entropic_limits():
    np.testing.assert_allclose(Entropic(1e12).certainty_equivalent(SAMPLES), SAMPLES.mean(0), rtol=1e-9)
    np.testing.assert_allclose(Entropic(1e-6).certainty_equivalent(SAMPLES), SAMPLES.min(0), atol=1e-5)
    second_order = SAMPLES.mean(0) - SAMPLES.var(0) / (2 * 1e3)
    np.testing.assert_allclose(Entropic(1e3).certainty_equivalent(SAMPLES), second_order, atol=2e-6)
    np.testing.assert_allclose(Entropic(1.0).certainty_equivalent(SAMPLES), -np.log(np.exp(-SAMPLES).mean(0)), rtol=1e-12)


def test_entropic_is_precise_in_single_precision():
    found = Entropic(1e6).certainty_equivalent(jnp.asarray(SAMPLES, jnp.float32))
    np.testing.assert_allclose(found, SAMPLES.mean(0), rtol=1e-5)
    assert np.isfinite(Entropic(0.01).certainty_equivalent(np.array([[-1e4], [0.0]]))).all()


@pytest.mark.parametrize("beta", [0.2, 1.0, 5.0])
def test_entropic_is_the_worst_mean_within_reach_of_uniform(beta):
    random = np.random.default_rng(2)
    value = Entropic(beta).certainty_equivalent(SAMPLES)
    dual = lambda q: q @ SAMPLES + beta * (q * np.log(q * q.shape[-1])).sum(-1, keepdims=True)
    assert (dual(random.dirichlet(np.ones(6), 500)) >= value - 1e-12).all()
    worst = np.exp(-SAMPLES / beta) / np.exp(-SAMPLES / beta).sum(0)  # [n_sample, n]: one reweighting per candidate
    attained = (worst * SAMPLES).sum(0) + beta * (worst * np.log(6 * worst)).sum(0)
    np.testing.assert_allclose(value, attained, rtol=1e-9)


@pytest.mark.parametrize("certainty", [Mean(), Entropic(0.5), LowerBound(1.0)])
def test_a_sure_thing_is_worth_itself_and_shifts_go_through(certainty):
    np.testing.assert_allclose(certainty.certainty_equivalent(np.full((5, 3), -2.5)), -2.5)
    np.testing.assert_allclose(certainty.certainty_equivalent(SAMPLES[:1]), SAMPLES[0])
    np.testing.assert_allclose(certainty.certainty_equivalent(SAMPLES + 2.0), certainty.certainty_equivalent(SAMPLES) + 2.0, rtol=1e-12)
    assert (certainty.certainty_equivalent(SAMPLES) <= SAMPLES.mean(0) + 1e-12).all()


def test_more_pessimism_is_worth_less():
    by_beta = np.stack([Entropic(beta).certainty_equivalent(SAMPLES) for beta in (0.1, 1.0, 10.0)])
    by_kappa = np.stack([LowerBound(kappa).certainty_equivalent(SAMPLES) for kappa in (2.0, 1.0, 0.0)])
    assert (np.diff(by_beta, axis=0) > 0).all() and (np.diff(by_kappa, axis=0) > 0).all()
    np.testing.assert_allclose(by_kappa[2], SAMPLES.mean(0))


def test_entropic_never_falls_when_a_member_rises():
    raised = SAMPLES + np.where(np.arange(6)[:, None] == 3, 0.5, 0.0)
    assert (Entropic(0.7).certainty_equivalent(raised) > Entropic(0.7).certainty_equivalent(SAMPLES)).all()


@pytest.mark.parametrize("certainty", [Mean(), Entropic(0.5), LowerBound(1.5)])
def test_derivatives(certainty):
    with jax.enable_x64(True):
        samples = jnp.asarray(SAMPLES[:, :4])
        np.testing.assert_allclose(certainty.certainty_equivalent(samples), certainty.certainty_equivalent(SAMPLES[:, :4]), rtol=1e-12)
        slope = jax.grad(lambda u: certainty.certainty_equivalent(u).sum())(samples)
        direction = jnp.asarray(np.random.default_rng(3).normal(size=samples.shape))
        up, down = (certainty.certainty_equivalent(samples + sign * 1e-6 * direction).sum() for sign in (1, -1))
        np.testing.assert_allclose((slope * direction).sum(), (up - down) / 2e-6, rtol=1e-6)
        agreed = jax.grad(lambda u: certainty.certainty_equivalent(u).sum())(jnp.full((3, 2), -1.0))
    np.testing.assert_allclose(agreed, 1 / 3)


def test_a_hole_of_one_member_does_not_pay():
    random = np.random.default_rng(5)
    truth = -random.exponential(1.0, 300)
    samples = truth + random.normal(0, 0.1, (6, 300))
    samples[:, 150:] -= 2.0
    truth[150:] -= 2.0
    samples[0, 150:] += 20.0  # one member believes in something that is not there
    pick = lambda certainty: truth[np.argsort(-Pessimism(certainty).reward(samples))[:20]].mean()
    assert pick(Entropic(1.0)) > pick(Mean()) + 1.5 and pick(LowerBound(1.0)) > pick(Mean()) + 1.5


def test_a_hole_of_all_members_pays_unless_novelty_costs():
    samples, novelty = np.full((5, 2), -1.0), np.array([1.0, 9.0])
    samples[:, 1] = 0.0  # all wrong together, far from the training crystals
    limit = novelty_limit(np.linspace(0.0, 2.0, 101))
    assert np.argmax(Pessimism().reward(samples)) == 1
    assert np.argmax(Pessimism().reward(samples, novelty, limit)) == 0
    free = Pessimism(density_price=0.0).reward(samples, novelty, limit)
    np.testing.assert_allclose(free, Pessimism().reward(samples))


def test_the_reward_as_written():
    samples, novelty = SAMPLES, np.linspace(0.0, 5.0, 40)
    found = Pessimism(Entropic(2.0), density_price=0.7).reward(samples, novelty, (2.0, 0.5))
    by_hand = -2.0 * np.log(np.exp(-samples / 2.0).mean(0)) - 0.7 * np.log1p(np.exp((novelty - 2.0) / 0.5))
    np.testing.assert_allclose(found, by_hand, rtol=1e-12)
    traced = jax.jit(lambda u, d: Pessimism(Entropic(2.0), density_price=0.7).reward(u, d, (2.0, 0.5)))
    np.testing.assert_allclose(traced(jnp.asarray(samples), jnp.asarray(novelty)), by_hand, rtol=2e-5)


def test_novelty_limit():
    q99, scale = novelty_limit(np.arange(101.0))
    assert (q99, scale) == (99.0, 49.0)
    for too_few in ([], [1.0], [2.0, 2.0]):
        with pytest.raises(ValueError, match="no spread to take a limit from"):
            novelty_limit(np.array(too_few))


def test_inflate_keeps_the_mean_and_scales_the_spread():
    found = inflate(SAMPLES, 2.5)
    np.testing.assert_allclose(found.mean(0), SAMPLES.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std(0), 2.5 * SAMPLES.std(0), rtol=1e-12)
    np.testing.assert_array_equal(inflate(SAMPLES[:1], 3.0), SAMPLES[:1])


def test_calibration_tends_to_the_truth_and_never_narrows():
    z = np.random.default_rng(7).normal(0.0, 3.0, 20_000)
    assert calibrate(z) == pytest.approx(3.0, rel=0.02)
    assert calibrate(np.array([])) == 1.0 and calibrate(0.1 * z) == 1.0
    assert calibrate(np.array([6.0]), prior=5.0) == pytest.approx(np.sqrt((5 + 36) / 6))
    assert 1.0 < calibrate(np.array([6.0]), prior=50.0) < calibrate(np.array([6.0]), prior=5.0) < calibrate(np.array([6.0]), prior=0.0)
    factors = [Pessimism(spread=spread).spread_factor(np.array([6.0])) for spread in (None, 2.0)]
    assert factors == [calibrate(np.array([6.0])), 2.0]


def test_calibrated_spread_has_unit_z():
    random = np.random.default_rng(8)
    truth = random.normal(size=4000)
    samples = truth + random.normal(0.0, 1.0, 4000) + 0.4 * random.normal(size=(50, 4000))
    z = lambda s: (truth - s.mean(0)) / s.std(0, ddof=1)
    assert calibrate(z(samples)) > 2.0
    assert np.sqrt(np.mean(z(inflate(samples, calibrate(z(samples)))) ** 2)) == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: Pessimism().reward(np.array([[0.0, np.nan], [0.0, 1.0]])), "not finite for 1 of 2 candidates .first: number 1.; a failed"),
        (lambda: Pessimism().reward(np.array([[0.0, -np.inf]])), "has no reward: leave it out"),
        (lambda: Pessimism().reward(np.zeros(4)), r"must be \[n_sample, n\]"),
        (lambda: Pessimism().reward(np.zeros((2, 2)), np.array([1.0, np.nan]), (1.0, 1.0)), "novelty is not finite"),
        (lambda: Pessimism().reward(np.zeros((2, 2)), np.ones(2)), "a limit"),
        (lambda: Pessimism().reward(np.zeros((2, 2)), np.ones(3), (1.0, 1.0)), r"shape \(3,\) for 2 candidates"),
        (lambda: calibrate(np.array([1.0, np.nan])), "1 of 2 standardised errors"),
        (lambda: Entropic(0.0), "beta must lie"),
        (lambda: LowerBound(-1.0), "kappa must lie"),
        (lambda: Pessimism(density_price=-1.0), "density_price must lie"),
    ],
)
def test_what_has_no_reward_is_refused(act, said):
    with pytest.raises(ValueError, match=said):
        act()


def test_pessimism_comes_from_toml():
    pessimism = Pessimism(LowerBound(2.0), density_price=0.5, spread=1.5)
    assert from_toml(to_toml(pessimism), Pessimism) == pessimism
    assert from_toml('certainty = {kind = "entropic", beta = 2}', Pessimism) == Pessimism(Entropic(2.0))
