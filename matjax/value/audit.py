"""The alignment audit: does the reward keep its word when a search leans on it?

Optimisation pressure by the best of n, exactly; a planted hole that only some members know to be false; the learned policy
against enumeration. The audit of a running campaign is a sequential test of its own, in `brake`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from scipy.special import gammaln

from matjax.value.learner import ValueLearner
from matjax.value.memory import Reward
from matjax.value.space import Space


class BestOfN(NamedTuple):
    """What is promised and what is true of the best of n, all arrays [n_size].

    n: candidates chosen from; pressure: sqrt(log n - (n - 1) / n), the root of the distance (KL, nats) between the best of n and
    a random one; proxy, truth: expected score and truth of the chosen one; low, high: where 90% of the truths fall.
    """

    n: np.ndarray
    pressure: np.ndarray
    proxy: np.ndarray
    truth: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Optimism: what is promised less what is true [n_size]."""
        return self.proxy - self.truth


def best_of_n(proxy: np.ndarray, truth: np.ndarray, sizes: Sequence[int]) -> BestOfN:
    """The best of n by the proxy, n drawn from the pool without replacement: exact expectations over all draws.

    The candidate with r others below it is chosen with probability C(r, n - 1) / C(n_pool, n); equal proxies share theirs.

    Args:
      proxy: Score of the pool [n_pool], finite.
      truth: Of the same [n_pool], finite.
      sizes: n, each from 1 to n_pool.

    Raises:
      ValueError: If shapes do not fit, a value is not finite, or a size is out of range.

    Source:
      Gao, Schulman & Hilton (2023), Scaling laws for reward model overoptimization (best of n, its KL).

    Example:
      >>> best_of_n(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, -1.0]), [1, 3]).truth
      array([ 0., -1.])
    """
    proxy, truth, n = np.asarray(proxy, float), np.asarray(truth, float), np.asarray(sizes, int)
    if proxy.ndim != 1 or proxy.shape != truth.shape or not (np.isfinite(proxy).all() and np.isfinite(truth).all()):
        raise ValueError(f"proxy {proxy.shape} and truth {truth.shape} must be finite arrays of one length; leave out what failed")
    if n.ndim != 1 or not n.size or n.min() < 1 or n.max() > len(proxy):
        raise ValueError(f"sizes are {n.tolist()}; each must be from 1 to the {len(proxy)} candidates of the pool")
    order = np.argsort(proxy, kind="stable")
    chance = _chance_of_best(len(proxy), n)
    ties = np.unique(proxy[order], return_inverse=True)[1]
    shared = np.stack([np.bincount(ties, row) for row in chance]) / np.bincount(ties)
    chance = shared[:, ties]
    by_truth = np.argsort(truth[order], kind="stable")
    below = np.cumsum(chance[:, by_truth], axis=1)
    at = lambda level: truth[order][by_truth[np.minimum((below < level - 1e-12).sum(1), len(proxy) - 1)]]
    return BestOfN(n, np.sqrt(np.log(n) - (n - 1) / n), chance @ proxy[order], chance @ truth[order], at(0.05), at(0.95))


def _chance_of_best(n_pool: int, n: np.ndarray) -> np.ndarray:
    """Chance [n_size, n_pool] that the candidate of each rank, lowest first, is the best of n."""
    rank, n = np.arange(n_pool), n[:, None]
    log_choose = lambda a, b: gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)
    possible = rank >= n - 1
    log_chance = log_choose(np.where(possible, rank, n - 1), n - 1) - log_choose(n_pool, n)
    chance = np.where(possible, np.exp(log_chance), 0.0)
    return chance / chance.sum(1, keepdims=True)


class PlantedHole(NamedTuple):
    """What a false bonus does, by the number of members k = 0 ... n_member that believe it; arrays [n_member + 1].

    by_reward, by_mean: share of the best by the reward (by the mean of the samples) that lies in the hole; gain: mean reward of
    the hole, less that without the bonus.
    """

    by_reward: np.ndarray
    by_mean: np.ndarray
    gain: np.ndarray

    def caught(self, slack: float = 0.1) -> np.ndarray:
        """Whether the hole holds hardly more of the best than it does without a bonus [n_member + 1]."""
        return self.by_reward <= self.by_reward[0] + slack


def planted_hole(
    reward: Callable[[np.ndarray], np.ndarray], samples: np.ndarray, hole: np.ndarray, bonus: float, n_top: int
) -> PlantedHole:
    """Plants a bonus for some candidates in ever more members, and looks whether the reward sends a search there.

    Where at least one member knows better, a pessimistic reward must not follow. Where all believe it no function of the members
    can tell: only measurements can (see `brake`).

    Args:
      reward: Of samples [n_member, n_pool], [n_pool]: everything that the campaign does with its members' predictions.
      samples: What the members predict, larger is better [n_member, n_pool].
      hole: Which candidates get the bonus, such as those that hold a pair of elements [n_pool].
      bonus: In the unit of the samples.
      n_top: How many of the best are looked at.

    Raises:
      ValueError: If the hole is empty or everything, or n_top is not below the pool.
    """
    samples, hole = np.asarray(samples, float), np.asarray(hole, bool)
    if hole.shape != samples.shape[1:] or not 0 < hole.sum() < len(hole) or not 1 <= n_top < len(hole):
        raise ValueError(f"a hole of {int(hole.sum())} and a top of {n_top} do not fit a pool of {samples.shape[1]} candidates")
    share = lambda score: float(hole[np.argsort(-score, kind="stable")[:n_top]].mean())
    rows, clean = [], np.asarray(reward(samples))
    for k in range(len(samples) + 1):
        planted = samples + bonus * np.outer(np.arange(len(samples)) < k, hole)
        now = np.asarray(reward(planted))
        rows.append((share(now), share(planted.mean(0)), float((now - clean)[hole].mean())))
    return PlantedHole(*(np.array(column) for column in zip(*rows, strict=True)))


class Exactness(NamedTuple):
    """A learned policy against enumeration: total variation, V(root) / tau - its exact value in nats, leaves, temperature."""

    total_variation: float
    value_error: float
    n_leaf: int
    tau: float


def exactness(space: Space, reward: Reward, learner: ValueLearner, key: jax.Array) -> Exactness:
    """Learns a policy in a space that is small enough to list, and compares it with the optimal one.

    Args:
      space: The alloys, a few thousand at most.
      reward: Of them.
      learner: Settings.
      key: Of the learning.
    """
    actions = np.column_stack(space.enumerate())
    rewards = np.asarray(reward(actions[:, 0], actions[:, 1:]), float)
    rows = {row.tobytes(): value for row, value in zip(actions.astype(np.int32), rewards, strict=True)}
    table = lambda lattice, counts: np.array([rows[row.tobytes()] for row in np.column_stack([lattice, counts]).astype(np.int32)])
    policy = learner(space, table, key)
    scaled = rewards / policy.tau
    weight = np.exp(scaled - scaled.max())
    exact = scaled.max() + np.log(weight.mean())
    found = np.exp(policy.log_ratio(actions)) / len(actions)
    variation = 0.5 * np.abs(found - weight / weight.sum()).sum()
    return Exactness(float(variation), float(policy.value([(None, {})])[0] / policy.tau - exact), len(actions), policy.tau)
