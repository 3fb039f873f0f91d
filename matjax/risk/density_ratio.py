"""Density ratios between training and target crystals, from features: on the host, once, before training.

A ratio exists only where the training set has crystals. Both estimators measure how much of the target that is and how
many crystals carry the weight, and refuse to answer where the answer would be made of nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from scipy.spatial.distance import cdist, pdist
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from matjax.keys import child, generator


@dataclasses.dataclass(frozen=True, eq=False)
class DensityRatio:
    """Importance weights of training crystals.

    Attributes:
      weights: [n_train], mean one.
      effective_sample_size: (sum w)^2 / sum w^2, between 1 and n_train.
      overlap: Mean of the ratio over the training crystals before normalisation: about 1 where the training set covers the
        target, 0 where the two are disjoint.
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


def classifier_ratio(
    train: np.ndarray, target: np.ndarray, *, folds: int = 5, smallest_share: float = 0.05, smallest_size: float = 50, key: jax.Array
) -> DensityRatio:
    """Ratio p_target / p_train from a logistic classifier: w(x) = P(target | x) / P(train | x) * n_train / n_target.

    The weights of the training crystals come from classifiers that did not see them (cross-fitting); strength of
    regularisation is scikit-learn's default. Exact for two Gaussians of equal covariance, whose log ratio is linear.

    Args:
      train: Features of the training crystals [n_train, n_feature].
      target: Features of target crystals [n_target, n_feature].
      folds: Of the cross-fitting.
      smallest_share: Least overlap, and least effective sample size as a share of n_train, that is accepted.
      smallest_size: Least effective sample size that is accepted.
      key: For the folds.

    Raises:
      ValueError: If the features do not fit, or the supports are so disjoint that no ratio can be trusted.

    Source:
      Bickel, Brückner & Scheffer (2009), Discriminative learning under covariate shift, eq. 7.
    """
    train, target = _checked(train, target, folds)
    features = np.concatenate([train, target])
    is_target = np.repeat([0, 1], [len(train), len(target)])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    seed = int(generator(key).integers(2**31))
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    log_odds = np.asarray(cross_val_predict(classifier, features, is_target, cv=splits, method="decision_function"))
    prior = len(train) / len(target)
    classifier.fit(features, is_target)
    return _accepted(
        np.exp(log_odds[: len(train)]) * prior,
        lambda x: np.exp(classifier.decision_function(np.asarray(x, float))) * prior,
        smallest_share,
        smallest_size,
    )


def relative_ratio(
    train: np.ndarray,
    target: np.ndarray,
    *,
    alpha: float = 0.1,
    n_center: int = 100,
    smallest_share: float = 0.05,
    smallest_size: float = 50,
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
      smallest_share: Least overlap, and least effective sample size as a share of n_train, that is accepted.
      smallest_size: Least effective sample size that is accepted.
      key: For centres and folds.

    Raises:
      ValueError: If the features do not fit, or the supports are so disjoint that no ratio can be trusted.

    Source:
      Yamada, Suzuki, Kanamori, Hachiya & Sugiyama (2013), Relative density-ratio estimation for robust distribution comparison, section 2.
    """
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha={alpha} is out of range; it must lie in [0, 1)")
    train, target = _checked(train, target, folds=5)
    scaler = StandardScaler().fit(np.concatenate([train, target]))
    train, target = np.asarray(scaler.transform(train)), np.asarray(scaler.transform(target))
    rows = generator(child(key, "centres")).choice(len(target), min(n_center, len(target)), replace=False)
    centres = target[rows]
    median = float(np.median(pdist(np.concatenate([train[:500], target[:500]]))))
    random = generator(child(key, "folds"))
    folds = random.permutation(len(train)) % 5, random.permutation(len(target)) % 5
    losses = {}
    for width in (median * factor for factor in (0.25, 0.5, 1.0, 1.5, 2.5)):
        k_train, k_target = _kernels(train, centres, width), _kernels(target, centres, width)
        losses |= {(width, strength): loss for strength, loss in _held_out_losses(k_train, k_target, folds, alpha).items()}
    width, regularisation = min(losses, key=lambda setting: losses[setting])
    theta = _solve(*_moments(_kernels(train, centres, width), _kernels(target, centres, width), alpha), regularisation)
    ratio = lambda x: np.maximum(_kernels(np.asarray(scaler.transform(np.asarray(x, float))), centres, width) @ theta, 0)
    return _accepted(np.maximum(_kernels(train, centres, width) @ theta, 0), ratio, smallest_share, smallest_size)


def _checked(train: np.ndarray, target: np.ndarray, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, after the checks at the door."""
    train, target = np.asarray(train, float), np.asarray(target, float)
    if train.ndim != 2 or target.ndim != 2 or train.shape[1] != target.shape[1]:
        raise ValueError(f"features have shapes {train.shape} and {target.shape}; they must be [n_train, k] and [n_target, k]")
    if min(len(train), len(target)) < 2 * folds:
        raise ValueError(f"{len(train)} training and {len(target)} target crystals are too few; at least {2 * folds} of each are needed")
    if not (np.isfinite(train).all() and np.isfinite(target).all()):
        raise ValueError("features contain NaN or infinite values; remove those crystals first")
    return train, target


def _accepted(raw: np.ndarray, ratio: Callable[[np.ndarray], np.ndarray], smallest_share: float, smallest_size: float) -> DensityRatio:
    """The normalised ratio, or a refusal where it rests on too little."""
    overlap, size = float(raw.mean()), effective_sample_size(raw)
    needed = max(smallest_share * len(raw), smallest_size)
    if overlap < smallest_share or size < needed:
        raise ValueError(
            f"the training crystals do not cover the target: overlap {overlap:.2g} (at least {smallest_share:g} needed), effective sample "
            f"size {size:.1f} of {len(raw)} (at least {needed:.0f} needed). No weighting can repair a shift to where there is no training "
            "data; use fewer or coarser features, or a method for disjoint domains (leave-domain-out calibration, labels from the target)"
        )
    return DensityRatio(raw / overlap, size, overlap, lambda x: ratio(x) / overlap)


def _kernels(x: np.ndarray, centres: np.ndarray, width: float) -> np.ndarray:
    """Gaussian kernels [n, n_center]."""
    return np.exp(-cdist(x, centres, "sqeuclidean") / (2 * width**2))


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
