"""Acquisition: every pick once, for a stated reason, the same for the same key."""

import jax
import numpy as np
import pytest

from matjax.toml import from_toml, to_toml
from matjax.value.acquisition import Acquisition, ExpectedImprovement, Greedy, LargestCluster, RandomPick, Thompson, UpperBound

KINDS = Thompson | UpperBound | ExpectedImprovement | Greedy | LargestCluster | RandomPick | Acquisition
ALL = [
    Thompson(),
    Thompson(0.0, 0.5, 0.5),
    UpperBound(2.0),
    ExpectedImprovement(),
    ExpectedImprovement(-2.5),
    Greedy(),
    LargestCluster(),
    RandomPick(),
]
SAMPLES = np.random.default_rng(0).normal(-3.0, 1.0, (5, 60))


def reasons(picks):
    return [why for _, why in picks]


@pytest.mark.parametrize("acquisition", ALL, ids=repr)
@pytest.mark.parametrize("n", [1, 7, 60])
def test_no_duplicates_and_deterministic(acquisition, n):
    picks = acquisition.pick(SAMPLES, n, jax.random.key(1))
    assert len(picks) == n and len({i for i, _ in picks}) == n and all(0 <= i < 60 and type(i) is int for i, _ in picks)
    assert picks == acquisition.pick(SAMPLES, n, jax.random.key(1))
    assert from_toml(to_toml(acquisition, KINDS), KINDS) == acquisition


@pytest.mark.parametrize("acquisition", ALL, ids=repr)
def test_bad_pools_are_refused(acquisition):
    bad = SAMPLES.copy()
    bad[2, 17] = np.nan
    with pytest.raises(ValueError, match="not finite for 1 of 60 candidates .first: number 17."):
        acquisition.pick(bad, 3, jax.random.key(0))
    for n in (61, 0, -1):
        with pytest.raises(ValueError, match=f"{n} picks from a pool of 60"):
            acquisition.pick(SAMPLES, n, jax.random.key(0))
    with pytest.raises(ValueError, match="n_sample, n_pool"):
        acquisition.pick(SAMPLES[0], 3, jax.random.key(0))


def test_greedy_and_upper_bound_take_the_best():
    by_hand = np.argsort(-SAMPLES.mean(0))[:6]
    assert Greedy().pick(SAMPLES, 6, jax.random.key(0)) == [(i, "greedy") for i in by_hand]
    assert [i for i, _ in UpperBound(0.0).pick(SAMPLES, 6, jax.random.key(0))] == list(by_hand)
    bound = SAMPLES.mean(0) + 3.0 * SAMPLES.std(0, ddof=1)
    assert UpperBound(3.0).pick(SAMPLES, 6, jax.random.key(0)) == [(i, "upper bound") for i in np.argsort(-bound)[:6]]
    assert [i for i, _ in UpperBound(3.0).pick(SAMPLES[:1], 6, jax.random.key(0))] == list(np.argsort(-SAMPLES[0])[:6])


def test_expected_improvement_is_that_of_the_definition():
    """The first pick by hand; the second must add to the first: of two that are the same to every member only one is taken."""
    gain = np.maximum(SAMPLES + 2.5, 0).mean(0)
    assert ExpectedImprovement(-2.5).pick(SAMPLES, 1, jax.random.key(0)) == [(int(np.argmax(gain)), "expected improvement")]
    assert ExpectedImprovement().against(-2.5) == ExpectedImprovement(-2.5)
    assert ExpectedImprovement().pick(SAMPLES, 1, jax.random.key(0))[0][0] == np.argmax(SAMPLES.mean(0))
    pool = np.array([[-1.0, -1.0, -4.0, -9.0], [-5.0, -5.0, -2.0, -9.0]])
    assert [i for i, _ in ExpectedImprovement(-6.0).pick(pool, 2, jax.random.key(0))] == [0, 2]
    hopeless = ExpectedImprovement(0.0).pick(pool, 3, jax.random.key(0))
    assert [i for i, _ in hopeless] == list(np.argsort(-pool.mean(0), kind="stable")[:3])


