"""The certificate of a split: how far the test crystals are from the training crystals, measured before any training.

A split by name is not a shift: many "out-of-distribution" splits cost nothing. Every split is therefore described in
fixed composition and structure descriptors, which no model has learned, and classed `interpolative`, `partial` or
`extrapolative` by thresholds written here. Headline tables are stratified by that class.

The class rests on two measures that mean different things:
- *can one tell?* The two-sample AUC of a cross-validated classifier of train against test. Near 0.5 the test crystals
  are drawn like the training crystals. But a held-out domain is nearly always recognisable by what defines it (the
  presence of fluorine), so a high AUC alone says nothing of distance.
- *is it far?* The share of test crystals whose distance to the nearest training crystal exceeds the 99th percentile
  of that distance among training crystals: 1% by construction where nothing shifts. It is measured in composition
  and in structure apart, and the larger share counts: one sum of both hides either behind the scatter of the other.

Descriptors and thresholds were chosen on the embedded Materials Project crystals, with the degradation of composition
trees on a dozen of their splits in view. That the classes follow the errors there is no independent evidence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax
import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from matjax.data.descriptors import element_fractions, property_statistics
from matjax.graph.descriptors import structure_descriptors
from matjax.keys import generator
from matjax.stress_test.metrics import auroc
from matjax.types import Crystal

INTERPOLATIVE_AUC = 0.65
"""Below it one can hardly tell train from test: random splits of 400 crystals scatter by 0.03 around 0.5."""

INTERPOLATIVE_BEYOND = 0.04
"""Four times the share of an unshifted split: about two standard deviations for 100 test crystals."""

EXTRAPOLATIVE_BEYOND = 0.25
"""A quarter of the test crystals have nothing like them in training, so that the 90% quantile of the error is theirs."""

MAX_CRYSTAL = 2000
"""Crystals per side that are looked at (drawn at random): bounds the time, and leaves every share to about 1%."""


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What a split is, by measurement.

    Attributes:
      certificate: `interpolative`, `partial` or `extrapolative`.
      two_sample_auc: Cross-validated AUC of a classifier of train against test; 0.5 where they are alike.
      beyond_p99: Share of test crystals beyond the 99th percentile of the train-train nearest-neighbour distance: the
        larger of the next two.
      beyond_composition: That share by L1 distance of element fractions.
      beyond_structure: That share by distance of structure descriptors.
      label_shift: Wasserstein-1 distance of the label marginals over their training standard deviation; None without labels.
      similarity: Median over test crystals of the similarity to the nearest training composition, in [0, 1].
      similarity_low: Its 5% quantile.
      ess: Effective sample size of importance weights on the training crystals, as a share of them.
      n_train: Training crystals.
      n_test: Test crystals.
    """

    certificate: str
    two_sample_auc: float
    beyond_p99: float
    beyond_composition: float
    beyond_structure: float
    label_shift: float | None
    similarity: float
    similarity_low: float
    ess: float
    n_train: int
    n_test: int


@dataclasses.dataclass(frozen=True)
class LatentCertificate:
    """What a split is to one model: how far its test crystals are in the latent space. Not part of the class, which no model decides.

    Attributes:
      two_sample_auc_latent: Cross-validated AUC of a classifier of train against test features; 0.5 where they are alike.
      beyond_latent: Share of test crystals beyond the 99th percentile of the train-train nearest-neighbour distance.
      ess_latent: Effective sample size of importance weights on the training crystals, as a share of them.
    """

    two_sample_auc_latent: float
    beyond_latent: float
    ess_latent: float


def certify_latent(train: np.ndarray, test: np.ndarray, *, key: jax.Array) -> LatentCertificate:
    """Measures a split in a model's latent space: is what is new in descriptors also new to the model?

    A domain that is told apart in descriptors and not in latent features was made invariant, or collapsed: the error says which.

    Args:
      train: Latent features of training crystals [n_train, n_feature], at least 20.
      test: Of test crystals [n_test, n_feature], at least 10.
      key: Random key.

    Raises:
      ValueError: If a side has too few crystals, a feature is not finite, or the sides have other features.
    """
    rng = generator(key)
    train, test = (np.asarray(side, np.float64) for side in (train, test))
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise ValueError(f"latent features of shapes {train.shape} and {test.shape}; both must be [n, n_feature] of one model")
    _check_size(len(train), len(test))
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise ValueError("latent features are not finite; the model said NaN for a crystal")
    inside, outside = train[_sample(len(train), rng)], test[_sample(len(test), rng)]
    auc, ess = two_sample(inside, outside, seed=int(rng.integers(2**31)))
    return LatentCertificate(auc, beyond_p99(*standardised(inside, outside)), ess)


