"""Acquisition: which candidates of a pool the oracle measures next, and why each.

Pessimism is for the reward and the final recommendation; what is *measured* is chosen by Thompson sampling (each member's
own favourite), a little optimism and a few picks at random, which are the only ones that say how far the proxy is from the truth
where it was not exploited.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import jax
import numpy as np

from matjax.config import spec
from matjax.keys import child, generator
from matjax.risk.protocol import check_range

Picks = list[tuple[int, str]]


class Acquisition(Protocol):
    """Settings of an acquisition."""

    def pick(self, log_utility: np.ndarray, n: int, key: jax.Array) -> Picks:
        """(index in the pool, reason) of n different candidates.

        Args:
          log_utility: Samples [n_sample, n_pool], finite.
          n: Candidates wanted.
          key: Same key, same picks.

        Raises:
          ValueError: If a sample is not finite or the pool has fewer than n candidates.
        """
        ...


@spec
class Thompson:
    """Mostly each member's own favourite, some upper bounds, some at random ("audit").

    The shares of a batch are rounded up or down at random so that they hold on average, also for batches too small to hold every
    kind. Audit picks come first and from the whole pool, so they are a fair sample of it; then members take turns, in random
    order, each taking the best by its own judgement of what is left; then the upper bounds.

    Attributes:
      thompson: Share picked by single members.
      upper: Share picked by mean + kappa standard deviations.
      audit: Share picked at random.
      kappa: Standard deviations of the upper bound.

    Source:
      Thompson (1933), On the likelihood that one unknown probability exceeds another; members as posterior samples: Lu & Van Roy
      (2017), Ensemble sampling.
    """

    thompson: float = 0.8
    upper: float = 0.1
    audit: float = 0.1
    kappa: float = 2.0

    def __post_init__(self) -> None:
        """Refuses shares that do not sum to 1."""
        check_range(self, thompson=(0.0, 1.0), upper=(0.0, 1.0), audit=(0.0, 1.0), kappa=(0.0, 100.0))
        shares = (self.thompson, self.upper, self.audit)
        if all(isinstance(share, (int, float)) for share in shares) and abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"thompson, upper and audit are {', '.join(f'{s:g}' for s in shares)}; shares of a batch must sum to 1")

    def pick(self, log_utility: np.ndarray, n: int, key: jax.Array) -> Picks:
        """(index, "thompson" | "upper bound" | "audit") of n different candidates; see `Acquisition.pick`."""
        samples = _checked(log_utility, n)
        random = generator(child(key, "thompson"))
        n_thompson, n_upper, n_audit = _shares(n, (self.thompson, self.upper, self.audit), random)
        free = np.ones(samples.shape[1], bool)
        audit = random.choice(samples.shape[1], n_audit, replace=False)
        free[audit] = False
        turns = np.concatenate([random.permutation(len(samples)) for _ in range(-(-n_thompson // len(samples)))] or [np.empty(0, int)])
        thompson = [_best(samples[member], 1, free)[0] for member in turns[:n_thompson]]
        upper = _best(_upper_bound(samples, self.kappa), n_upper, free)
        return [(i, "thompson") for i in thompson] + [(i, "upper bound") for i in upper] + [(int(i), "audit") for i in audit]


@spec
class UpperBound:
    """The highest mean + kappa standard deviations.

    Attributes:
      kappa: Standard deviations added; 0 is greedy.
    """

    kappa: float = 1.0

    def __post_init__(self) -> None:
        """Refuses pessimism, which is the reward's part."""
        check_range(self, kappa=(0.0, 100.0))

    def pick(self, log_utility: np.ndarray, n: int, key: jax.Array) -> Picks:
        """(index, "upper bound") of n different candidates; see `Acquisition.pick`."""
        samples = _checked(log_utility, n)
        return [(i, "upper bound") for i in _best(_upper_bound(samples, self.kappa), n, np.ones(samples.shape[1], bool))]


@spec
class ExpectedImprovement:
    """What is expected to exceed the best so far by most, members as samples.

    The picks of a batch are made one after the other: for each member the best so far becomes the larger of that and of what the member
    says of the picks before, so that a second pick must add to the first. Where no member sees an improvement, the highest mean decides.

    Attributes:
      best: Log utility to exceed. A campaign puts the best that it has measured here; with -inf the first pick is greedy.

    Source:
      Mockus, Tiesis & Zilinskas (1978), The application of Bayesian methods for seeking the extremum; batches in sequence: Wilson, Hutter &
      Deisenroth (2018), Maximizing acquisition functions for Bayesian optimization.
    """

    best: float = -math.inf

    def against(self, best: float) -> ExpectedImprovement:
        """The same, to exceed another value."""
        return dataclasses.replace(self, best=best)

    def pick(self, log_utility: np.ndarray, n: int, key: jax.Array) -> Picks:
        """(index, "expected improvement") of n different candidates; see `Acquisition.pick`."""
        samples = _checked(log_utility, n)
        mean, free = samples.mean(0), np.ones(samples.shape[1], bool)
        found, best = list[int](), np.full(len(samples), self.best)
        for _ in range(n):
            gain = np.maximum(samples - best[:, None], 0.0).mean(0) if np.isfinite(best).all() else mean - mean.min() + 1.0
            (i,) = _best(gain if gain[free].max() > 0 else mean, 1, free)
            found.append(i)
            best = np.maximum(best, samples[:, i])
        return [(i, "expected improvement") for i in found]


