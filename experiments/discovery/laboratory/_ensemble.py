"""The model of every strategy but two: an ensemble of kernel ridge regressions on composition and elemental properties."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.gaussian_process.kernels import RBF
from sklearn.metrics.pairwise import euclidean_distances

from matjax.config import spec
from matjax.data.descriptors import property_statistics
from matjax.data.elements import number
from matjax.simulate.laboratory import ELEMENTS


@spec
class Ensemble:
    """Bootstrapped members; each has its own weights of the measurements and its own length of the kernel.

    Attributes:
      members: How many.
      length: Of the Gaussian kernel, in units of the median distance between measured alloys; a member draws within a factor of 1.5.
      ridge: Variance of the noise over that of the signal.
    """

    members: int
    length: float
    ridge: float


class Features(NamedTuple):
    """Standardised features of alloys [n, n_feature]: shares of the elements, statistics of their properties."""

    values: np.ndarray

    @staticmethod
    def of(counts: np.ndarray) -> Features:
        """Of counts [n, n_element]."""
        fractions = np.zeros((len(counts), 118))
        fractions[:, [number(e) - 1 for e in ELEMENTS]] = counts / counts.sum(1, keepdims=True)
        shares = fractions[:, [number(e) - 1 for e in ELEMENTS]]
        both = [(x - x.mean(0)) / np.maximum(x.std(0), 1e-9) / np.sqrt(x.shape[1]) for x in (shares, property_statistics(fractions))]
        return Features(np.concatenate(both, 1))


def members(ensemble: Ensemble, x: np.ndarray, y: np.ndarray, asked: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What every member says [n_member, n_asked].

    Args:
      ensemble: Settings.
      x: Features of measured alloys [n, n_feature].
      y: Their utilities [n].
      asked: Features [n_asked, n_feature].
      rng: Of the bootstrap.
    """
    distance = euclidean_distances(x)
    middle, mean, scale = np.median(distance[distance > 0]), y.mean(), y.std()
    told = []
    for _ in range(ensemble.members):
        kernel = RBF(middle * ensemble.length * 1.5 ** rng.uniform(-1, 1))
        noise = ensemble.ridge / np.maximum(rng.exponential(size=len(y)), 1e-2)  # weights of a Bayesian bootstrap
        told.append(mean + scale * kernel(asked, x) @ np.linalg.solve(kernel(x) + np.diag(noise), (y - mean) / scale))
    return np.stack(told)
