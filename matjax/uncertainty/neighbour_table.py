"""Distances and errors of nearest neighbours for many training sets at once: one table of neighbours, and a mask for each fit."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial.distance import cdist

from matjax.uncertainty.novelty import whitening

_CHUNK = 1024  # rows per distance matrix


@dataclasses.dataclass(frozen=True, eq=False)
class NeighbourTable:
    """The nearest crystals of every crystal in whitened descriptors, nearest first.

    Leaving domains out needs, for each of many fits, how far crystals are from what that fit was trained on. The table is made once;
    a question masks what was left out, and measures again only where all that it holds was.

    Attributes:
      features: Whitened descriptors [n, n_feature].
      neighbour: Rows of the nearest crystals, the crystal itself left out [n, n_kept].
      distances: Their distances [n, n_kept].
    """

    features: np.ndarray
    neighbour: np.ndarray
    distances: np.ndarray

    @classmethod
    def of(cls, descriptors: np.ndarray, *, n_kept: int = 500, shrinkage: float = 0.05) -> NeighbourTable:
        """Makes the table.

        Args:
          descriptors: Fixed descriptors [n, n_feature], which no model learned: they are whitened over all crystals.
          n_kept: Neighbours to keep; all others, if there are fewer.
          shrinkage: Weight of the identity in the whitening covariance, in [0, 1].

        Raises:
          ValueError: If there are fewer than two crystals, all are alike, or a descriptor is not finite.
        """
        features = whitening(descriptors, shrinkage)(descriptors)
        n = len(features)
        n_kept = min(n_kept, n - 1)
        neighbour, distances = np.empty((n, n_kept), np.int32), np.empty((n, n_kept))
        for start in range(0, n, _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, n))
            found = cdist(features[rows], features)
            found[np.arange(len(rows)), rows] = np.inf
            near = np.argpartition(found, n_kept - 1, axis=1)[:, :n_kept]
            order = np.argsort(np.take_along_axis(found, near, 1), axis=1)
            neighbour[rows] = np.take_along_axis(near, order, 1)
            distances[rows] = np.take_along_axis(found, neighbour[rows], 1)
        return cls(features, neighbour, distances)

    def distance(self, rows: np.ndarray, allowed: np.ndarray, k: int = 5) -> np.ndarray:
        """Mean distance to the k nearest allowed crystals [n_row].

        Args:
          rows: Crystals asked about [n_row].
          allowed: Which crystals count [n] bool: those that the fit was trained on.
          k: Number of neighbours; all allowed ones, if they are fewer.

        Raises:
          ValueError: If no crystal is allowed, or the mask does not fit.
        """
        return self._nearest(rows, allowed, k)[1].mean(1)

    def local_error(self, rows: np.ndarray, allowed: np.ndarray, error: np.ndarray, k: int = 30, prior: float = 2.0) -> np.ndarray:
        """Mean |error| of the k nearest allowed crystals [n_row]: how hard crystals like this one are.

        Args:
          rows: Crystals asked about [n_row].
          allowed: Which crystals count [n] bool; those without an error (NaN) never do.
          error: Error of every crystal by a model that was not fitted on it [n]; NaN where there is none.
          k: Number of neighbours.
          prior: The mean over all allowed crystals enters with the weight of so many.

        Raises:
          ValueError: If no allowed crystal has an error, or shapes do not fit.

        Source:
          Boström, Linusson, Löfström & Johansson (2017), Accelerating difficulty estimation for conformal regression forests (errors of
          neighbours as the scale of an interval).
        """
        size = np.abs(np.asarray(error, np.float64))
        if size.shape != np.shape(allowed):
            raise ValueError(f"{len(size)} errors for a mask of shape {np.shape(allowed)}; both must be [{len(self.features)}]")
        with_error = np.asarray(allowed, bool) & np.isfinite(size)
        near = self._nearest(rows, with_error, k)[0]
        return (size[near].sum(1) + prior * size[with_error].mean()) / (near.shape[1] + prior)

    def _nearest(self, rows: np.ndarray, allowed: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest allowed crystals and their distances [n_row, k]."""
        rows, allowed = np.asarray(rows), np.asarray(allowed, bool)
        if allowed.shape != (len(self.features),) or not allowed.any():
            raise ValueError(
                f"{int(allowed.sum())} crystals allowed by a mask of shape {allowed.shape}; one of {len(self.features)} must be"
            )
        k = min(k, int(allowed.sum()) - int(allowed[rows].any()))
        if k < 1:
            raise ValueError("the only crystal allowed is one that is asked about: a crystal is no neighbour of itself")
        mask = allowed[self.neighbour[rows]]
        first = np.argsort(~mask, axis=1, kind="stable")[:, :k]
        neighbour = np.take_along_axis(self.neighbour[rows], first, 1)
        distances = np.take_along_axis(self.distances[rows], first, 1)
        short = np.flatnonzero(mask.sum(1) < k)
        if short.size:
            neighbour, distances = (np.resize(a, (len(rows), k)) if a.shape[1] < k else a for a in (neighbour, distances))
        for start in range(0, len(short), _CHUNK):
            some = short[start : start + _CHUNK]
            neighbour[some], distances[some] = self._measured(rows[some], np.flatnonzero(allowed), k)
        return neighbour, distances

    def _measured(self, rows: np.ndarray, others: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        found = cdist(self.features[rows], self.features[others])
        found[rows[:, None] == others] = np.inf
        near = np.argpartition(found, k - 1, axis=1)[:, :k]
        return others[near], np.take_along_axis(found, near, 1)
