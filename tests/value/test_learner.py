"""The learner against enumeration, and what it promises about calls, keys, warm starts and bad rewards."""

import dataclasses

import jax
import numpy as np
import pytest

from matjax.toml import from_toml, to_toml
from matjax.value import Alloys, Context, Genetic, ValueLearner
from tests.value.alloys import ELEMENTS, SMALL, TAU, exact_value, learned, regular_solution, trajectories


def total_variation(policy, reward) -> float:
    actions = trajectories(policy.space)
    rewards = reward(actions[:, 0], actions[:, 1:])
    exact = np.exp((rewards - rewards.max()) / policy.tau)
    found = np.exp(policy.log_ratio(actions)) / policy.space.n_leaf
    assert found.sum() == pytest.approx(1.0, abs=1e-4)
    return float(np.abs(found - exact / exact.sum()).sum() / 2)


@pytest.fixture(scope="module")
def policy():
    return learned(SMALL)


def test_policy_and_value_are_those_of_enumeration(policy):
    reward, actions = regular_solution(SMALL), trajectories(SMALL)
    rewards = reward(actions[:, 0], actions[:, 1:])
    assert total_variation(policy, reward) < 0.1
    assert abs(policy.value([(None, {})])[0] - exact_value(rewards)) < 0.1 * TAU
    for i, lattice in enumerate(("fcc", "bcc")):
        assert abs(policy.value([(lattice, {})])[0] - exact_value(rewards[actions[:, 0] == i])) < 0.3 * TAU


@pytest.mark.slow
def test_the_tree_of_2646_leaves():
    space = Alloys(tuple(ELEMENTS[:7]), lattices="fcc", n_site=10, min_elements=5, max_elements=5, max_count=6)
    reward, actions = regular_solution(space), trajectories(space)
    assert space.n_leaf == 2646
    policy = learned(space, batch=128, n_iteration=60)
    assert total_variation(policy, reward) < 0.05
    assert abs(policy.value([(None, {})])[0] - exact_value(reward(actions[:, 0], actions[:, 1:]))) < 0.05 * TAU


def test_trajectory_balance_has_the_same_policy_and_no_values_of_beginnings():
    reward, actions = regular_solution(SMALL), trajectories(SMALL)
    balanced = learned(SMALL, consistency="trajectory")
    assert total_variation(balanced, reward) < 0.1
    assert abs(balanced.value([(None, {})])[0] - exact_value(reward(actions[:, 0], actions[:, 1:]))) < 0.1 * TAU
    assert type(balanced).from_bytes(balanced.to_bytes()).consistency == "trajectory"
    with pytest.raises(ValueError, match="has no values of beginnings"):
        balanced.value([(None, {}), ("fcc", {})])


def test_the_reward_sees_each_alloy_once_and_no_more_than_the_budget():
    asked: list[tuple] = []
    reward = regular_solution(SMALL)

    def spy(lattice, counts):
        asked.extend(map(tuple, np.column_stack([lattice, counts]).tolist()))
        assert SMALL.is_legal(lattice, counts).all()
        return reward(lattice, counts)

    policy = ValueLearner(tau=TAU, batch=64, n_iteration=3)(SMALL, spy, jax.random.key(1))
    assert len(asked) == len(set(asked)) == policy.n_call <= 3 * 64
    assert policy.n_call > 2.5 * 64
    np.testing.assert_array_equal(policy.rewards, reward(policy.actions[:, 0], policy.actions[:, 1:]))
    assert (np.diff(policy.rewards) <= 0).all()


def test_a_space_smaller_than_the_budget_is_asked_whole():
    space = dataclasses.replace(SMALL, lattices=("fcc",), required=("Cu", "Ag", "Au"))
    policy = ValueLearner(tau=TAU, batch=64, n_iteration=4)(space, regular_solution(space), jax.random.key(0))
    assert 64 < policy.n_call == space.n_leaf == len(policy.sample(128, jax.random.key(1)))


