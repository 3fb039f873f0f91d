"""RuLSIF: a density ratio that stays bounded, by least squares."""

from __future__ import annotations

import jax
import numpy as np

from matjax.keys import child, generator
from matjax.risk.density_ratio import REFUSAL, DensityRatio, Refusal, accepted, checked, gaussian_kernels, median_distance, standardiser


def relative_ratio(
    train: np.ndarray,
    target: np.ndarray,
    *,
    alpha: float = 0.1,
    n_center: int = 100,
    refusal: Refusal = REFUSAL,
    key: jax.Array,
) -> DensityRatio:
    """RuLSIF: the relative ratio r(x) = p_target / (alpha p_target + (1 - alpha) p_train), bounded by 1/alpha.

    r is a sum of Gaussian kernels on target crystals, fitted by least squares in closed form,
    theta = (H + regularisation I)^-1 h with H = alpha <k k^T>_target + (1 - alpha) <k k^T>_train and h = <k>_target;
    negative values are cut. Bandwidth and regularisation minimise the held-out objective theta.H.theta / 2 - h.theta over
    five folds. For some ten features: project wider ones first.

    Args:
      train: Features of the training crystals [n_train, n_feature].
      target: Features of target crystals [n_target, n_feature].
      alpha: In [0, 1): 0 is the plain ratio; larger is smoother and flatter.
      n_center: Number of kernels.
      refusal: When to refuse, and how to clip.
      key: For centres and folds.

    Raises:
      ValueError: If the features do not fit, or the supports are so disjoint that no ratio can be trusted.

    Source:
      Yamada, Suzuki, Kanamori, Hachiya & Sugiyama (2013), Relative density-ratio estimation for robust distribution comparison, section 2.
    """
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha={alpha} is out of range; it must lie in [0, 1)")
    train, target = checked(train, target, folds=5)
    standard = standardiser(train, target)
    train, target = standard(train), standard(target)
    rows = generator(child(key, "centres")).choice(len(target), min(n_center, len(target)), replace=False)
    centres = target[rows]
    median = median_distance(train, target)
    random = generator(child(key, "folds"))
    folds = random.permutation(len(train)) % 5, random.permutation(len(target)) % 5
    losses = {}
    for width in (median * factor for factor in (0.25, 0.5, 1.0, 1.5, 2.5)):
        k_train, k_target = gaussian_kernels(train, centres, width), gaussian_kernels(target, centres, width)
        losses |= {(width, strength): loss for strength, loss in _held_out_losses(k_train, k_target, folds, alpha).items()}
    width, regularisation = min(losses, key=lambda setting: losses[setting])
    theta = _solve(*_moments(gaussian_kernels(train, centres, width), gaussian_kernels(target, centres, width), alpha), regularisation)
    ratio = lambda x: np.maximum(gaussian_kernels(standard(x), centres, width) @ theta, 0)
    return accepted(np.maximum(gaussian_kernels(train, centres, width) @ theta, 0), ratio, refusal)


def _moments(k_train: np.ndarray, k_target: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """H [n_center, n_center] and h [n_center] of the least-squares objective."""
    second = alpha * k_target.T @ k_target / len(k_target) + (1 - alpha) * k_train.T @ k_train / len(k_train)
    return second, k_target.mean(0)


def _solve(second: np.ndarray, first: np.ndarray, regularisation: float) -> np.ndarray:
    return np.linalg.solve(second + regularisation * np.eye(len(first)), first)


def _held_out_losses(k_train: np.ndarray, k_target: np.ndarray, folds: tuple[np.ndarray, np.ndarray], alpha: float) -> dict[float, float]:
    """Objective theta.H.theta / 2 - h.theta on held-out crystals, mean over five folds, per regularisation."""
    losses = dict.fromkeys((1e-3, 1e-2, 1e-1, 1.0), 0.0)
    for fold in range(5):
        a, b = folds[0] == fold, folds[1] == fold
        fitted, held_out = _moments(k_train[~a], k_target[~b], alpha), _moments(k_train[a], k_target[b], alpha)
        for regularisation in losses:
            theta = _solve(*fitted, regularisation)
            losses[regularisation] += float(0.5 * theta @ held_out[0] @ theta - held_out[1] @ theta) / 5
    return losses
