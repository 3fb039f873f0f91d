"""Novelty: how far a crystal lies from the training crystals in a model's latent space.

Every method is a spec with `fit(features) -> fitted`, and `fitted.score(features)` is a distance [n]: zero at the
heart of the training data, larger further out, about sqrt(n_feature) for a typical inside crystal. Fit on training
features; take thresholds from calibration crystals, because training crystals lie closer to themselves than any new
crystal does.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture

from matjax.config import spec

_CHUNK = 2048  # rows per distance matrix: bounds memory at a few MB for ten thousand training crystals


class NoveltyScore(Protocol):
    """A fitted novelty: features [n, n_feature] to distance [n]."""

    def score(self, features: np.ndarray) -> np.ndarray:
        """Distance from the training crystals [n]; higher is further."""
        ...


class Novelty(Protocol):
    """Settings of a novelty."""

    def fit(self, features: np.ndarray) -> NoveltyScore:
        """Learns where the training crystals are [n, n_feature]."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Whitening:
    """Affine map to features of zero mean and unit (shrunk) covariance: x -> (x - mean) @ matrix."""

    mean: np.ndarray
    matrix: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Whitened features [n, n_feature]."""
        return (_as_matrix(features, len(self.mean)) - self.mean) @ self.matrix


def whitening(features: np.ndarray, shrinkage: float) -> Whitening:
    """The map that whitens these features by their shrunk correlation matrix.

    Columns are scaled to unit spread first (a column that is constant in training by the mean spread of the others, so
    that it counts when it comes alive); then C = (1 - shrinkage) * correlation + shrinkage * 1.

    Args:
      features: Training features [n, n_feature], n > 1.
      shrinkage: In [0, 1]. Zero needs more crystals than features.

    Returns:
      The map; its rows are the eigenvectors of C over the root of their eigenvalues.

    Raises:
      ValueError: If there are too few rows, all are equal, or C is singular.

    Source:
      Friedman (1989), Regularized discriminant analysis, on standardised features.
    """
    features = _as_matrix(features)
    if len(features) < 2:
        raise ValueError(f"novelty was given {len(features)} training crystals; it needs at least 2")
    spread = features.std(0)
    dead = spread <= 1e-6 * np.abs(features).max(0)  # to the precision of float32
    if dead.all():
        raise ValueError("all training features are equal: there is no latent space to measure distance in")
    scale = np.where(dead, spread[~dead].mean(), spread)
    mean = features.mean(0)
    standard = (features - mean) / scale
    covariance = (1 - shrinkage) * standard.T @ standard / len(features) + shrinkage * np.eye(len(scale))
    value, vector = np.linalg.eigh(covariance)
    if value[0] < 1e-10 * value[-1]:
        raise ValueError(
            f"the covariance of {len(scale)} features over {len(features)} crystals is singular; use a shrinkage above {shrinkage}"
        )
    return Whitening(mean, vector / np.sqrt(value) / scale[:, None])


@spec
class Mahalanobis:
    """Distance from the mean in units of the training covariance. For one cloud of features.

    Attributes:
      shrinkage: Weight of the identity in the covariance, in [0, 1].

    Source:
      Lee et al. (2018), arXiv 1807.03888, with a single class.
    """

    shrinkage: float = 0.05

    def __post_init__(self) -> None:
        """Checks the shrinkage."""
        _check_shrinkage(self.shrinkage)

    def fit(self, features: np.ndarray) -> MahalanobisScore:
        """Learns mean and covariance from training features [n, n_feature]."""
        return MahalanobisScore(whitening(features, self.shrinkage))


@dataclasses.dataclass(frozen=True, eq=False)
class MahalanobisScore:
    """A fitted `Mahalanobis`."""

    whiten: Whitening

    def score(self, features: np.ndarray) -> np.ndarray:
        """Mahalanobis distance [n], sqrt((x - mean) C^-1 (x - mean))."""
        return np.linalg.norm(self.whiten(features), axis=1)


@spec
class NearestNeighbours:
    """Mean distance to the k nearest training crystals in whitened features. For clouds of any shape.

    Attributes:
      k: Number of neighbours; fewer training crystals than that all count.
      shrinkage: Weight of the identity in the whitening covariance, in [0, 1].

    Source:
      Sun et al. (2022), arXiv 2204.06507. Changed: whitened instead of normalised to the sphere, and the mean of the
      k distances instead of the k-th.
    """

    k: int = 8
    shrinkage: float = 0.05

    def __post_init__(self) -> None:
        """Checks k and the shrinkage."""
        if self.k < 1:
            raise ValueError(f"k is {self.k}; at least one neighbour is needed")
        _check_shrinkage(self.shrinkage)

    def fit(self, features: np.ndarray) -> NearestNeighboursScore:
        """Keeps the whitened training features [n, n_feature]."""
        whiten = whitening(features, self.shrinkage)
        return NearestNeighboursScore(whiten, whiten(features), min(self.k, len(features)))


@dataclasses.dataclass(frozen=True, eq=False)
class NearestNeighboursScore:
    """A fitted `NearestNeighbours`. A training crystal counts itself as its nearest neighbour."""

    whiten: Whitening
    train: np.ndarray
    k: int

    def score(self, features: np.ndarray) -> np.ndarray:
        """Mean distance to the k nearest training crystals [n]."""
        rows = self.whiten(features)
        out = np.empty(len(rows))
        for start in range(0, len(rows), _CHUNK):
            distance = cdist(rows[start : start + _CHUNK], self.train)
            out[start : start + _CHUNK] = np.partition(distance, self.k - 1, axis=1)[:, : self.k].mean(1)
        return out


@spec
class Mixture:
    """Distance from a mixture of Gaussians that share a covariance. For a few families of crystals.

    score = sqrt(-2 log sum_k weight_k exp(-d_k^2 / 2)), the soft minimum of the Mahalanobis distances d_k to the
    centres: the density relative to its largest possible value. One component is `Mahalanobis`.

    Attributes:
      n_component: Number of Gaussians.
      shrinkage: Weight of the identity in the shared covariance, in [0, 1].
      seed: Of the mixture's start.

    Source:
      Lee et al. (2018), arXiv 1807.03888, with components found by a tied Gaussian mixture (scikit-learn)
      instead of classes.
    """

    n_component: int = 4
    shrinkage: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the number of components and the shrinkage."""
        if self.n_component < 1:
            raise ValueError(f"n_component is {self.n_component}; a mixture needs at least one")
        _check_shrinkage(self.shrinkage)

    def fit(self, features: np.ndarray) -> MixtureScore:
        """Finds the components in training features [n, n_feature]."""
        features = _as_matrix(features)
        rows = whitening(features, self.shrinkage)(features)
        n_component = min(self.n_component, len(rows))
        mixture = GaussianMixture(n_component, covariance_type="tied", reg_covar=1e-3, random_state=self.seed, max_iter=200)
        component = np.unique(mixture.fit_predict(rows), return_inverse=True)[1]
        count = np.bincount(component)
        centre = np.stack([features[component == c].mean(0) for c in range(len(count))])
        within = whitening(features - centre[component], self.shrinkage)
        return MixtureScore(within, within(centre), count / len(features))


@dataclasses.dataclass(frozen=True, eq=False)
class MixtureScore:
    """A fitted `Mixture`: centres [n_component, n_feature] in whitened features, weights [n_component]."""

    whiten: Whitening
    centre: np.ndarray
    weight: np.ndarray

    def score(self, features: np.ndarray) -> np.ndarray:
        """Soft minimum of the distances to the centres [n]."""
        square = cdist(self.whiten(features), self.centre, "sqeuclidean")
        return np.sqrt(np.maximum(-2 * logsumexp(np.log(self.weight) - square / 2, axis=1), 0))


def _as_matrix(features: np.ndarray, n_feature: int | None = None) -> np.ndarray:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or (n_feature is not None and features.shape[1] != n_feature):
        wanted = "n_feature" if n_feature is None else n_feature
        raise ValueError(f"features have shape {features.shape}; they must be [n, {wanted}]")
    if not np.isfinite(features).all():
        raise ValueError(f"features of crystal {int(np.flatnonzero(~np.isfinite(features).all(1))[0])} are not finite")
    return features


def _check_shrinkage(shrinkage: float) -> None:
    if isinstance(shrinkage, (int, float)) and not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage is {shrinkage}; it must lie between 0 and 1")
