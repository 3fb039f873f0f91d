"""One network for every preference: a policy that is conditioned on the weights of the goals, and its Pareto front."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from matjax import keys
from matjax.config import spec
from matjax.types import Candidate
from matjax.value import network
from matjax.value.consistency import LOSSES, Loss, descend, optimizer
from matjax.value.learner import ValueLearner
from matjax.value.memory import Memory
from matjax.value.mutation import mutate
from matjax.value.network import Params, condition
from matjax.value.pareto import non_dominated
from matjax.value.policy import Policy
from matjax.value.rollout import draw_distinct, replay
from matjax.value.space import Space
from matjax.value.tree import Tree

Goals = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Structure [n] and counts [n, n_element * n_orbit] of distinct materials -> goals [n, n_goal], or per member [n_member, n, n_goal]; larger
is better."""


def preferred(goals: np.ndarray, preference: np.ndarray) -> np.ndarray:
    """Rewards [n] of goals [n_member, n, n_goal] under a preference (weights of the goals, kappa) [n_goal + 1].

    The members' mean of sum_k w_k g_k, less kappa of their standard deviations.
    """
    totals = goals @ preference[:-1]
    return totals.mean(0) - preference[-1] * totals.std(0)


@dataclasses.dataclass(frozen=True, eq=False)
class ParetoPolicy:
    """A policy for every preference.

    Attributes:
      space: The alloys.
      params: Parameters of the conditioned scorer.
      tau: Temperature, in units of the goals.
      actions: Alloys whose goals are known, as trajectories [n_known, n_step].
      goals: What is known of them [n_member, n_known, n_goal].
    """

    space: Space
    params: Params
    tau: float
    actions: np.ndarray
    goals: np.ndarray

    def at(self, weights: np.ndarray, kappa: float = 0.0) -> Policy:
        """The policy of one preference, like any other.

        Args:
          weights: Of the goals [n_goal], not negative; only their ratios matter.
          kappa: Standard deviations of the members that are taken off.

        Raises:
          ValueError: If the weights are not one per goal, negative, or all zero.
        """
        weights, n_goal = np.asarray(weights, float), self.goals.shape[2]
        if weights.shape != (n_goal,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            raise ValueError(f"the weights are {weights.tolist()}; they must be {n_goal} numbers, none negative, not all zero")
        preference = np.append(weights / weights.sum(), kappa)
        params = condition(self.params, jnp.asarray(preference, jnp.float32))
        rewards = preferred(self.goals, preference)
        order = np.argsort(-rewards, kind="stable")
        return Policy(self.space, params, self.tau, self.actions[order], rewards[order], len(rewards))

    def front(self) -> tuple[list[Candidate], np.ndarray]:
        """The known alloys that no other known one beats in every goal, and their goals [n, n_goal] (means of the members)."""
        goals = self.goals.mean(0)
        rows = np.flatnonzero(non_dominated(goals))
        return self.space.decode(self.actions[rows, 0], self.actions[rows, 1:]), goals[rows]


@spec
class ParetoLearner:
    """Learns the policies of all preferences at once: what an alloy is worth under any weights follows from its goals, in one call.

    As `ValueLearner`, with a scorer that is told the weights (and kappa). In every iteration some preferences are drawn; each asks about
    its own children and draws; and every known alloy teaches every preference. The front is that of sums of weighted goals: where the
    front is not convex, it is found by the spread that the temperature leaves, not aimed at.

    Source:
      Abels et al. (2019), Dynamic weights in multi-objective deep reinforcement learning (the conditioning); Jain et al. (2023),
      Multi-objective GFlowNets (preferences from a Dirichlet distribution).

    Attributes:
      learner: Settings of the learning; its budget of nats, its crossover and its start are not used.
      n_preference: Preferences per iteration; they share out its batch.
      concentration: Of the Dirichlet distribution of the weights: 1 is uniform, less favours single goals.
      alone: Share of the preferences that are for one goal alone, where the front ends.
      max_kappa: Largest pessimism, drawn uniformly from 0 on.
    """

    learner: ValueLearner = ValueLearner()
    n_preference: int = 8
    concentration: float = 1.0
    alone: float = 0.25
    max_kappa: float = 0.0

    def __call__(self, space: Space, goals: Goals, key: jax.Array) -> ParetoPolicy:
        """The policies of goals.

        Args:
          space: The alloys.
          goals: Goals of distinct alloys, called on each alloy at most once.
          key: Random key; equal arguments give equal policies.

        Raises:
          ValueError: If a setting is out of range, or the goals have another shape than they must.
          FloatingPointError: If a goal of an alloy is not finite, or the loss is not.
        """
        self._check()
        known: list[np.ndarray] = []
        memory, o = Memory(space, partial(_recorded, goals, known)), self.learner
        memory.ask(np.column_stack(space.sample_uniform(o.batch, keys.child(key, "first"))))
        params = self._params(space, np.concatenate(known, 1), keys.child(key, "init"))
        moments, schedule = (
            optimizer(o.learning_rate, 1.0, o.clip).init(params),
            (o.learning_rate, float(o.n_iteration * o.inner_steps), o.clip),
        )
        policy = ParetoPolicy(space, params, float(o.tau), memory.actions, np.concatenate(known, 1))
        anyone, n_newest = policy.at(np.ones(policy.goals.shape[2])), len(memory)
        numbers, tree = anyone.numbers, anyone.tree
        for i in range(o.n_iteration):
            rng = keys.generator(keys.child(key, "iteration", i))
            if i:
                n_newest = self._explore(memory, policy, numbers, tree, rng, keys.child(key, "draw", i))
                policy = dataclasses.replace(policy, actions=memory.actions, goals=np.concatenate(known, 1))
            batches = self._batches(policy, n_newest, rng)
            (params, moments), loss = descend(CONDITIONED[o.consistency], (policy.params, moments), numbers, tree, batches, *schedule)
            policy = dataclasses.replace(policy, params=params)
            if not np.isfinite(loss).all():
                raise FloatingPointError(f"the loss of iteration {i} is {loss[-1]}; tau is {o.tau:g}")
        return policy

    def _check(self) -> None:
        self.learner.check()
        if not 1 <= self.n_preference <= self.learner.batch or not self.concentration > 0 or not self.max_kappa >= 0:
            raise ValueError(
                f"n_preference is {self.n_preference}, concentration {self.concentration} and max_kappa {self.max_kappa}; they must be "
                f"from 1 to the batch of {self.learner.batch}, positive, and not negative"
            )

    def _params(self, space: Space, goals: np.ndarray, key: jax.Array) -> Params:
        """A network at the prior; its value starts at the sum of what single goals alone would be worth."""
        exponent = goals.mean(0) / self.learner.tau
        alone = logsumexp(exponent, 0) - np.log(len(exponent))
        sizes = {"width": self.learner.width, "depth": self.learner.depth, "n_preference": goals.shape[2] + 1}
        offset, scale = jnp.asarray(np.append(alone, 0.0), jnp.float32), jnp.float32(max(exponent.std(0).max(), 1.0))
        return {**network.init(space.tree, key, **sizes), "shift.offset": offset, "scale": scale}

    def _preferences(self, shape: tuple[int, ...], n_goal: int, rng: np.random.Generator) -> np.ndarray:
        """Weights of the goals, then kappa [*shape, n_goal + 1]."""
        weights = rng.dirichlet(np.full(n_goal, self.concentration), shape)
        corners = np.eye(n_goal)[rng.integers(0, n_goal, shape)]
        weights = np.where(rng.random((*shape, 1)) < self.alone, corners, weights)
        return np.concatenate([weights, rng.uniform(0.0, self.max_kappa, (*shape, 1))], -1)

    def _explore(
        self, memory: Memory, policy: ParetoPolicy, numbers: jax.Array, tree: Tree, rng: np.random.Generator, key: jax.Array
    ) -> int:
        """Every preference asks about children of its best alloys, those that it likes best, and about its draws; how many were new."""
        o, n_before = self.learner, len(memory)
        preferences = self._preferences((self.n_preference,), policy.goals.shape[2], rng)
        share = -(-o.batch // self.n_preference)
        n_child = round(o.genetic * share)
        elites = [np.argsort(-preferred(policy.goals, p), kind="stable")[: -(-o.elite // self.n_preference)] for p in preferences]
        parents = np.concatenate([memory.actions[rng.choice(rows, max(o.screen * n_child, 1))] for rows in elites])
        children = mutate(memory.space, parents, rng).reshape(self.n_preference, -1, tree.n_step)
        told = (policy.params, jnp.asarray(preferences, jnp.float32), numbers, tree)
        liked = np.argsort(-np.asarray(_log_ratios(*told, jnp.asarray(children))), 1, kind="stable")
        drawn, log_p = _draw_each(*told, 2 * share, o.explore, key)
        for best, order, draws, is_open in zip(children, liked, np.asarray(drawn), np.isfinite(np.asarray(log_p)), strict=True):
            bred, fresh = memory.new(best[order]), memory.new(draws[is_open])
            left = o.batch - (len(memory) - n_before)
            memory.ask(memory.new(np.concatenate([bred[:n_child], fresh, bred[n_child:]]))[: min(share, left)])
        return len(memory) - n_before

    def _batches(self, policy: ParetoPolicy, n_newest: int, rng: np.random.Generator) -> tuple[jax.Array, ...]:
        """Trajectories, rewards / tau and preferences of every step, for each preference as many newest, best and any alloys."""
        o, known = self.learner, np.arange(len(policy.actions))
        preferences = self._preferences((o.inner_steps, self.n_preference), policy.goals.shape[2], rng)
        newest = known[len(known) - n_newest :] if n_newest else known
        rows, targets = [], []
        for preference in preferences.reshape(-1, preferences.shape[-1]):
            rewards = preferred(policy.goals, preference)
            best = np.argpartition(-rewards, min(o.elite, len(rewards)) - 1)[: o.elite]
            share = -(-o.batch // self.n_preference)
            rows.append(np.concatenate([rng.choice(some, share) for some in (newest, best, known)]))
            targets.append(rewards[rows[-1]] / o.tau)
        shape = (o.inner_steps, self.n_preference, -1)
        trajectories = policy.actions[np.array(rows)].reshape(*shape, policy.actions.shape[1])
        return jnp.asarray(trajectories), jnp.asarray(np.reshape(targets, shape), jnp.float32), jnp.asarray(preferences, jnp.float32)


def _recorded(goals: Goals, known: list[np.ndarray], lattice: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Keeps the goals [n_member, n, n_goal]; says their mean, so that what is not finite is refused."""
    found = np.asarray(goals(lattice, counts), float)
    found = found[None] if found.ndim == 2 else found
    if found.ndim != 3 or found.shape[1] != len(counts) or (known and found.shape[::2] != known[0].shape[::2]):
        raise ValueError(f"the goals have shape {found.shape} for {len(counts)} alloys; they must be [n, n_goal] or [n_member, n, n_goal]")
    known.append(found)
    return found.mean((0, 2))


def _conditioned(loss: Loss) -> Loss:
    """A loss over groups of trajectories, each under its own preference."""

    def over_preferences(
        params: Params, numbers: jax.Array, tree: Tree, actions: jax.Array, targets: jax.Array, preferences: jax.Array
    ) -> jax.Array:
        one = lambda a, t, p: loss(condition(params, p), numbers, tree, a, t)
        return jax.vmap(one)(actions, targets, preferences).mean()

    return over_preferences


CONDITIONED: dict[str, Loss] = {name: _conditioned(loss) for name, loss in LOSSES.items()}


@jax.jit
def _log_ratios(params: Params, preferences: jax.Array, numbers: jax.Array, tree: Tree, actions: jax.Array) -> jax.Array:
    """Log ratios to the prior [n_preference, n] of trajectories [n_preference, n, n_step]."""

    def one(preference: jax.Array, actions: jax.Array) -> jax.Array:
        log_pi, log_pi0, _ = replay(condition(params, preference), numbers, tree, actions)
        return (log_pi - log_pi0).sum(1)

    return jax.vmap(one)(preferences, actions)


@partial(jax.jit, static_argnames="n")
def _draw_each(
    params: Params, preferences: jax.Array, numbers: jax.Array, tree: Tree, n: int, explore: float, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Distinct draws of each preference [n_preference, n, n_step], and their log probability."""
    one = lambda preference, key: draw_distinct(condition(params, preference), numbers, tree, n, explore, key)
    return jax.vmap(one)(preferences, jax.random.split(key, len(preferences)))
