"""Who proposes what to measure next: random, genetic, or a learned value.

All is rebuilt from the history, so a resumed campaign asks for the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Protocol

import jax
import numpy as np

from matjax import keys
from matjax.config import spec
from matjax.types import Candidate
from matjax.value.learner import ValueLearner
from matjax.value.memory import Memory, Reward
from matjax.value.mutation import cross, mutate
from matjax.value.policy import Policy
from matjax.value.space import Space

MAX_DRAW = 50
"""Rounds of drawing before a proposer takes what is left of the space in order, or returns fewer than it was asked for."""


@dataclasses.dataclass(frozen=True, eq=False)
class Context:
    """What a proposer may know.

    Attributes:
      space: The alloys to choose from.
      reward: Reward of alloys (see `memory.Reward`), or None where nothing but the history speaks.
      history: (candidate, utility) of what was measured; NaN where a measurement failed. Candidates outside the space may be there.
      seen: Keys of candidates that must not be proposed: measured, failed or under way.
      start: A policy to go on from, such as that of the last round, or None.
    """

    space: Space
    reward: Reward | None = None
    history: tuple[tuple[Candidate, float], ...] = ()
    seen: frozenset[str] = frozenset()
    start: Policy | None = None


class Proposer(Protocol):
    """Anything that proposes."""

    def propose(self, n: int, context: Context, key: jax.Array) -> list[Candidate]:
        """Distinct candidates [n] of the space that were not seen; fewer where it has no more. Equal arguments, equal answer."""
        ...


@spec
class Random:
    """Alloys drawn with equal probability."""

    def propose(self, n: int, context: Context, key: jax.Array) -> list[Candidate]:
        """Distinct unseen candidates [n]."""
        return _fill([], n, context, key)


@spec
class Genetic:
    """Evolution: parents win tournaments on what was measured, children are mutated or crossed.

    Without a reward, the parents are the measured alloys and each proposal is a child of two of them. With a reward, a population
    evolves on it first and the best that it met are proposed.

    Attributes:
      tournament: Parents are the best of so many drawn.
      crossover: Share of children that cross two parents before they mutate.
      population: Parents kept, the best so far.
      n_generation: Generations on the reward; population x n_generation calls at most.
    """

    tournament: int = 3
    crossover: float = 0.3
    population: int = 128
    n_generation: int = 8

    def propose(self, n: int, context: Context, key: jax.Array) -> list[Candidate]:
        """Distinct unseen candidates [n]."""
        rng = keys.generator(keys.child(key, "genetic"))
        parents, utilities = _measured(context, self.population)
        if context.reward is not None:
            memory = self._evolve(context.reward, context, parents, rng, keys.child(key, "first"))
            return _fill(_unseen(memory.actions[memory.best(len(memory))], context, n), n, context, key)
        found: list[Candidate] = []
        for _ in range(MAX_DRAW if len(parents) else 0):
            if len(found) == n:
                break
            children = _unseen(self._children(context.space, parents, utilities, n, rng), context, n)
            found = list({c.key: c for c in found + children}.values())[:n]
        return _fill(found, n, context, key)

    def _children(self, space: Space, parents: np.ndarray, utilities: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """Children [n, n_step] of tournament winners."""
        winners = [_tournament(utilities, n, self.tournament, rng) for _ in range(2)]
        is_crossed = rng.random(n)[:, None] < self.crossover
        crossed = cross(space, parents[winners[0]], parents[winners[1]], rng)
        return mutate(space, np.where(is_crossed, crossed, parents[winners[0]]), rng)

    def _evolve(self, reward: Reward, context: Context, parents: np.ndarray, rng: np.random.Generator, key: jax.Array) -> Memory:
        """What the reward says of a population that evolves: (mu + lambda), best first."""
        space, memory = context.space, Memory(context.space, reward)
        lattice, counts = space.sample_uniform(self.population, key)
        memory.ask(np.concatenate([parents, np.concatenate([lattice[:, None], counts], 1)])[: self.population])
        for _ in range(self.n_generation - 1):
            best = memory.best(self.population)
            drawn = self._children(space, memory.actions[best], memory.rewards[best], 2 * self.population, rng)
            memory.ask(memory.new(drawn)[: self.population])
        return memory


@spec
class ValueGuided:
    """A policy learned on the reward: its best finds, and draws from it.

    Attributes:
      learner: Learns the policy.
      best: Share of the proposals that are the best alloys the learner met; the rest are drawn from the policy.
    """

    learner: ValueLearner = dataclasses.field(default_factory=ValueLearner)
    best: float = 0.5

    def learn(self, context: Context, key: jax.Array) -> Policy:
        """The policy of this context's reward, from `context.start` where there is one.

        Raises:
          ValueError: If there is no reward.
        """
        if context.reward is None:
            raise ValueError("a value-guided proposer needs a reward to learn from; give one in the context, or use Genetic or Random")
        measured = sorted((p for p in context.history if math.isfinite(p[1])), key=lambda p: -p[1])
        return self.learner(context.space, context.reward, keys.child(key, "learn"), context.start, first=[c for c, _ in measured])

    def pick(self, policy: Policy, n: int, context: Context, key: jax.Array) -> list[Candidate]:
        """Distinct unseen candidates [n]: the best the policy's learner met, then draws from the policy."""
        found = _unseen(policy.actions, context, round(self.best * n))
        taken = dataclasses.replace(context, seen=context.seen | {c.key for c in found})
        drawn = policy.sample(min(2 * n + len(context.seen), context.space.n_leaf), keys.child(key, "draw"))
        found += [c for c in drawn if c.key not in taken.seen][: n - len(found)]
        return _fill(found, n, context, key)

    def propose(self, n: int, context: Context, key: jax.Array) -> list[Candidate]:
        """Distinct unseen candidates [n].

        Raises:
          ValueError: If there is no reward.
        """
        return self.pick(self.learn(context, key), n, context, key)


