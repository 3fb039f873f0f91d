"""Budgets of nats against enumeration: the temperature, the divergence, and a learner that keeps to one."""

import dataclasses

import jax
import numpy as np
import pytest

from matjax.value import ValueLearner
from matjax.value.kl_budget import divergence, policy_divergence, policy_temperature, temperature_within
from tests.value.alloys import SMALL, TAU, exact_value, learned, regular_solution, trajectories

REWARD = regular_solution(SMALL)
ACTIONS = trajectories(SMALL)
REWARDS = REWARD(ACTIONS[:, 0], ACTIONS[:, 1:])


def test_divergence_is_the_sum_over_every_alloy():
    for tau in (0.1, 0.5, 5.0):
        p = np.exp((REWARDS - exact_value(REWARDS, tau)) / tau) / len(REWARDS)
        assert p.sum() == pytest.approx(1.0)
        written_out = (p * np.log(p * len(REWARDS))).sum()
        assert divergence(REWARDS, tau) == pytest.approx(written_out)
        assert divergence(REWARDS, tau) == pytest.approx((p @ REWARDS - exact_value(REWARDS, tau)) / tau)
        assert divergence(10 * REWARDS + 3, 10 * tau) == pytest.approx(written_out)


@pytest.mark.parametrize("budget", [1e-3, 0.5, 3.0])
def test_the_temperature_spends_the_budget(budget):
    assert divergence(REWARDS, temperature_within(REWARDS, budget)) == pytest.approx(budget, rel=1e-4)


def test_limits():
    """For T -> infinity KL is Var / (2 tau^2); for T -> 0 it is the log of how rare the best is, and no budget above that binds."""
    tau = temperature_within(REWARDS, 1e-6)
    assert tau == pytest.approx(REWARDS.std() / np.sqrt(2e-6), rel=1e-2)
    assert divergence(REWARDS, 1e-6) == pytest.approx(np.log(len(REWARDS)))
    assert temperature_within(REWARDS, 1.01 * np.log(len(REWARDS))) == 0.0 == temperature_within(np.ones(5), 0.1)
    with pytest.raises(ValueError, match="must be positive"):
        temperature_within(REWARDS, 0.0)


def test_weights_take_the_place_of_what_was_not_drawn():
    rng = np.random.default_rng(0)
    q = np.exp(0.5 * (REWARDS - REWARDS.max()))
    drawn = rng.choice(len(REWARDS), 50_000, p=q / q.sum())
    assert divergence(REWARDS[drawn], TAU, -np.log(q[drawn])) == pytest.approx(divergence(REWARDS, TAU), rel=0.05)
    assert abs(divergence(REWARDS[drawn], TAU) / divergence(REWARDS, TAU) - 1) > 0.2


@pytest.fixture(scope="module")
def kept():
    """A learner that has nothing but a budget."""
    return learned(SMALL, tau=1e-3, kl_budget=2.0)


def test_a_learner_keeps_to_its_budget(kept):
    exact = temperature_within(REWARDS, 2.0)
    assert kept.tau == pytest.approx(exact, rel=0.1)
    found, error = policy_divergence(kept, jax.random.key(0))
    ratio = kept.log_ratio(ACTIONS)
    assert (written_out := np.exp(ratio) @ ratio / len(ratio)) == pytest.approx(2.0, rel=0.1)
    assert abs(found - written_out) < 4 * error < 0.5


@pytest.mark.slow
def test_the_budget_does_not_care_for_units(kept):
    learner = ValueLearner(tau=1e-3, kl_budget=2.0, batch=64, n_iteration=12)
    scaled = learner(SMALL, lambda lattice, counts: 50 * REWARD(lattice, counts), jax.random.key(0))
    assert scaled.tau == pytest.approx(50 * kept.tau, rel=0.05)
    np.testing.assert_allclose(scaled.log_ratio(ACTIONS).mean(), kept.log_ratio(ACTIONS).mean(), rtol=0.1)


def test_a_budget_that_does_not_bind_changes_nothing():
    free, wide = (learned(SMALL, n_iteration=2, kl_budget=b) for b in (np.inf, 100.0))
    np.testing.assert_array_equal(free.log_ratio(ACTIONS), wide.log_ratio(ACTIONS))


@pytest.mark.slow
def test_a_policy_says_the_temperature_of_the_reward_it_stands_for(kept):
    rewards = kept.tau * kept.log_ratio(ACTIONS)
    for budget in (0.3, 1.0):
        assert policy_temperature(kept, budget, jax.random.key(1)) == pytest.approx(temperature_within(rewards, budget), rel=0.1)


@pytest.mark.slow
def test_a_warm_start_takes_its_temperature_along(kept):
    """Without a step of learning, the same reward at another temperature: sharper, and the value the mean it was."""
    learner = ValueLearner(tau=kept.tau / 2, batch=64, n_iteration=1, learning_rate=0.0)
    colder = learner(SMALL, REWARD, jax.random.key(0), kept)
    assert colder.tau == kept.tau / 2
    assert policy_divergence(colder, jax.random.key(0))[0] > policy_divergence(kept, jax.random.key(0))[0]
    assert colder.value([(None, {})])[0] == pytest.approx(kept.value([(None, {})])[0], rel=1e-5)


def test_a_budget_out_of_range():
    with pytest.raises(ValueError, match="kl_budget"):
        dataclasses.replace(ValueLearner(), kl_budget=0.0)(SMALL, REWARD, jax.random.key(0))
