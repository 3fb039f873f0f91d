"""Bayesian optimisation: a Gaussian process over compositions proposes where it expects most, or knows least."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from matjax.config import spec
from matjax.keys import child
from matjax.risk.protocol import check_range
from matjax.types import Candidate
from matjax.value.proposers import Context, Genetic, Random
from matjax.value.space import Space

SCORES = ("upper_bound", "expected_improvement")


@spec
class GaussianProcess:
    """What was measured, smoothed over composition and lattice, and the candidates with the best upper bound or expected improvement.

    The kernel is Matérn 5/2 with a length of its own for every element and for the lattices, found with the signal and the noise by
    the marginal likelihood (scikit-learn). A batch is filled one by one: a pick is taken to come out at its mean, which narrows the
    spread around it and so spreads the batch. It sees measured utilities alone, no reward. The fit takes the cube of their number in
    time.

    Attributes:
      score: "upper_bound" or "expected_improvement".
      kappa: Standard deviations added to the mean by the upper bound.
      n_pool: Candidates that are scored: half children of the measured, half uniform draws.
      fewest: Measured alloys below which draws are uniform.

    Source:
      Desautels, Krause & Burdick (2014), J. Mach. Learn. Res. 15, 4053, algorithm 1 (batches); Jones, Schonlau & Welch (1998),
      J. Glob. Optim. 13, 455, eq. 15 (expected improvement).
    """

    score: str = dataclasses.field(default="upper_bound", metadata={"static": True})
    kappa: float = 1.0
    n_pool: int = 1024
    fewest: int = 4

    def __post_init__(self) -> None:
        """Refuses an unknown score and numbers out of range."""
        check_range(self, kappa=(0.0, 100.0))
        if self.score not in SCORES:
            raise ValueError(f"score of the Gaussian process is {self.score!r}; allowed: {', '.join(SCORES)}")
        for name, least in (("n_pool", 2), ("fewest", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} of the Gaussian process is {getattr(self, name)}; it must be at least {least}")

    def propose(self, n: int, context: Context, key: jax.Array) -> list[Candidate]:
        """Distinct unseen candidates [n], in the order in which they would be measured."""
        known, found = known_inside(context), list[Candidate]()
        if len(known) >= self.fewest and (pool := choices(self.n_pool, n, context, key)):
            belief = posterior([c for c, _ in known], np.array([u for _, u in known]), pool, context.space)
            found = [pool[i] for i in self.pick(belief, max(u for _, u in known), min(n, len(pool)))]
        return found + Random().propose(n - len(found), _without(context, found), child(key, "fill")) if len(found) < n else found

    def pick(self, belief: Belief, best: float, n: int) -> list[int]:
        """Indices [n] of a batch.

        Args:
          belief: Of the pool.
          best: Highest utility measured.
          n: At most the size of the pool.
        """
        variance, free, picked, columns = np.diag(belief.covariance).copy(), np.ones(len(belief.mean), bool), list[int](), []
        for _ in range(n):
            std = np.sqrt(np.maximum(variance, 0.0))
            score = belief.mean + self.kappa * std if self.score == "upper_bound" else expected_improvement(belief.mean, std, best)
            picked.append(i := int(np.argmax(np.where(free, score, -np.inf))))
            column = belief.covariance[:, i] - sum((c * c[i] for c in columns), np.zeros(len(variance)))
            columns.append(column / np.sqrt(max(column[i], 0.0) + belief.noise))
            variance, free[i], best = variance - columns[-1] ** 2, False, max(best, float(belief.mean[i]))
        return picked


class Belief(NamedTuple):
    """What a Gaussian process says of a pool: mean [n], covariance [n, n] of what is true, and the variance of a measurement's noise."""

    mean: np.ndarray
    covariance: np.ndarray
    noise: float


def posterior(known: list[Candidate], utility: np.ndarray, pool: list[Candidate], space: Space) -> Belief:
    """The belief about a pool after measured utilities [n].

    Args:
      known: Measured alloys [n] of the space's elements.
      utility: Finite [n].
      pool: Candidates of the space.
      space: Whose elements and lattices are the coordinates.
    """
    x = features(known, space)
    lengths: Any = np.full(x.shape[1], 0.5)  # scikit-learn's signature says float
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(lengths, (0.05, 20.0), nu=2.5) + WhiteKernel(1e-2, (1e-6, 1.0))
    with warnings.catch_warnings():  # a length at its bound is an element that does not matter
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GaussianProcessRegressor(kernel, normalize_y=True).fit(x, utility)
    mean, covariance = model.predict(features(pool, space), return_cov=True)
    noise = float(model.kernel_.k2.noise_level * model._y_train_std**2)  # type: ignore[union-attr]
    return Belief(mean, covariance - noise * np.eye(len(mean)), noise)


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """Mean of how far a normal variable exceeds `best`, in the unit of the mean; where the spread is nil, the mean's own excess."""
    spread = np.where(std > 0, std, 1.0)
    z = (mean - best) / spread
    return np.where(std > 0, spread * (z * norm.cdf(z) + norm.pdf(z)), np.maximum(mean - best, 0.0))


def features(candidates: list[Candidate], space: Space) -> np.ndarray:
    """Atomic fractions, which structure where several are open, and what sits where on several orbits [n, n_feature]."""
    names = [name for name, is_open in zip(space.structures, space.open_structures, strict=True) if is_open]
    names = names if len(names) > 1 else []
    found = np.array(
        [[*(c.composition.get(e, 0.0) for e in space.elements), *(float(c.prototype == name) for name in names)] for c in candidates]
    )
    if space.tree.n_orbit == 1 or not candidates:
        return found
    return np.concatenate([found, space.encode(candidates)[1] / space.tree.n_grid], 1)


def known_inside(context: Context) -> list[tuple[Candidate, float]]:
    """What was measured, did not fail, and has coordinates in the space, with its utility."""
    return [(c, u) for c, u in context.history if math.isfinite(u) and is_inside(c, context.space)]


def choices(n_pool: int, n: int, context: Context, key: jax.Array) -> list[Candidate]:
    """Distinct unseen candidates to choose from: half children of the measured, half uniform draws; fewer where no more are left.

    Args:
      n_pool: How many.
      n: Size of the batch; each half has at least as many.
      context: The space, and what was measured and seen.
      key: Of the draws.
    """
    half = max(n_pool // 2, n)
    pool = Genetic().propose(half, dataclasses.replace(context, reward=None), child(key, "children"))
    return pool + Random().propose(half, _without(context, pool), child(key, "uniform"))


def is_inside(candidate: Candidate, space: Space) -> bool:
    """Whether a material has coordinates here: a solution of the space's elements, also outside its bounds, or one of its compounds."""
    if space.tree.n_orbit > 1:
        return not space.why_outside(candidate)
    return candidate.prototype in space.structures and set(candidate.composition) <= set(space.elements)


def _without(context: Context, found: list[Candidate]) -> Context:
    return dataclasses.replace(context, seen=context.seen | {c.key for c in found})