@spec
class Greedy:
    """The highest mean."""

    def pick(self, log_utility: np.ndarray, n: int, key: jax.Array) -> Picks:
        """(index, "greedy") of n different candidates; see `Acquisition.pick`."""
        samples = _checked(log_utility, n)
        return [(i, "greedy") for i in _best(samples.mean(0), n, np.ones(samples.shape[1], bool))]


@spec
class RandomPick:
    """Any, all alike."""

    def pick(self, log_utility: np.ndarray, n: int, key: jax.Array) -> Picks:
        """(index, "random") of n different candidates; see `Acquisition.pick`."""
        n_pool = _checked(log_utility, n).shape[1]
        return [(int(i), "random") for i in generator(child(key, "random")).choice(n_pool, n, replace=False)]


@spec
class LargestCluster:
    """Where the members disagree, and differently each time: to learn about the whole pool, not to find its best.

    Candidates are points by the members' deviations from their mean, so that the squared distance of two is the variance of their
    difference, and what is known well lies at the origin. Each pick becomes the centre of those that are nearer to it than to any other;
    the next is the farthest point of the cluster with the largest sum of squared distances.

    Source:
      Holzmueller, Zaverkin, Kaestner & Steinwart (2023), J. Mach. Learn. Res. 24, 164, section 4.2 (LCMD).
    """

    def pick(self, log_utility: np.ndarray, n: int, key: jax.Array) -> Picks:
        """(index, "largest cluster") of n different candidates; see `Acquisition.pick`."""
        samples = _checked(log_utility, n)
        points = ((samples - samples.mean(0)) / np.sqrt(len(samples))).T
        distance, centre, free = (points**2).sum(1), np.full(len(points), -1), np.ones(len(points), bool)
        found: list[int] = []
        for _ in range(n):
            clusters, member = np.unique(centre[free], return_inverse=True)
            largest = clusters[np.argmax(np.bincount(member, distance[free]))]
            score = np.where(free & (centre == largest), distance, -1.0)
            found.append(i := int(np.argmax(score)))
            free[i] = False
            new = ((points - points[i]) ** 2).sum(1)
            centre, distance = np.where(new < distance, i, centre), np.minimum(distance, new)
        return [(i, "largest cluster") for i in found]


def _checked(log_utility: np.ndarray, n: int) -> np.ndarray:
    """The samples as float64 [n_sample, n_pool], finite, of a pool with at least n candidates.

    Raises:
      ValueError: Otherwise.
    """
    samples = np.asarray(log_utility, np.float64)
    if samples.ndim != 2 or len(samples) < 1:
        raise ValueError(f"log utility has shape {samples.shape}; it must be [n_sample, n_pool] with at least one sample")
    if not 1 <= n <= samples.shape[1]:
        raise ValueError(f"{n} picks from a pool of {samples.shape[1]} candidates; ask for 1 to {samples.shape[1]}, or propose more")
    bad = ~np.isfinite(samples).all(0)
    if bad.any():
        raise ValueError(
            f"log utility is not finite for {int(bad.sum())} of {bad.size} candidates (first: number {int(np.argmax(bad))}); "
            "leave candidates whose calculation failed out of the pool"
        )
    return samples


def _shares(n: int, shares: tuple[float, ...], random: np.random.Generator) -> np.ndarray:
    """Counts that sum to n, each its share of n rounded up or down with the share as expectation (systematic sampling)."""
    edges = np.floor(n * np.cumsum((0.0, *shares)) + random.uniform())
    edges[0], edges[-1] = 0, n
    return np.diff(edges).astype(int)


def _upper_bound(samples: np.ndarray, kappa: float) -> np.ndarray:
    """Mean + kappa std [n_pool]."""
    return samples.mean(0) + kappa * (samples.std(0, ddof=1) if len(samples) > 1 else 0.0)


def _best(score: np.ndarray, n: int, free: np.ndarray) -> list[int]:
    """The n highest among the free, best first, the earlier of equals; they are free no longer."""
    order = np.argsort(-score, kind="stable")
    found = order[free[order]][:n]
    free[found] = False
    return [int(i) for i in found]
