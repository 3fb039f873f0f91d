"""A policy: exact replay, draws in the right proportions and without repetition, values of beginnings, and its file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from matjax.types import Candidate
from matjax.value import Alloys, Policy
from matjax.value.network import init
from matjax.value.rollout import draw, draw_distinct, replay
from tests.value.alloys import SMALL, learned, trajectories

TINY = Alloys("Cu Ag Au", lattices="fcc bcc", n_site=5, min_elements=2, max_elements=3, max_count=3)


def arbitrary(space: Alloys) -> Policy:
    """A policy with random parameters, far from uniform."""
    params = init(space.tree, jax.random.key(0), width=32)
    params |= {name: jax.random.normal(jax.random.key(i), params[name].shape) / 3 for i, name in enumerate(("score", "value"))}
    return Policy(space, params, 0.5, np.zeros((0, space.tree.n_step), np.int32), np.zeros(0), 0)


@pytest.fixture(scope="module")
def policy():
    return arbitrary(TINY)


@pytest.fixture(scope="module")
def exact(policy):
    return np.exp(policy.log_prob(TINY.decode(*TINY.enumerate())))


def test_probabilities_sum_to_one(exact):
    assert exact.sum() == pytest.approx(1.0, abs=1e-5)
    assert exact.max() > 4 * exact.min()


def test_a_new_network_is_the_prior():
    policy = Policy(TINY, init(TINY.tree, jax.random.key(0)), 0.5, np.zeros((0, 4), np.int32), np.zeros(0), 0)
    np.testing.assert_allclose(policy.log_prob(TINY.decode(*TINY.enumerate())), -np.log(TINY.n_leaf), atol=1e-5)
    assert policy.value([(None, {}), ("fcc", {"Cu": 1})]).tolist() == [0.0, 0.0]


def frequencies(actions: np.ndarray) -> np.ndarray:
    """How often each alloy of TINY occurs."""
    row = {tuple(a): i for i, a in enumerate(trajectories(TINY).tolist())}
    return np.bincount([row[tuple(a)] for a in np.asarray(actions).tolist()], minlength=TINY.n_leaf)


def test_draws_have_the_probabilities_of_replay(policy, exact):
    actions = draw(policy.params, policy.numbers, policy.tree, policy.tree, 20_000, jax.random.key(1))
    assert chisquare(frequencies(np.asarray(actions)), 20_000 * exact / exact.sum()).pvalue > 0.01


def test_distinct_draws_follow_sampling_without_replacement(policy, exact):
    many = jax.vmap(lambda key: draw_distinct(policy.params, policy.numbers, policy.tree, 4, 0.0, key))
    actions, log_p = many(jax.random.split(jax.random.key(2), 20_000))
    actions, p = np.asarray(actions), exact / exact.sum()
    assert chisquare(frequencies(actions[:, 0]), 20_000 * p).pvalue > 0.01
    second = sum(p[i] * np.where(np.arange(len(p)) == i, 0, p) / (1 - p[i]) for i in range(len(p)))
    assert chisquare(frequencies(actions[:, 1]), 20_000 * second).pvalue > 0.01
    np.testing.assert_allclose(np.exp(log_p[0]), exact[[frequencies(a[None]).argmax() for a in actions[0]]], rtol=1e-4)


def test_samples_are_distinct_and_exhaust_the_space(policy):
    found = policy.sample(10, jax.random.key(3))
    assert len({c.key for c in found}) == 10 and TINY.contains(found).all()
    assert found == policy.sample(10, jax.random.key(3)) != policy.sample(10, jax.random.key(4))
    everything = policy.sample(10 * TINY.n_leaf, jax.random.key(3))
    assert len({c.key for c in everything}) == len(everything) == TINY.n_leaf


def test_replay_agrees_with_a_walk_by_hand(policy):
    """The product of choices, each read from a trajectory that shares only the beginning, is the probability of the whole."""
    actions = trajectories(TINY)
    log_pi, _, value = (np.asarray(x) for x in replay(policy.params, policy.numbers, policy.tree, jnp.asarray(actions)))
    for t in range(1, TINY.tree.n_step):
        for beginning in np.unique(actions[:, :t], axis=0):
            same = (actions[:, :t] == beginning).all(1)
            assert np.ptp(value[same, t]) < 1e-5 and np.ptp(log_pi[same, t - 1]) < 1e-5
            children = {int(a): log_pi[same & (actions[:, t] == a), t][0] for a in np.unique(actions[same, t])}
            assert np.exp(list(children.values())).sum() == pytest.approx(1.0, abs=1e-5)


def test_a_batch_is_its_rows(policy):
    candidates = TINY.decode(*TINY.enumerate())
    np.testing.assert_allclose(policy.log_prob(candidates)[5:7], policy.log_prob(candidates[5:7]), atol=1e-6)
    assert policy.log_prob([]).shape == (0,) and policy.value([]).shape == (0,)


def test_values_of_beginnings_are_those_of_replay(policy):
    actions = trajectories(TINY)
    *_, value = replay(policy.params, policy.numbers, policy.tree, jnp.asarray(actions))
    a = actions[7]
    partials = [(None, {}), ("fcc", {}), ("fcc", {"Cu": int(a[1])}), ("fcc", {"Cu": int(a[1]), "Ag": int(a[2])})]
    assert a[0] == 0
    np.testing.assert_allclose(policy.value(partials), 0.5 * np.asarray(value)[7], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "partial, words",
    [
        ((None, {"Cu": 1}), "the structure comes first"),
        (("fcc", {"Ag": 1}), "Cu comes first"),
        (("hcp", {}), "'hcp' is not among the structures"),
        (("fcc", {"Cu": 4}), "no material of the space begins"),
        (("fcc", {"W": 4}), "W is not among"),
    ],
)
def test_what_is_no_beginning_is_refused(policy, partial, words):
    with pytest.raises(ValueError, match=words):
        policy.value([partial])


def test_a_finished_alloy_is_worth_its_reward_as_the_policy_has_it(policy):
    (candidate,) = TINY.decode(*(x[:1] for x in TINY.enumerate()))
    counts = {e: dict(candidate.occupancy[0]).get(e, 0) for e in TINY.elements}
    expected = policy.value([(None, {})])[0] + 0.5 * policy.log_ratio(trajectories(TINY)[:1])[0]
    assert policy.value([(candidate.prototype, counts)])[0] == pytest.approx(expected, abs=1e-5)


def test_an_outside_candidate_is_refused(policy):
    with pytest.raises(ValueError, match="outside the space"):
        policy.log_prob([Candidate("hcp", ((("Cu", 3), ("Ag", 2)),))])


def test_a_policy_comes_back_from_its_bytes():
    policy = learned(SMALL, n_iteration=1)
    again = Policy.from_bytes(policy.to_bytes())
    actions = trajectories(SMALL)
    np.testing.assert_array_equal(policy.log_ratio(actions), again.log_ratio(actions))
    np.testing.assert_array_equal(policy.actions, again.actions)
    assert (again.space, again.tau, again.n_call) == (policy.space, policy.tau, policy.n_call)
    assert policy.to_bytes() == again.to_bytes()
    with pytest.raises(ValueError, match="not a saved policy"):
        Policy.from_bytes(policy.to_bytes()[:100])
