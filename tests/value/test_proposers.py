"""The contract of a proposer, over all of them; and what each is for."""

import jax
import numpy as np
import pytest

from matjax.toml import from_toml, to_toml
from matjax.types import Candidate
from matjax.value import Context, GaussianProcess, Genetic, Policy, Random, ValueGuided, ValueLearner
from tests.value.alloys import SMALL, TAU, learned, regular_solution

REWARD = regular_solution(SMALL)
GUIDED = ValueGuided(ValueLearner(tau=TAU, batch=64, n_iteration=4))
OUTSIDE = Candidate("hcp", ((("W", 4), ("Ta", 4)),))


def measured(n: int, seed: int = 0) -> tuple[tuple[Candidate, float], ...]:
    lattice, counts = SMALL.sample_uniform(n, jax.random.key(seed))
    kept = {c.key: (c, float(r)) for c, r in zip(SMALL.decode(lattice, counts), REWARD(lattice, counts), strict=True)}
    return tuple(kept.values())


HISTORY = (*measured(40), (OUTSIDE, 99.0), (measured(1, seed=7)[0][0], float("nan")))
SEEN = frozenset(c.key for c, _ in HISTORY)
EMPTY = Context(SMALL)
CASES = {
    "random": (Random(), EMPTY),
    "random, history": (Random(), Context(SMALL, None, HISTORY, SEEN)),
    "genetic": (Genetic(), EMPTY),
    "genetic, history": (Genetic(), Context(SMALL, None, HISTORY, SEEN)),
    "genetic, reward": (Genetic(), Context(SMALL, REWARD, HISTORY, SEEN)),
    "gaussian process": (GaussianProcess(n_pool=128), Context(SMALL, None, HISTORY, SEEN)),
    "guided": (GUIDED, Context(SMALL, REWARD, HISTORY, SEEN)),
}


@pytest.mark.parametrize("name", CASES)
def test_proposals_are_new_distinct_legal_and_repeatable(name):
    proposer, context = CASES[name]
    found = proposer.propose(30, context, jax.random.key(0))
    assert len(found) == len({c.key for c in found}) == 30
    assert SMALL.contains(found).all() and not {c.key for c in found} & context.seen
    assert found == proposer.propose(30, context, jax.random.key(0))
    assert {c.key for c in found} != {c.key for c in proposer.propose(30, context, jax.random.key(1))} or context.reward is not None


@pytest.mark.parametrize("name", CASES)
def test_a_space_that_is_all_but_seen_gives_what_is_left(name):
    proposer, context = CASES[name]
    everything = SMALL.decode(*SMALL.enumerate())
    left = {c.key for c in everything[::200]}
    seen = frozenset(c.key for c in everything) - left
    found = proposer.propose(30, Context(SMALL, context.reward, context.history, seen), jax.random.key(0))
    assert {c.key for c in found} == left and len(found) == len(left) < 30


def mean_reward(candidates: list[Candidate]) -> float:
    return float(REWARD(*SMALL.encode(candidates)).mean())


def test_evolution_and_value_do_better_than_chance():
    history, seen = measured(60), frozenset(c.key for c, _ in measured(60))
    context = lambda reward: Context(SMALL, reward, history, seen)
    chance = mean_reward(Random().propose(20, context(None), jax.random.key(0)))
    bred = mean_reward(Genetic().propose(20, context(None), jax.random.key(0)))
    evolved = mean_reward(Genetic().propose(20, context(REWARD), jax.random.key(0)))
    guided = mean_reward(GUIDED.propose(20, context(REWARD), jax.random.key(0)))
    assert chance + 0.5 < bred < evolved
    assert guided > bred


def test_a_failed_or_outside_measurement_is_no_parent():
    """With nothing else in the history, evolution falls back to the draws of chance."""
    context = Context(SMALL, None, HISTORY[-2:], SEEN)
    again = Genetic().propose(10, context, jax.random.key(3))
    assert again == Random().propose(10, context, jax.random.key(3))


def test_a_value_guided_proposer_needs_a_reward():
    with pytest.raises(ValueError, match="needs a reward"):
        GUIDED.propose(3, EMPTY, jax.random.key(0))


def test_learning_and_picking_are_the_two_halves_of_proposing():
    context = Context(SMALL, REWARD, HISTORY, SEEN)
    policy = GUIDED.learn(context, jax.random.key(0))
    picked = GUIDED.pick(policy, 30, context, jax.random.key(0))
    assert isinstance(policy, Policy) and picked == GUIDED.propose(30, context, jax.random.key(0))
    best = [c for c in SMALL.decode(policy.actions[:, 0], policy.actions[:, 1:]) if c.key not in SEEN][:15]
    assert picked[:15] == best


def test_a_start_is_gone_on_from():
    start = learned(SMALL)
    asked: list[int] = []
    spy = lambda lattice, counts: asked.append(len(lattice)) or REWARD(lattice, counts)
    still = ValueGuided(ValueLearner(tau=TAU, batch=64, n_iteration=1, learning_rate=0.0))
    policy = still.learn(Context(SMALL, spy, start=start), jax.random.key(0))
    actions = np.column_stack(SMALL.enumerate())
    np.testing.assert_allclose(policy.log_ratio(actions), start.log_ratio(actions), atol=1e-6)
    assert policy.rewards[0] == start.rewards[0] and len(asked) == 1 and asked[0] <= 64


@pytest.mark.parametrize("proposer", [Random(), Genetic(crossover=0.5), GUIDED])
def test_settings_come_back_from_toml(proposer):
    allowed = Random | Genetic | ValueGuided
    assert from_toml(to_toml(proposer, allowed), allowed) == proposer
