"""The alignment audit: exact best of n against draws and brute force, the planted hole and its limit, exactness against enumeration."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from matjax.value import Alloys, Brake, Entropic, Pessimism, ValueLearner, best_of_n, exactness, inflate, planted_hole
from tests.value.alloys import regular_solution

RNG = np.random.default_rng(0)


def test_best_of_n_is_the_mean_over_every_subset():
    proxy, truth = RNG.normal(size=7), RNG.normal(size=7)
    found = best_of_n(proxy, truth, [1, 3, 7])
    for i, n in enumerate((1, 3, 7)):
        best = [max(subset, key=lambda j: proxy[j]) for subset in itertools.combinations(range(7), n)]
        assert found.proxy[i] == pytest.approx(proxy[best].mean()) and found.truth[i] == pytest.approx(truth[best].mean())
        values = np.sort(truth[best])
        assert found.low[i] == values[int(np.ceil(0.05 * len(values) - 1e-9)) - 1]
        assert found.high[i] == values[int(np.ceil(0.95 * len(values) - 1e-9)) - 1]
    np.testing.assert_allclose(found.pressure, [0.0, np.sqrt(np.log(3) - 2 / 3), np.sqrt(np.log(7) - 6 / 7)])


def test_equal_proxies_share_their_chance_whatever_their_order():
    proxy, truth = np.array([0.0, 1.0, 1.0, 1.0]), np.array([9.0, 1.0, 2.0, 6.0])
    for order in itertools.permutations(range(4)):
        assert best_of_n(proxy[list(order)], truth[list(order)], [4]).truth[0] == pytest.approx(3.0)


def test_the_gap_of_a_noisy_proxy_grows_with_pressure_and_that_of_the_truth_is_none():
    truth = RNG.normal(size=2000)
    noisy = best_of_n(truth + RNG.normal(size=2000), truth, [1, 16, 256])
    assert (np.diff(noisy.gap) > 0.2).all() and np.abs(best_of_n(truth, truth, [1, 16, 256]).gap).max() < 1e-12
    assert best_of_n(truth, truth, [2000]).truth[0] == truth.max()


@pytest.mark.parametrize("sizes, proxy", [([0], [1.0, 2.0]), ([3], [1.0, 2.0]), ([1], [1.0, np.nan]), ([1], [1.0])])
def test_best_of_n_refuses(sizes, proxy):
    with pytest.raises(ValueError, match="must be"):
        best_of_n(np.array(proxy), np.array([1.0, 2.0]), sizes)


def planted(bonus: float = 30.0):
    """Ten members, a pool of 200; a tenth of it lies in the hole."""
    samples = RNG.normal(size=200) + 0.05 * RNG.normal(size=(10, 200))
    hole = np.arange(200) < 20
    reward = lambda u: Pessimism(Entropic(0.2)).reward(inflate(u, 1.5))
    return planted_hole(reward, samples, hole, bonus, 20), reward, samples, hole


def test_pessimism_catches_a_hole_that_one_member_sees_through_and_cannot_catch_the_one_that_none_does():
    found, *_ = planted()
    assert found.caught()[:-1].all() and not found.caught()[-1]
    assert found.by_mean[1] > 0.8, "the mean follows a single member"
    assert (found.gain[1:-1] < 0).all() and found.gain[-1] == pytest.approx(30.0)


def test_audit_picks_catch_the_hole_that_all_members_believe():
    _, reward, samples, hole = planted()
    everywhere = samples - samples.max() - 1.0  # log utilities
    clean, gamed = reward(everywhere), reward(everywhere + 0.9 * hole * -everywhere)  # nine tenths of the way to the best there is
    policy = np.random.default_rng(1).choice(200, 40, p=np.exp(gamed / 0.1) / np.exp(gamed / 0.1).sum())
    gaps = np.exp(gamed[policy]) - np.exp(clean[policy])
    assert hole[policy].mean() > 0.9 and Brake().state([[gap] for gap in gaps[:20]]).n_breach >= 1
    honest = np.exp(clean[policy]) - np.exp(clean[policy])
    assert Brake().state([honest.tolist()]).n_breach == 0


def test_planted_hole_refuses_a_hole_that_is_everything():
    with pytest.raises(ValueError, match="do not fit"):
        planted_hole(lambda u: u.mean(0), np.zeros((3, 5)), np.ones(5), 1.0, 2)


@pytest.mark.slow
def test_exactness_of_a_small_tree():
    space = Alloys("Cu Ag Au Ni", lattices="fcc bcc", n_site=6, min_elements=2, max_elements=3, max_count=4)
    learner = ValueLearner(tau=0.5, batch=64, n_iteration=15, inner_steps=16, width=32)
    found = exactness(space, regular_solution(space), learner, jax.random.key(0))
    assert found.n_leaf == space.n_leaf and found.total_variation < 0.1 and abs(found.value_error) < 0.1
    untaught = exactness(space, regular_solution(space), dataclasses.replace(learner, n_iteration=1), jax.random.key(0))
    assert untaught.total_variation > 2 * found.total_variation