def test_equals_are_taken_in_order():
    assert Greedy().pick(np.zeros((2, 5)), 3, jax.random.key(0)) == [(0, "greedy"), (1, "greedy"), (2, "greedy")]


def test_thompson_asks_every_member_once_before_any_twice():
    samples = np.zeros((4, 20))
    for member in range(4):  # the favourites of member m are m, then 4 + m
        samples[member, [member, 4 + member]] = [2.0, 1.0]
    first = Thompson(1.0, 0.0, 0.0).pick(samples, 4, jax.random.key(3))
    assert {i for i, _ in first} == {0, 1, 2, 3} and reasons(first) == ["thompson"] * 4
    assert {i for i, _ in Thompson(1.0, 0.0, 0.0).pick(samples, 8, jax.random.key(3))} == set(range(8))


def test_thompson_of_one_member_is_greedy():
    thompson = Thompson(1.0, 0.0, 0.0).pick(SAMPLES[:1], 9, jax.random.key(0))
    assert [i for i, _ in thompson] == [i for i, _ in Greedy().pick(SAMPLES[:1], 9, jax.random.key(0))]


def test_a_batch_holds_its_shares():
    assert reasons(Thompson(0.8, 0.1, 0.1).pick(SAMPLES, 10, jax.random.key(0))) == ["thompson"] * 8 + ["upper bound", "audit"]
    small = [reasons(Thompson(0.8, 0.1, 0.1).pick(SAMPLES, 4, jax.random.key(seed))) for seed in range(200)]
    assert all(3 <= why.count("thompson") <= 4 for why in small)
    for word, share in (("thompson", 3.2), ("upper bound", 0.4), ("audit", 0.4)):
        assert np.mean([why.count(word) for why in small]) == pytest.approx(share, abs=0.1)


def test_audit_is_a_fair_sample_of_the_whole_pool():
    picked = np.zeros(60)
    for seed in range(300):
        picked[[i for i, why in Thompson(0.5, 0.0, 0.5).pick(SAMPLES, 20, jax.random.key(seed)) if why == "audit"]] += 1
    best = np.argsort(-SAMPLES.mean(0))[:10]  # what Thompson takes must not be missing from the audit
    assert picked.mean() == pytest.approx(50.0) and picked[best].mean() == pytest.approx(50.0, rel=0.1)


def test_the_largest_cluster_asks_about_every_disagreement_once_before_any_twice():
    rng = np.random.default_rng(0)
    opinions = rng.normal(size=(8, 3)) * [5.0, 4.0, 3.0]  # three things that the members disagree about, the first the most
    about = np.repeat([0, 1, 2], [40, 10, 5])
    samples = opinions[:, about] + 0.01 * rng.normal(size=(8, 55))
    asked = [about[i] for i, _ in LargestCluster().pick(samples, 3, jax.random.key(0))]
    assert sorted(asked) == [0, 1, 2]
    upper = [about[i] for i, _ in UpperBound(2.0).pick(samples, 3, jax.random.key(0))]
    assert len(set(upper)) == 1  # an upper bound asks about the same thing three times


def test_the_largest_cluster_begins_with_the_largest_spread():
    assert LargestCluster().pick(SAMPLES, 1, jax.random.key(0))[0][0] == np.argmax(SAMPLES.std(0))


def test_the_key_matters_where_chance_does():
    for acquisition in (RandomPick(), Thompson(0.5, 0.0, 0.5)):
        assert len({tuple(acquisition.pick(SAMPLES, 10, jax.random.key(seed))) for seed in range(5)}) == 5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Thompson(0.8, 0.1, 0.2), "must sum to 1"),
        (lambda: Thompson(1.2, -0.1, -0.1), "thompson must lie"),
        (lambda: UpperBound(-1.0), "kappa"),
    ],
)
def test_bad_settings_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
