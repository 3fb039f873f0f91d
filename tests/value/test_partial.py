"""Values of unordered facts, against sums over every alloy."""

import jax
import numpy as np
import pytest

from matjax.value import pair_values, partial_values, ternary_values
from tests.value.alloys import SMALL, exact_value, trajectories
from tests.value.test_policy import arbitrary


@pytest.fixture(scope="module")
def policy():
    return arbitrary(SMALL)


@pytest.fixture(scope="module")
def everything(policy):
    """Trajectories and the rewards that the policy stands for."""
    actions = trajectories(SMALL)
    return actions, policy.value([(None, {})])[0] + policy.tau * policy.log_ratio(actions)


def test_facts_in_any_order_agree_with_enumeration(policy, everything):
    actions, rewards = everything
    column = {e: 1 + k for k, e in enumerate(SMALL.elements)}
    partials = [(None, {}), ("bcc", {}), (None, {"Ni": 3}), ("fcc", {"Au": 2, "Cu": 0}), (None, {"Pd": 5, "Cu": 1})]
    found = partial_values(policy, partials, jax.random.key(0), n_sample=2048)
    for (lattice, counts), value, error in zip(partials, *found, strict=True):
        fits = np.all([actions[:, column[e]] == n for e, n in counts.items()], 0) & np.ones(len(actions), bool)
        fits &= {None: True, "fcc": actions[:, 0] == 0, "bcc": actions[:, 0] == 1}[lattice]
        assert abs(value - exact_value(rewards[fits], policy.tau)) < 4 * error + 1e-5
        assert error < 0.1 * policy.tau


def test_a_fact_that_no_alloy_has_is_nan(policy):
    found = partial_values(policy, [(None, {"Cu": 5, "Ag": 5}), (None, {"Cu": 1})], jax.random.key(0))
    assert np.isnan(found.value).tolist() == [True, False]
    with pytest.raises(ValueError, match="'hcp' is not among the structures"):
        partial_values(policy, [("hcp", {})], jax.random.key(0))
    with pytest.raises(ValueError, match="W is not among the elements"):
        partial_values(policy, [(None, {"W": 1})], jax.random.key(0))


def test_pairs_agree_with_enumeration(policy, everything):
    actions, rewards = everything
    present = actions[:, 1:] > 0
    exact = [[exact_value(rewards[present[:, i] & present[:, j]], policy.tau) for i in range(5)] for j in range(5)]
    found = pair_values(policy, jax.random.key(1))
    np.testing.assert_allclose(found, exact, atol=0.15 * policy.tau)
    np.testing.assert_array_equal(found, found.T)
    assert np.std(exact) > 0.15 * policy.tau


def test_a_ternary_map_agrees_with_enumeration(policy, everything):
    actions, rewards = everything
    points = ternary_values(policy, ("Cu", "Au", "Pd"), 5, jax.random.key(2))
    assert len(points) == 21
    for a, b, c, value in points:
        assert a + b + c == pytest.approx(1.0)
        fits = (actions[:, [1, 3, 5]] == np.round([[5 * a, 5 * b, 5 * c]])).all(1)
        assert fits.any() != np.isnan(value)
        assert not fits.any() or abs(value - exact_value(rewards[fits], policy.tau)) < 0.2 * policy.tau
    with pytest.raises(ValueError, match="three different elements"):
        ternary_values(policy, ("Cu", "Cu", "Pd"), 5, jax.random.key(2))
    with pytest.raises(ValueError, match="allowed: 1 to 8"):
        ternary_values(policy, ("Cu", "Au", "Pd"), 9, jax.random.key(2))