def _measured(context: Context, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Trajectories [<= n, n_step] and utilities of the measured alloys of the space that did not fail, best first."""
    kept = [(c, u) for c, u in context.history if math.isfinite(u) and not context.space.why_outside(c)]
    kept = sorted(kept, key=lambda pair: -pair[1])[:n]
    lattice, counts = context.space.encode([c for c, _ in kept])
    return np.concatenate([lattice[:, None], counts], 1), np.array([u for _, u in kept])


def _tournament(utilities: np.ndarray, n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Winners [n] among `utilities`, each the best of `size` drawn."""
    drawn = rng.integers(0, len(utilities), (n, max(size, 1)))
    return drawn[np.arange(n), np.argmax(utilities[drawn], 1)]


def _unseen(actions: np.ndarray, context: Context, n: int) -> list[Candidate]:
    """The first n distinct candidates of trajectories that were not seen."""
    found: dict[str, Candidate] = {}
    for candidate in context.space.decode(actions[:, 0], actions[:, 1:]):
        if len(found) < n and candidate.key not in context.seen:
            found.setdefault(candidate.key, candidate)
    return list(found.values())


def _fill(found: Sequence[Candidate], n: int, context: Context, key: jax.Array) -> list[Candidate]:
    """`found`, completed to n with uniform draws; with what is left of the space, in random order, where draws keep repeating."""
    space, kept = context.space, {c.key: c for c in found}
    for i in range(MAX_DRAW):
        if len(kept) >= n:
            return list(kept.values())[:n]
        lattice, counts = space.sample_uniform(n, keys.child(key, "fill", i))
        kept.update({c.key: c for c in space.decode(lattice, counts) if c.key not in context.seen and c.key not in kept})
    if len(kept) < n and space.n_leaf <= len(kept) + len(context.seen) + 100_000:
        lattice, counts = space.enumerate()
        order = keys.generator(keys.child(key, "left")).permutation(len(lattice))
        kept.update({c.key: c for c in space.decode(lattice[order], counts[order]) if c.key not in context.seen and c.key not in kept})
    return list(kept.values())[:n]
