"""One network for every preference: its policies against enumeration, its front against the exact one, and what it refuses."""

import jax
import numpy as np
import pytest

from matjax.value import Alloys, ValueLearner
from matjax.value.network import condition, init
from matjax.value.pareto import hypervolume, non_dominated
from matjax.value.pareto_learner import ParetoLearner, ParetoPolicy, preferred
from tests.value.alloys import ELEMENTS, exact_value, trajectories

SPACE = Alloys(tuple(ELEMENTS[:6]), lattices="fcc bcc", n_site=8, min_elements=3, max_elements=4, max_count=5)
ACTIONS = trajectories(SPACE)
LEARNER = ParetoLearner(ValueLearner(tau=0.25, batch=64, n_iteration=8, inner_steps=32, width=64), n_preference=8)


def goals(lattice: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Two regular solutions whose interactions have nothing to do with each other, and a price."""
    x, rng = counts / SPACE.n_site, np.random.default_rng(5)
    mixing = [-np.einsum("ni,ij,nj->n", x, np.triu(rng.normal(size=(6, 6)), 1), x) * 12 for _ in range(2)]
    return np.column_stack([*mixing, -2.0 * x @ rng.random(6) - 0.3 * (lattice == 1)])


GOALS = goals(ACTIONS[:, 0], ACTIONS[:, 1:])
REFERENCE = np.quantile(GOALS, 0.5, axis=0)
"""The worst that counts: in every goal better than half of all alloys."""


def share_of_exact(points: np.ndarray) -> float:
    return hypervolume(points, REFERENCE) / hypervolume(GOALS, REFERENCE)


@pytest.fixture(scope="module")
def policy():
    return LEARNER(SPACE, goals, jax.random.key(0))


@pytest.mark.slow
def test_policies_of_all_preferences_have_the_front_of_enumeration(policy):
    """Draws at preferences that it never met; as many draws of chance fall short, and so does the exact best of every weighting."""
    weights = np.random.default_rng(1).dirichlet(np.ones(3), 32)
    drawn = {c.key: c for i, w in enumerate(weights) for c in policy.at(w).sample(16, jax.random.key(i))}
    found = share_of_exact(goals(*SPACE.encode(list(drawn.values()))))
    assert len(drawn) < 0.15 * SPACE.n_leaf and found > 0.95
    assert share_of_exact(goals(*SPACE.sample_uniform(len(drawn), jax.random.key(2)))) < 0.75
    assert share_of_exact(GOALS[np.unique((GOALS @ weights.T).argmax(0))]) < found


@pytest.mark.slow
def test_the_front_that_is_known(policy):
    candidates, found = policy.front()
    assert len(policy.actions) <= 8 * 64 < 0.3 * SPACE.n_leaf
    assert share_of_exact(found) > 0.95 and non_dominated(found).all()
    np.testing.assert_allclose(goals(*SPACE.encode(candidates)), found)


@pytest.mark.slow
def test_every_preference_has_its_own_distribution(policy):
    for weights in np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]):
        one = policy.at(weights)
        rewards = GOALS @ (weights / weights.sum())
        exact = np.exp((rewards - exact_value(rewards, one.tau)) / one.tau) / len(rewards)
        found = np.exp(one.log_ratio(ACTIONS)) / len(rewards)
        assert np.abs(found - exact).sum() / 2 < 0.25 < 0.3 < np.abs(exact - 1 / len(exact)).sum() / 2
        assert (
            abs(one.value([(None, {})])[0] - exact_value(rewards, one.tau))
            < 1.5 * one.tau
            < 0.25 * (exact_value(rewards, one.tau) - rewards.mean())
        )


@pytest.mark.slow
def test_a_policy_of_a_preference_is_like_any_other(policy):
    one = policy.at(np.array([2.0, 1.0, 1.0]))
    np.testing.assert_allclose(one.rewards, goals(one.actions[:, 0], one.actions[:, 1:]) @ [0.5, 0.25, 0.25])
    assert (np.diff(one.rewards) <= 0).all()
    assert type(one).from_bytes(one.to_bytes()).log_prob(one.sample(2, jax.random.key(0))).shape == (2,)
    np.testing.assert_array_equal(one.log_ratio(ACTIONS[:9]), policy.at(np.array([4.0, 2.0, 2.0])).log_ratio(ACTIONS[:9]))


def test_a_new_network_is_the_prior_for_everyone_and_a_shift_is_an_input():
    params = init(SPACE.tree, jax.random.key(0), width=16, n_preference=2)
    for preference in ([1.0, 0.0], [0.3, 0.7]):
        assert not np.asarray(condition(params, np.array(preference))["score"]).any()
    moved = condition(params, np.array([0.3, 0.7]))["bias_0"]
    np.testing.assert_allclose(moved, 0.3 * params["shift.bias_0"][0] + 0.7 * params["shift.bias_0"][1], rtol=1e-6)


@pytest.mark.slow
def test_pessimism_is_a_preference():
    """Two members that disagree about everything with gold in it; the pessimist leaves it alone."""

    def doubtful(lattice: np.ndarray, counts: np.ndarray) -> np.ndarray:
        gold = counts[:, [2]] / SPACE.n_site
        return np.stack([goals(lattice, counts) + s * 6.0 * gold for s in (1, -1)])

    told = ParetoLearner(LEARNER.learner, n_preference=8, max_kappa=1.0)(SPACE, doubtful, jax.random.key(0))
    gold = [np.exp(told.at(np.ones(3), kappa).log_ratio(ACTIONS)) @ ACTIONS[:, 3] / len(ACTIONS) for kappa in (0.0, 1.0)]
    rewards = [preferred(doubtful(ACTIONS[:, 0], ACTIONS[:, 1:]), np.array([1, 1, 1, 3 * kappa]) / 3) for kappa in (0.0, 1.0)]
    exact = [np.exp((r - exact_value(r, told.tau)) / told.tau) @ ACTIONS[:, 3] / len(ACTIONS) for r in rewards]
    np.testing.assert_allclose(gold, exact, atol=0.35)
    assert gold[1] < gold[0] - 0.5


@pytest.mark.slow
def test_goals_are_asked_once_and_equal_keys_give_equal_policies():
    asked: list[tuple] = []

    def spy(lattice: np.ndarray, counts: np.ndarray) -> np.ndarray:
        asked.extend(map(tuple, np.column_stack([lattice, counts]).tolist()))
        return goals(lattice, counts)

    short = ParetoLearner(ValueLearner(tau=0.5, batch=64, n_iteration=2, inner_steps=32, width=64))
    first, second = (short(SPACE, f, jax.random.key(3)) for f in (spy, goals))
    assert len(asked) == len(set(asked)) == len(first.actions) <= 128
    np.testing.assert_array_equal(first.goals, second.goals)


@pytest.mark.parametrize("weights", [[1.0, 1.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, np.nan, 1.0]])
def test_weights_out_of_range(weights):
    params = init(SPACE.tree, jax.random.key(0), width=16, n_preference=4)
    policy = ParetoPolicy(SPACE, params, 0.25, ACTIONS, GOALS[None])
    with pytest.raises(ValueError, match="they must be 3 numbers"):
        policy.at(np.array(weights))


def test_settings_and_goals_out_of_range():
    with pytest.raises(ValueError, match="n_preference is 0"):
        ParetoLearner(n_preference=0)(SPACE, goals, jax.random.key(0))
    with pytest.raises(ValueError, match="the goals have shape"):
        ParetoLearner()(SPACE, lambda lattice, counts: np.zeros((3, 2)), jax.random.key(0))
    with pytest.raises(FloatingPointError, match="is nan"):
        ParetoLearner()(SPACE, lambda lattice, counts: goals(lattice, counts) + np.where(counts[:, [0]] == 2, np.nan, 0), jax.random.key(0))
