"""Clusters of similar crystals with limits on their size: domains that nobody named.

Clusters of descriptors come in every size: a giant that leaves little to train on, beside singletons whose one error weighs as
much as the giant's thousand. So clusters that are too large are halved, and those that are too small join their neighbour.
"""

from __future__ import annotations

import numpy as np

_ATTEMPTS = 100  # of halving and joining; each changes one cluster


def cluster_labels(features: np.ndarray, n_cluster: int = 20, *, smallest: float = 0.01, largest: float = 0.1, seed: int = 0) -> np.ndarray:
    """Cluster of each crystal [n], numbered from 0 by decreasing size; every cluster is a share of the crystals within the limits.

    k-means on features divided by their spread, then: while a cluster is too large it is cut in two by 2-means; while one is too
    small, its crystals join the nearest of the other clusters that has room for them, or are dealt one by one to the nearest with
    room. No target is involved.

    Args:
      features: Descriptors, or a model's latent features [n, n_feature].
      n_cluster: Clusters that k-means starts from.
      smallest: Smallest share of the crystals in a cluster; at least two crystals in any case.
      largest: Largest share.
      seed: Of k-means.

    Raises:
      ValueError: If a feature is not finite, the limits contradict each other, or crystals cannot be told apart.

    Source:
      Meredig et al. (2018), Mol. Syst. Des. Eng. 3, 819 (leave-one-cluster-out). Changed: the limits.
    """
    features, low, high = _checked(features, n_cluster, smallest, largest)
    spread = features.std(0)
    scaled = features / np.where(spread > 0, spread, 1)
    label = _k_means(scaled, n_cluster, seed)
    for _ in range(_ATTEMPTS):
        sizes = np.bincount(label)
        if sizes.max() > high:
            label = _halved(scaled, label, int(sizes.argmax()), high, seed)
        elif sizes.min() < low:
            label = _dissolved(scaled, label, int(sizes.argmin()), high)
        else:
            break
    else:
        raise ValueError(f"no clusters between {low} and {high} crystals were found; widen smallest={smallest} and largest={largest}")
    order = np.argsort(-np.bincount(label), kind="stable")
    return np.argsort(order)[label]


def _checked(features: np.ndarray, n_cluster: int, smallest: float, largest: float) -> tuple[np.ndarray, int, int]:
    """Features as numbers, and the limits in crystals."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not np.isfinite(features).all():
        raise ValueError(f"features of shape {features.shape} to cluster; finite numbers [n, n_feature] are needed")
    low, high = max(2, round(smallest * len(features))), int(largest * len(features))
    if not 2 <= n_cluster <= len(features) // 2:
        raise ValueError(f"{n_cluster} clusters of {len(features)} crystals; ask for 2 to {len(features) // 2}")
    if high < 2 * low:
        raise ValueError(f"clusters of {low} to {high} crystals of {len(features)}: the largest must be at least twice the smallest")
    n_distinct = len(np.unique(features, axis=0))
    if n_distinct < n_cluster:
        raise ValueError(f"{n_distinct} crystals differ in these features; they cannot fall into {n_cluster} clusters")
    return features, low, high


def _k_means(features: np.ndarray, n_cluster: int, seed: int) -> np.ndarray:
    """The cluster of each row [n]."""
    from sklearn.cluster import KMeans  # takes a second, and pandas where that is installed: not for everyone who reads a crystal

    return KMeans(n_cluster, n_init=1, random_state=seed).fit_predict(features)  # pyright: ignore[reportArgumentType]  (the default is a str)


def _halved(features: np.ndarray, label: np.ndarray, cluster: int, high: int, seed: int) -> np.ndarray:
    """The labels with one cluster cut in two, at least one of which is within the limit; equal crystals stay together.

    Raises:
      ValueError: If the crystals of the cluster are all alike.
    """
    rows = np.flatnonzero(label == cluster)
    if not np.ptp(features[rows], axis=0).any():
        raise ValueError(f"{len(rows)} crystals are alike in these features, more than the {high} that a cluster may hold; raise largest")
    half = _k_means(features[rows], 2, seed)
    label = label.copy()
    label[rows[half == 1]] = label.max() + 1
    return label


def _dissolved(features: np.ndarray, label: np.ndarray, cluster: int, high: int) -> np.ndarray:
    """The labels with one cluster joined to the nearest that has room for all of it, else dealt to the nearest with room."""
    rows = np.flatnonzero(label == cluster)
    others = np.setdiff1d(np.unique(label), [cluster])
    centre = np.stack([features[label == other].mean(0) for other in others])
    room = high - np.bincount(label)[others]
    label = label.copy()
    fits = np.flatnonzero(room >= len(rows))
    if len(fits):
        label[rows] = others[fits[np.linalg.norm(centre[fits] - features[rows].mean(0), axis=1).argmin()]]
    else:
        for row in rows:
            open_ = np.flatnonzero(room > 0)
            nearest = open_[np.linalg.norm(centre[open_] - features[row], axis=1).argmin()]
            label[row], room[nearest] = others[nearest], room[nearest] - 1
    return np.unique(label, return_inverse=True)[1]
