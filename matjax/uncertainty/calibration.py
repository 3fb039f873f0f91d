"""Recalibration: repairs a predicted standard deviation with errors of crystals that the model was not fitted on.

One factor (`spread_factor`) needs a handful of crystals and keeps the Gaussian; `Recalibration` also learns the shape of the
distribution, from some hundred. Both hold for crystals like those they were fitted on. For new domains fit them on errors of models
to which the domains were new, and name the domains: each then counts the same, however many crystals it has.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.special import erfinv, ndtr, ndtri

from matjax.config import spec
from matjax.uncertainty.leave_domain_out import domain_index, domain_quantile
from matjax.uncertainty.scores import standardised


def spread_factor(error: np.ndarray, std: np.ndarray, *, level: float | None = None, domain: np.ndarray | None = None) -> float:
    """The factor by which to multiply `std`, from calibration crystals that the model was not fitted on.

    Without a level, the factor of smallest Gaussian negative log-likelihood, sqrt(mean((error / std)^2)): exact but
    moved by outliers. With a level, the factor that makes the central Gaussian interval cover that share.

    Args:
      error: Signed errors [n].
      std: Predicted standard deviations [n], positive.
      level: Coverage to match, in (0, 1), or None.
      domain: Domain of each error [n], if every domain shall count the same.

    Returns:
      The factor; 1 for a calibrated spread, above 1 for an overconfident one.

    Raises:
      ValueError: If a spread is not positive, an error is not finite or the level is not in (0, 1).

    Source:
      Levi et al. (2022), arXiv 1905.11659 (one factor by likelihood).
    """
    score = standardised(error, std)
    if level is None:
        return float(np.sqrt(np.average(score**2, weights=_weights(domain, len(score)))))
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    size = np.abs(score)
    reached = np.quantile(size, level) if domain is None else domain_quantile(size, domain_index(domain, len(size))[1], level)
    return float(reached / (np.sqrt(2) * erfinv(level)))


@spec
class Recalibration:
    """Settings of a recalibrated distribution: the predicted Gaussian, bent so that its quantiles are met as often as they say.

    A target at the predicted level p = Phi((target - mean) / std) lies at the level R(p) of the recalibrated distribution, where R(p)
    is the share of calibration targets whose predicted level is at most p: monotone, hence a distribution, and skewed or
    heavy-tailed where the errors are. Of n crystals the lowest stands for 1/(n + 1).

    Attributes:
      fewest: Crystals that it needs at least.

    Source:
      Kuleshov, Fenner & Ermon (2018), arXiv 1807.00263, algorithm 1. Changed: R is the empirical distribution itself, which
      isotonic regression gives back, interpolated linearly.
    """

    fewest: int = 20

    def fit(self, error: np.ndarray, std: np.ndarray, domain: np.ndarray | None = None) -> Recalibrated:
        """Learns R.

        Args:
          error: Signed errors, prediction minus target [n].
          std: Predicted standard deviations [n], positive.
          domain: Domain of each error [n], if every domain shall count the same.

        Raises:
          ValueError: If there are too few crystals, a spread is not positive or an error is not finite.
        """
        score = standardised(error, std)
        if len(score) < self.fewest:
            raise ValueError(f"{len(score)} calibration crystals; the shape of a distribution needs at least {self.fewest}")
        weight = _weights(domain, len(score))
        order = np.argsort(-score)
        n = len(score)
        observed = np.cumsum(weight[order]) / weight.sum() * n / (n + 1)
        return Recalibrated(np.r_[0.0, ndtr(-score[order]), 1.0], np.r_[0.0, observed, 1.0])


@dataclasses.dataclass(frozen=True, eq=False)
class Recalibrated:
    """A fitted `Recalibration`: `predicted` levels [n + 2], ascending from 0 to 1, and how often they are `observed`."""

    predicted: np.ndarray
    observed: np.ndarray

    def level(self, error: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Level of the recalibrated distribution at which each target lies [n]: uniform where it is calibrated.

        Args:
          error: Signed errors, prediction minus target [n].
          std: Predicted standard deviations [n].
        """
        return np.interp(ndtr(-standardised(error, std)), self.predicted, self.observed)

    def quantile(self, std: np.ndarray, level: float) -> np.ndarray:
        """Quantile of the recalibrated distribution minus the predicted mean [n], in the label's unit.

        Args:
          std: Predicted standard deviations [n].
          level: Level of the quantile, in (0, 1): 0.05 and 0.95 bound a central 90% interval.

        Raises:
          ValueError: If the level is not in (0, 1).
        """
        if not 0 < level < 1:
            raise ValueError(f"level is {level}; it must lie between 0 and 1")
        return np.asarray(std, np.float64) * ndtri(np.interp(level, self.observed, self.predicted))


def _weights(domain: np.ndarray | None, n: int) -> np.ndarray:
    """Weights [n] of mean one; equal per domain, if there are domains."""
    if domain is None:
        return np.ones(n)
    member = domain_index(domain, n)[1]
    count = np.bincount(member)
    return n / len(count) / count[member]
