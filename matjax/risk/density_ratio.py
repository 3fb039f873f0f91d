"""Density ratios between training and target crystals, from features: on the host, once, before training.

A ratio exists only where the training set has crystals. Every estimator measures how much of the target that is and how
many crystals carry the weight, and refuses to answer where the answer would be made of nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist, pdist
from sklearn.preprocessing import StandardScaler


@dataclasses.dataclass(frozen=True)
class Refusal:
    """When a ratio is not to be trusted, and how large a weight may be.

    Attributes:
      smallest_share: Least overlap, and least effective sample size as a share of n_train, that is accepted.
      smallest_size: Least effective sample size that is accepted.
      clip: Largest weight, in units of the mean ratio; applied after the refusal.
    """

    smallest_share: float = 0.05
    smallest_size: float = 50
    clip: float = 20.0


REFUSAL = Refusal()


@dataclasses.dataclass(frozen=True, eq=False)
class DensityRatio:
    """Importance weights of training crystals.

    Attributes:
      weights: [n_train], mean one, clipped.
      effective_sample_size: (sum w)^2 / sum w^2, between 1 and n_train.
      overlap: About 1 where the training set covers the target, 0 where the two are disjoint: mean of the ratio over the training
        crystals before normalisation; of estimates whose mean is one by construction, the share of the target's kernel mean that the
        weighted training crystals reproduce.
      at: The ratio at any features [n, n_feature], on the scale of `weights`.
    """

    weights: np.ndarray
    effective_sample_size: float
    overlap: float
    at: Callable[[np.ndarray], np.ndarray]


def effective_sample_size(weights: np.ndarray) -> float:
    """(sum w)^2 / sum w^2: how many equally weighted crystals are worth as much (zero if all weights are).

    Source:
      Kish (1965), Survey sampling.
    """
    square = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / square if square > 0 else 0.0


def checked(train: np.ndarray, target: np.ndarray, folds: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, after the checks at the door.

    Raises:
      ValueError: If shapes do not fit, there are too few crystals, a feature is not finite, or none varies.
    """
    train, target = np.asarray(train, float), np.asarray(target, float)
    if train.ndim != 2 or target.ndim != 2 or train.shape[1] != target.shape[1]:
        raise ValueError(f"features have shapes {train.shape} and {target.shape}; they must be [n_train, k] and [n_target, k]")
    if min(len(train), len(target)) < 2 * folds:
        raise ValueError(f"{len(train)} training and {len(target)} target crystals are too few; at least {2 * folds} of each are needed")
    if not (np.isfinite(train).all() and np.isfinite(target).all()):
        raise ValueError("features contain NaN or infinite values; remove those crystals first")
    if not np.ptp(np.concatenate([train, target]), axis=0).any():
        raise ValueError("all features are constant over training and target crystals: there is nothing to tell them apart by")
    return train, target


def accepted(raw: np.ndarray, ratio: Callable[[np.ndarray], np.ndarray], refusal: Refusal, overlap: float | None = None) -> DensityRatio:
    """The normalised and clipped ratio, or a refusal where it rests on too little.

    Args:
      raw: The ratio at the training crystals [n_train].
      ratio: The ratio at any features.
      refusal: When to refuse.
      overlap: What of the target is covered; the mean of `raw` where left out.

    Raises:
      ValueError: If the training crystals do not cover the target.
    """
    mean, size = float(raw.mean()), effective_sample_size(raw)
    overlap, needed = mean if overlap is None else overlap, max(refusal.smallest_share * len(raw), refusal.smallest_size, 1)
    if overlap < refusal.smallest_share or size < needed:
        raise ValueError(
            f"the training crystals do not cover the target: overlap {overlap:.2g} (at least {refusal.smallest_share:g} needed), effective "
            f"sample size {size:.1f} of {len(raw)} (at least {needed:.0f} needed). No weighting can repair a shift to where there is no "
            "training data; use fewer or coarser features, or a method for disjoint domains (leave-domain-out calibration, labels from the "
            "target)"
        )
    clipped = np.minimum(raw / mean, refusal.clip)
    scale = 1 / clipped.mean()
    at = lambda x: scale * np.minimum(ratio(x) / mean, refusal.clip)
    return DensityRatio(scale * clipped, effective_sample_size(clipped), overlap, at)


def gaussian_kernels(x: np.ndarray, centres: np.ndarray, width: float) -> np.ndarray:
    """Gaussian kernels [n, n_center]."""
    return np.exp(-cdist(x, centres, "sqeuclidean") / (2 * width**2))


def median_distance(*samples: np.ndarray) -> float:
    """Median distance of two crystals, from the first 500 of each sample."""
    return float(np.median(pdist(np.concatenate([sample[:500] for sample in samples]))))


def standardiser(train: np.ndarray, target: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Features to features of mean zero and variance one over training and target crystals together."""
    scaler = StandardScaler().fit(np.concatenate([train, target]))
    return lambda x: np.asarray(scaler.transform(np.asarray(x, float)))


def share_reproduced(weights: np.ndarray, train: np.ndarray, target: np.ndarray) -> float:
    """1 - |m_target - m_weighted|^2 / |m_target|^2 of kernel means m: about 1 where weighted training crystals look like the target.

    The kernel is as wide as the median distance within the target, so that two clouds far from each other share nothing.
    """
    share, width = weights / weights.sum(), median_distance(target)
    within, across, own = (gaussian_kernels(a, b, width) for a, b in ((train, train), (train, target), (target, target)))
    return max(float(2 * share @ across.mean(1) - share @ within @ share), 0.0) / float(own.mean())
