"""Learning a value over partial materials: full-suffix path consistency, guided by evolution."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from matjax import keys
from matjax.config import spec
from matjax.types import Candidate
from matjax.value import network
from matjax.value.consistency import LOSSES, descend, optimizer
from matjax.value.kl_budget import policy_temperature, temperature_within
from matjax.value.memory import Memory, Reward
from matjax.value.mutation import cross, mutate
from matjax.value.network import Params
from matjax.value.policy import Policy
from matjax.value.rollout import draw_distinct
from matjax.value.space import Space

SELECTION = 0.2
"""Elites are picked as parents with probability proportional to exp(SELECTION x reward / tau)."""


@spec
class ValueLearner:
    """Learns the policy and the value of a reward in some hundred to some thousand reward calls.

    Each iteration asks the reward about new alloys, some drawn from the policy (without repetition), some children of the best known
    (their trajectory is forced, so they are as good to learn from), and takes gradient steps on the newest, the best and any known
    alloys. For every beginning s_t of every trajectory, with value and rewards in units of tau, the loss is

      ( V(s_t) / tau + sum over t' >= t of [log pi(a_t' | s_t') - log pi0(a_t' | s_t')] - r(x) / tau )^2,

    pi0 being uniform over materials (not over actions). It vanishes everywhere only at the optimum that `Policy` describes, whatever
    alloys it is taken over; so there is no bootstrapping, no target network and no importance weight. Trajectory balance is its first
    term, t = 0, alone: the same policy at the optimum, but of the values only that of the empty beginning.

    Source:
      Nachum et al. (2017), Bridging the gap between value and policy based reinforcement learning (path consistency, over full
      suffixes here); Malkin et al. (2022), Trajectory balance; Kim et al. (2024), Genetic-guided GFlowNets (the guidance). The prior
      pi0 takes the place of the counting measure.

    Attributes:
      tau: Temperature of the policy, in units of the reward: small is greedy, large is diverse.
      kl_budget: Most that the policy may differ from pi0, KL(pi || pi0) in nats; tau is raised, before every iteration, to where the
        policy learned so far keeps to it. With a tau of next to nothing the budget alone says how far the search goes.
      batch: New alloys per iteration, at most; each is one reward call.
      n_iteration: Iterations; batch x n_iteration is the budget of reward calls.
      inner_steps: Gradient steps per iteration.
      elite: Best alloys that are parents and are replayed.
      genetic: Share of the new alloys that are children of elites; the rest are drawn from the policy.
      screen: Children that are made for each one that is asked about: those that the policy thinks best of. 1 asks about any.
      crossover: Share of the children that cross two elites before they mutate.
      explore: Share of pi0 that is mixed into every choice while drawing.
      learning_rate: Peak step size of Adam, cosine decay.
      clip: Largest norm of a gradient.
      width: Width of the scorer's hidden layers.
      depth: Number of hidden layers.
      consistency: "suffix": over every beginning; "trajectory": over whole trajectories alone.
    """

    tau: float = 0.2
    kl_budget: float = math.inf
    batch: int = 128
    n_iteration: int = 8
    inner_steps: int = 16
    elite: int = 256
    genetic: float = 0.5
    screen: int = 16
    crossover: float = 0.1
    explore: float = 0.05
    learning_rate: float = 1e-2
    clip: float = 10.0
    width: int = 128
    depth: int = 2
    consistency: str = "suffix"

    def __call__(
        self, space: Space, reward: Reward, key: jax.Array, start: Policy | None = None, first: Sequence[Candidate] = ()
    ) -> Policy:
        """The policy of a reward.

        Args:
          space: The alloys.
          reward: Reward of distinct alloys (see `memory.Reward`), called on each alloy at most once.
          key: Random key; equal arguments give equal policies.
          start: A policy to go on from: its network, and its best alloys to be asked about again. Its space may have other elements.
          first: Alloys to ask about in the first iteration; those outside the space are left out.

        Raises:
          ValueError: If a setting is out of range, or `start` has another grid, or other bounds or sizes that shape its network.
          FloatingPointError: If the reward of an alloy is not finite, or the loss is not.
        """
        self.check()
        memory, uniform = self._begin(space, reward, start, first, keys.child(key, "first"))
        tau = max(self.tau, temperature_within(uniform, self.kl_budget)) if start is None else start.tau
        params = self._params(space, uniform, tau, start, keys.child(key, "init"))
        policy = Policy(space, params, float(tau), *_sorted(memory), self.consistency)
        moments = optimizer(self.learning_rate, 1.0, self.clip).init(policy.params)
        n_newest, schedule = len(memory), (self.learning_rate, float(self.n_iteration * self.inner_steps), self.clip)
        for i in range(self.n_iteration):
            rng = keys.generator(keys.child(key, "iteration", i))
            policy = self._tempered(policy, keys.child(key, "tau", i)) if i or start is not None else policy
            if i:
                n_newest = self._explore(memory, policy, rng, keys.child(key, "draw", i))
            rows = self._rows(memory, n_newest, rng)
            batches, state = (memory.actions[rows], memory.rewards[rows] / policy.tau), (policy.params, moments)
            (params, moments), loss = descend(LOSSES[self.consistency], state, policy.numbers, policy.tree, batches, *schedule)
            policy = dataclasses.replace(policy, params=params)
            if not np.isfinite(loss).all():
                span = np.ptp(memory.rewards)
                raise FloatingPointError(f"the loss of iteration {i} is {loss[-1]}; rewards span {span:.3g}, tau is {policy.tau:g}")
        return Policy(space, policy.params, policy.tau, *_sorted(memory), self.consistency)

    def check(self) -> None:
        """Raises ValueError if a setting is out of range."""
        for name in ("batch", "n_iteration", "inner_steps", "elite", "screen", "width", "depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of the value learner is {getattr(self, name)}; it must be at least 1")
        if not self.tau > 0:
            raise ValueError(f"tau of the value learner is {self.tau}; it must be positive")
        if not self.kl_budget > 0:
            raise ValueError(f"kl_budget of the value learner is {self.kl_budget} nats; it must be positive, or inf for no limit")
        if self.consistency not in LOSSES:
            raise ValueError(f"consistency of the value learner is {self.consistency!r}; allowed: {', '.join(LOSSES)}")

    def _begin(
        self, space: Space, reward: Reward, start: Policy | None, first: Sequence[Candidate], key: jax.Array
    ) -> tuple[Memory, np.ndarray]:
        """The first batch: what is given, the best of `start`, uniform draws. The memory, and the rewards of the uniform draws."""
        memory = Memory(space, reward)
        given = [c for c in first if not space.why_outside(c)][: self.batch // 2]
        if start is not None:
            kept = start.actions[: self.batch // 2]
            given += [c for c in start.space.decode(kept[:, 0], kept[:, 1:]) if not space.why_outside(c)]
        n_given = len({c.key for c in given})
        uniform = np.column_stack(space.sample_uniform(max(self.batch - n_given, 1), key))
        memory.ask(np.concatenate([np.column_stack(space.encode(given)), uniform]))
        return memory, memory.ask(uniform)

    def _tempered(self, policy: Policy, key: jax.Array) -> Policy:
        """The policy at the temperature of the settings, or at the higher one that keeps it within the budget."""
        tau = float(self.tau)
        if self.kl_budget < math.inf:
            tau = max(tau, policy_temperature(policy, self.kl_budget, key))
        if tau == policy.tau:
            return policy
        ratio = policy.tau / tau
        scaled = {name: policy.params[name] * ratio for name in ("score", "offset", "scale")}
        return dataclasses.replace(policy, tau=tau, params={**policy.params, **scaled})

    def _params(self, space: Space, uniform: np.ndarray, tau: float, start: Policy | None, key: jax.Array) -> Params:
        """The network of `start`; or a new one at the prior, its value centred on the rewards of uniform draws."""
        tree = space.tree
        fresh = network.init(tree, key, width=self.width, depth=self.depth)
        if start is not None:
            shapes = [{name: x.shape for name, x in params.items()} for params in (fresh, start.params)]
            other = start.space.tree
            if shapes[0] != shapes[1] or other.n_grid != tree.n_grid or start.space.structures != space.structures:
                raise ValueError(
                    f"the policy to start from is of another shape: it has {other.n_grid} sites, at most {other.max_elements} elements and "
                    f"{other.n_action} choices a step; start without it, or with the same structures, grid, bounds, width and depth"
                )
            return start.params
        exponent = uniform / tau
        offset = exponent.max() + np.log(np.exp(exponent - exponent.max()).mean())
        return {**fresh, "offset": jnp.float32(offset), "scale": jnp.float32(max(exponent.std(), 1.0))}

    def _explore(self, memory: Memory, policy: Policy, rng: np.random.Generator, key: jax.Array) -> int:
        """Asks about the children of elites that the policy thinks best of, and about its own draws; how many alloys were new."""
        n_before, n_child = len(memory), round(self.genetic * self.batch)
        n_parent = self.screen * n_child
        parents = self._parents(memory, n_parent, policy.tau, rng)
        crossed = cross(memory.space, parents, self._parents(memory, n_parent, policy.tau, rng), rng)
        parents = np.where(rng.random(len(parents))[:, None] < self.crossover, crossed, parents)
        children = memory.new(mutate(memory.space, parents, rng))
        children = children[np.argsort(-policy.log_ratio(children), kind="stable")]
        actions, log_p = draw_distinct(policy.params, policy.numbers, policy.tree, 2 * self.batch, self.explore, key)
        drawn = np.asarray(actions)[np.isfinite(np.asarray(log_p))]
        memory.ask(memory.new(np.concatenate([children[:n_child], memory.new(drawn), children[n_child:]]))[: self.batch])
        return len(memory) - n_before

    def _parents(self, memory: Memory, n: int, tau: float, rng: np.random.Generator) -> np.ndarray:
        """Trajectories of elites [n, n_step], the better the more often."""
        best = memory.best(self.elite)
        weight = np.exp(SELECTION * (memory.rewards[best] - memory.rewards[best[0]]) / tau)
        return memory.actions[rng.choice(best, n, p=weight / weight.sum())]

    def _rows(self, memory: Memory, n_newest: int, rng: np.random.Generator) -> np.ndarray:
        """Rows of the memory to learn from [inner_steps, 3 batch]: a third newest, a third elites, a third any."""
        known, shape = np.arange(len(memory)), (self.inner_steps, self.batch)
        newest = known[len(known) - n_newest :] if n_newest else known
        return np.concatenate([rng.choice(rows, shape) for rows in (newest, memory.best(self.elite), known)], 1)


def _sorted(memory: Memory) -> tuple[np.ndarray, np.ndarray, int]:
    best = memory.best(len(memory))
    return memory.actions[best], memory.rewards[best], len(memory)