def certify(
    train: Sequence[Crystal],
    test: Sequence[Crystal],
    *,
    train_target: np.ndarray | None = None,
    test_target: np.ndarray | None = None,
    key: jax.Array,
) -> Certificate:
    """Measures a split from its crystals and labels; no model is involved.

    Args:
      train: Training crystals, at least 20.
      test: Test crystals, at least 10.
      train_target: Training labels [n_train], or None.
      test_target: Test labels [n_test], or None. Only their distribution is compared.
      key: Random key.

    Returns:
      The certificate.

    Raises:
      ValueError: If a side has too few crystals.
    """
    _check_size(len(train), len(test))
    rng = generator(key)
    inside, outside = ([crystals[i] for i in _sample(len(crystals), rng)] for crystals in (train, test))
    composition = [element_fractions(crystals) for crystals in (inside, outside)]
    structure = [np.stack([structure_descriptors(c) for c in crystals]) for crystals in (inside, outside)]
    descriptors = [np.concatenate([property_statistics(f), s], 1) for f, s in zip(composition, structure, strict=True)]
    auc, ess = two_sample(*descriptors, seed=int(rng.integers(2**31)))
    similarity = composition_similarity(*composition)
    low, median = np.quantile(similarity, [0.05, 0.5])
    beyond_composition = beyond_p99(*composition, metric="cityblock")
    beyond_structure = beyond_p99(*standardised(*structure))
    beyond = max(beyond_composition, beyond_structure)
    return Certificate(
        certificate=classify(auc, beyond),
        two_sample_auc=auc,
        beyond_p99=beyond,
        beyond_composition=beyond_composition,
        beyond_structure=beyond_structure,
        label_shift=None if train_target is None or test_target is None else label_shift(train_target, test_target),
        similarity=float(median),
        similarity_low=float(low),
        ess=ess,
        n_train=len(train),
        n_test=len(test),
    )


def classify(two_sample_auc: float, beyond: float) -> str:
    """The class of a split: `interpolative`, `partial` or `extrapolative`, by the thresholds of this file."""
    if beyond >= EXTRAPOLATIVE_BEYOND:
        return "extrapolative"
    if two_sample_auc < INTERPOLATIVE_AUC and beyond < INTERPOLATIVE_BEYOND:
        return "interpolative"
    return "partial"


def two_sample(train: np.ndarray, test: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """How well a classifier tells train from test, and what is left of the training data after reweighting to test.

    Extremely randomised trees, five-fold cross-validation, classes of equal weight. With p the probability of "test",
    importance weights are w = p / (1 - p) and ESS = (sum w)^2 / sum w^2 over the training crystals.

    Args:
      train: Descriptors [n_train, n_feature].
      test: Descriptors [n_test, n_feature].
      seed: Of folds and trees.

    Returns:
      AUC in [0, 1] and ESS as a share of n_train, in (0, 1].

    Source:
      Lopez-Paz & Oquab (2017), arXiv 1610.06545 (classifier two-sample test); Kong (1992) (ESS).
    """
    rows = np.concatenate([train, test])
    is_test = np.arange(len(rows)) >= len(train)
    trees = ExtraTreesClassifier(100, min_samples_leaf=3, class_weight="balanced", n_jobs=1, random_state=seed)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    p = np.asarray(cross_val_predict(trees, rows, is_test, cv=folds, method="predict_proba"))[:, 1]
    weight = np.clip(p[: len(train)], 1e-3, 0.999)
    weight = weight / (1 - weight)
    return float(auroc(p, is_test) or 0.0), float(weight.sum() ** 2 / (weight**2).sum() / len(train))


def beyond_p99(train: np.ndarray, test: np.ndarray, *, metric: Literal["euclidean", "cityblock"] = "euclidean") -> float:
    """Share of test rows further from the nearest training row than 99% of training rows are from theirs.

    Args:
      train: Descriptors [n_train, n_feature].
      test: Descriptors [n_test, n_feature].
      metric: Distance, by `scipy.spatial.distance.cdist`.
    """
    within = cdist(train, train, metric)
    np.fill_diagonal(within, np.inf)
    return float(np.mean(cdist(test, train, metric).min(1) > np.quantile(within.min(1), 0.99)))


def standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both divided by the training spread of each column; by the mean spread where a column is constant in training."""
    spread = train.std(0)
    scale = np.where(spread > 0, spread, max(spread.mean(), 1e-12))
    return train / scale, test / scale


def composition_similarity(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Similarity of each test composition to the nearest training composition [n_test], in [0, 1].

    sum_z min(f_z, g_z) = 1 - sum_z |f_z - g_z| / 2 of element fractions f and g [n, 118]: the share of atoms that can
    be matched to atoms of the same element.
    """
    return 1 - cdist(test, train, "cityblock").min(1) / 2


def label_shift(train: np.ndarray, test: np.ndarray) -> float | None:
    """Wasserstein-1 distance between the labels that are there over the training spread; None where a side has none or no spread."""
    train, test = (side[np.isfinite(side)] for side in (np.asarray(train, np.float64), np.asarray(test, np.float64)))
    spread = train.std() if len(train) and len(test) else 0.0
    return float(wasserstein_distance(train, test) / spread) if spread > 0 else None


def _check_size(n_train: int, n_test: int) -> None:
    if n_train < 20 or n_test < 10:
        raise ValueError(f"a certificate of {n_train} training and {n_test} test crystals; need at least 20 and 10")


def _sample(n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows that are looked at, ascending: all, or `MAX_CRYSTAL` of them."""
    return np.arange(n) if n <= MAX_CRYSTAL else np.sort(rng.choice(n, MAX_CRYSTAL, replace=False))