def test_equal_keys_give_equal_policies():
    first, second, other = (learned(SMALL, key, n_iteration=2) for key in (0, 0, 1))
    actions = trajectories(SMALL)
    np.testing.assert_array_equal(first.log_ratio(actions), second.log_ratio(actions))
    assert not np.array_equal(first.log_ratio(actions), other.log_ratio(actions))


def test_a_warm_start_learns_more_from_few_calls(policy):
    base = regular_solution(SMALL)
    changed = lambda lattice, counts: base(lattice, counts) + 0.5 * counts[:, 0] / SMALL.n_site
    learner = ValueLearner(tau=TAU, batch=64, n_iteration=1, learning_rate=3e-3)
    warm, cold = (learner(SMALL, changed, jax.random.key(2), start) for start in (policy, None))
    assert warm.n_call <= 64
    assert total_variation(warm, changed) < 0.5 * total_variation(cold, changed)
    assert warm.rewards[:10].mean() >= cold.rewards[:10].mean()


def test_a_policy_of_another_grid_is_refused(policy):
    space = Alloys(SMALL.elements, n_site=10, min_elements=3, max_elements=4)
    with pytest.raises(ValueError, match="another shape: it has 8 sites"):
        ValueLearner(tau=TAU)(space, regular_solution(space), jax.random.key(0), policy)


def test_a_policy_speaks_of_elements_it_was_never_shown(policy):
    space = Alloys(("Cu", "Ag", "Rh", "Ni", "Pd"), lattices="fcc bcc", n_site=8, min_elements=3, max_elements=4, max_count=5)
    learner = ValueLearner(tau=TAU, batch=64, n_iteration=1, learning_rate=0.0)
    moved = learner(space, regular_solution(space), jax.random.key(0), policy)
    assert np.isfinite(moved.log_ratio(trajectories(space))).all()
    assert np.exp(moved.log_ratio(trajectories(space))).mean() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_not_finite_names_the_alloy(bad):
    def reward(lattice, counts):
        return np.where(counts[:, 0] == 2, bad, 0.0)

    with pytest.raises(FloatingPointError, match=r"the reward of (fcc|bcc) .*Cu25.* is -?(nan|inf)"):
        ValueLearner()(SMALL, reward, jax.random.key(0))


def test_a_reward_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="it must be"):
        ValueLearner()(SMALL, lambda lattice, counts: np.zeros(3), jax.random.key(0))


@pytest.mark.parametrize(
    "settings, word",
    [(dict(tau=0.0), "tau"), (dict(batch=0), "batch"), (dict(screen=0), "screen"), (dict(consistency="one"), "suffix, trajectory")],
)
def test_settings_out_of_range(settings, word):
    with pytest.raises(ValueError, match=word):
        ValueLearner(**settings)(SMALL, regular_solution(SMALL), jax.random.key(0))


def test_guidance_beats_plain_learning_and_evolution_at_few_calls():
    space = Alloys(tuple(ELEMENTS[:12]), lattices="fcc", min_elements=4, max_elements=5)
    reward, top = regular_solution(space), {}
    top20 = lambda rewards: np.sort(rewards)[-20:].mean()
    for name, genetic in (("guided", 0.5), ("plain", 0.0)):
        found = [learned(space, key, batch=64, n_iteration=8, inner_steps=8, genetic=genetic).rewards for key in (0, 1)]
        top[name] = np.mean([top20(r) for r in found])
    seen: list[np.ndarray] = []
    spy = lambda lattice, counts: seen.append(reward(lattice, counts)) or seen[-1]
    Genetic(population=64, n_generation=8).propose(20, Context(space, spy), jax.random.key(0))
    assert sum(map(len, seen)) <= 512
    assert top["guided"] > top["plain"] + 0.1 * TAU
    assert top["guided"] > top20(np.concatenate(seen))


def test_settings_come_back_from_toml():
    learner = ValueLearner(tau=0.3, genetic=0.7)
    assert from_toml(to_toml(learner), ValueLearner) == learner
