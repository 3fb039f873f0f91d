"""Kernel mean matching: weights under which training and target crystals have the same kernel mean."""

from __future__ import annotations

import jax
import numpy as np

from matjax.risk.density_ratio import (
    REFUSAL,
    DensityRatio,
    Refusal,
    accepted,
    checked,
    gaussian_kernels,
    median_distance,
    share_reproduced,
    standardiser,
)

N_STEP = 500


def kernel_mean_matching(
    train: np.ndarray, target: np.ndarray, *, largest: float = 10.0, ridge: float = 0.01, refusal: Refusal = REFUSAL, key: jax.Array
) -> DensityRatio:
    """Weights w in [0, largest], mean one, that minimise |<w k>_train - <k>_target|^2 + ridge <w^2> / n_train in the space of the kernel.

    No density is estimated, only means are matched: weights of single crystals are noisier than those of `relative_ratio`, averages under
    them as good. A Gaussian kernel as wide as the median distance within the target; the quadratic programme is solved by accelerated
    projected gradients. At other features the ratio is the kernel average of the weights. Memory n_train^2: for some
    thousands of crystals.

    Args:
      train: Features of the training crystals [n_train, n_feature].
      target: Features of target crystals [n_target, n_feature].
      largest: Largest weight.
      ridge: Price of uneven weights, times n_train; without it the weights follow the noise.
      refusal: When to refuse, and how to clip.
      key: Unused: nothing is drawn; here so that estimators can stand for each other.

    Raises:
      ValueError: If the features do not fit, or the supports are so disjoint that no weights match the means.

    Source:
      Huang, Smola, Gretton, Borgwardt & Schölkopf (2007), Correcting sample selection bias by unlabeled data, eq. 12; the mean is exactly
      one (their epsilon is 0) and the ridge is ours.
    """
    if not largest > 1:
        raise ValueError(f"largest={largest} is out of range; it must lie above 1, the mean of the weights")
    train, target = checked(train, target)
    standard = standardiser(train, target)
    train, target = standard(train), standard(target)
    width, n = median_distance(target), len(train)
    within, across = gaussian_kernels(train, train, width), gaussian_kernels(train, target, width)
    weights = _matched(within + ridge * n * np.eye(n), n * across.mean(1), largest)

    def ratio(x: np.ndarray) -> np.ndarray:
        near = gaussian_kernels(standard(x), train, width / 4)
        return near @ weights / np.maximum(near.sum(1), 1e-12)

    return accepted(weights, ratio, refusal, share_reproduced(weights, train, target))


def _matched(quadratic: np.ndarray, linear: np.ndarray, largest: float) -> np.ndarray:
    """The w [n] in [0, largest] with mean one that minimises w.Q.w / 2 - linear.w, by Nesterov's accelerated projected gradients."""
    step = 1 / np.linalg.norm(quadratic, 2)
    weights = ahead = np.ones(len(linear))
    momentum = 1.0
    for _ in range(N_STEP):
        before, weights = weights, _project(ahead - step * (quadratic @ ahead - linear), largest)
        momentum, last = (1 + np.sqrt(1 + 4 * momentum**2)) / 2, momentum
        ahead = weights + (last - 1) / momentum * (weights - before)
    return weights


def _project(weights: np.ndarray, largest: float) -> np.ndarray:
    """The nearest weights in [0, largest] with mean one: a common shift, by bisection, and a clip."""
    low, high = -weights.max(), largest - weights.min()
    for _ in range(60):
        shift = (low + high) / 2
        low, high = (shift, high) if np.clip(weights + shift, 0, largest).mean() < 1 else (low, shift)
    return np.clip(weights + high, 0, largest)
