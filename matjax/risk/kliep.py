"""KLIEP: the density ratio under which the target crystals are likeliest."""

from __future__ import annotations

import jax
import numpy as np

from matjax.keys import child, generator
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


def kliep(train: np.ndarray, target: np.ndarray, *, n_center: int = 100, refusal: Refusal = REFUSAL, key: jax.Array) -> DensityRatio:
    """The ratio w(x) = sum_l a_l k_l(x), a >= 0, that maximises <log w>_target with <w>_train = 1.

    k_l are Gaussian kernels on target crystals. With b_l = <k_l>_train and p_l = a_l b_l this is the likelihood of a mixture with
    weights p over the fixed components k_l / b_l, so expectation-maximisation climbs it without a step size, every
    iterate feasible. The width maximises the likelihood of held-out target crystals, over five folds. Never negative, but not bounded: a
    few training crystals in a far corner may carry all the weight, which the effective sample size shows. For some ten features.

    Args:
      train: Features of the training crystals [n_train, n_feature].
      target: Features of target crystals [n_target, n_feature].
      n_center: Number of kernels.
      refusal: When to refuse, and how to clip.
      key: For centres and folds.

    Raises:
      ValueError: If the features do not fit, or the supports are so disjoint that no ratio can be trusted.

    Source:
      Sugiyama, Suzuki, Nakajima, Kashima, von Bünau & Kawanabe (2008), Direct importance estimation for covariate shift adaptation,
      sections 2.3 and 2.4; expectation-maximisation in place of projected gradients is ours.
    """
    train, target = checked(train, target)
    standard = standardiser(train, target)
    train, target = standard(train), standard(target)
    centres = target[generator(child(key, "centres")).choice(len(target), min(n_center, len(target)), replace=False)]
    fold, median = generator(child(key, "folds")).permutation(len(target)) % 5, median_distance(train, target)
    widths = [median * factor for factor in (0.25, 0.5, 1.0, 1.5, 2.5)]
    width = max(widths, key=lambda width: _held_out(*_components(train, target, centres, width), fold))
    mean, components = _components(train, target, centres, width)
    coefficients = _mixture(components) / mean
    ratio = lambda x: gaussian_kernels(standard(x), centres, width) @ coefficients
    raw = gaussian_kernels(train, centres, width) @ coefficients
    return accepted(raw, ratio, refusal, share_reproduced(raw, train, target))


def _components(train: np.ndarray, target: np.ndarray, centres: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The b [n_center] and the components k / b at the target crystals [n_target, n_center]."""
    mean = gaussian_kernels(train, centres, width).mean(0) + 1e-12  # a kernel that no training crystal is near
    return mean, gaussian_kernels(target, centres, width) / mean


def _mixture(components: np.ndarray, n_step: int = 300) -> np.ndarray:
    """Weights p [n_center], p >= 0, sum p = 1, of the likeliest mixture of components [n, n_center]."""
    weights = np.full(components.shape[1], 1 / components.shape[1])
    for _ in range(n_step):
        weights = weights * (components / np.maximum(components @ weights, 1e-300)[:, None]).mean(0)
    return weights / weights.sum()


def _held_out(mean: np.ndarray, components: np.ndarray, fold: np.ndarray) -> float:
    """Mean log ratio at held-out target crystals."""
    ratios = [components[fold == i] @ _mixture(components[fold != i]) for i in range(5)]
    return float(np.log(np.maximum(np.concatenate(ratios), 1e-300)).mean())
