"""Shift scores: latent distance, ensemble spread and whatever else warns, in one number.

A latent distance is the better alarm far from the data, the spread of an ensemble the better one near it (a spread
saturates, a distance does not know about the label). `Combination` adds them, each in units of its inside range, and needs inside
crystals alone. `ErrorProbability` learns from errors on domains that were left out how much each part says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from matjax.config import spec
from matjax.uncertainty.leave_domain_out import domain_index


@spec
class Combination:
    """Latent distance and ensemble spread in one shift score, each in units of its own inside range.

    z(x) = (x - median) / (quantile - median) over inside calibration crystals; score = z(distance) + z(spread).
    Far out the distance dominates, near the data the spread does. A column that is constant inside counts zero there.

    Attributes:
      quantile: Inside quantile that becomes z = 1, in (0.5, 1).
    """

    quantile: float = 0.95

    def __post_init__(self) -> None:
        """Checks the quantile."""
        if isinstance(self.quantile, (int, float)) and not 0.5 < self.quantile < 1:
            raise ValueError(f"quantile is {self.quantile}; it must lie between 0.5 and 1")

    def fit(self, distance: np.ndarray, spread: np.ndarray) -> CombinedScore:
        """Takes the inside range of both from calibration crystals [n] each."""
        columns = _columns(distance, spread)
        centre = np.median(columns, 0)
        scale = np.quantile(columns, self.quantile, axis=0) - centre
        return CombinedScore(centre, np.where(scale > 0, scale, np.inf))


@dataclasses.dataclass(frozen=True, eq=False)
class CombinedScore:
    """A fitted `Combination`: centre and scale [2] of distance and spread."""

    centre: np.ndarray
    scale: np.ndarray

    def score(self, distance: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Shift score [n]: near 0 for a typical inside crystal, 2 where both stand at their inside quantile."""
        return ((_columns(distance, spread) - self.centre) / self.scale).sum(1)


@spec
class ErrorProbability:
    """Probability that an error is large, from several parts of a shift score: a logistic regression whose coefficients are not negative.

    Large is an |error| above the inside quantile. Every part enters as the logarithm of part / inside median + 1, so that a part that is
    zero everywhere says nothing and one that grows says more without end; a coefficient below zero would call the far the safe, and
    is not allowed. Fit on errors of models to which the crystals' domains were new (`cross_fit`): inside, errors have
    little to do with distance. Domains count the same, however many crystals they have.

    Attributes:
      quantile: Of inside |errors|, above which an error is large, in (0, 1).
      strength: Ridge on the coefficients of standardised parts, in units of one crystal.

    Source:
      Platt (1999), Probabilistic outputs for support vector machines (a logistic curve on a score). Ours: several parts, and their sign.
    """

    quantile: float = 0.9
    strength: float = 1.0

    def __post_init__(self) -> None:
        """Checks quantile and strength."""
        if isinstance(self.quantile, (int, float)) and not 0 < self.quantile < 1:
            raise ValueError(f"quantile is {self.quantile}; it must lie between 0 and 1")
        if isinstance(self.strength, (int, float)) and self.strength <= 0:
            raise ValueError(f"strength is {self.strength}; it must be positive")

    def fit(
        self, parts: Mapping[str, np.ndarray], error: np.ndarray, domain: np.ndarray, error_inside: np.ndarray
    ) -> FittedErrorProbability:
        """Learns from leave-domain-out errors.

        Args:
          parts: {name: [n]}, none negative: latent distance, spread, composition distance, ...
          error: Errors [n] of models that were not fitted on the domain of the crystal.
          domain: Domain of each error [n].
          error_inside: Errors on inside calibration crystals, which set what is large.

        Raises:
          ValueError: If shapes differ, a number is not finite or negative, or all errors are large, or none.
        """
        error, inside = np.abs(np.asarray(error, np.float64)), np.abs(np.asarray(error_inside, np.float64))
        if not (np.isfinite(error).all() and len(inside) and np.isfinite(inside).all()):
            raise ValueError("errors contain NaN, or there are none; leave out crystals without a label")
        columns = _parts(parts, tuple(parts), len(error))
        large = error > np.quantile(inside, self.quantile)
        if large.all() or not large.any():
            raise ValueError(f"{int(large.sum())} of {len(error)} errors are large; to tell them apart both kinds are needed")
        member = domain_index(domain, len(error))[1]
        weight = (1 / np.bincount(member))[member] * len(error) / (member.max() + 1)
        unit = np.median(columns, axis=0)
        unit = np.where(unit > 0, unit, np.maximum(columns.mean(0), np.finfo(np.float64).tiny))
        design = np.log1p(columns / unit)
        spread = design.std(0)
        spread = np.where(spread > 0, spread, 1.0)
        coefficient, intercept = _logistic(design / spread, large, weight, self.strength)
        return FittedErrorProbability(tuple(parts), unit, coefficient / spread, intercept)


@dataclasses.dataclass(frozen=True, eq=False)
class FittedErrorProbability:
    """A fitted `ErrorProbability`: names of the parts, their units, coefficients [n_part] and the intercept."""

    names: tuple[str, ...]
    unit: np.ndarray
    coefficient: np.ndarray
    intercept: float

    def score(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log odds of a large error [n]: a shift score without an upper end.

        Args:
          parts: As in `fit`, for these crystals.

        Raises:
          ValueError: If a part is missing, negative or NaN.
        """
        missing = [name for name in self.names if name not in parts]
        if missing:
            raise ValueError(f"the score was fitted with {', '.join(self.names)}; missing: {', '.join(missing)}")
        return np.log1p(_parts(parts, self.names, len(parts[self.names[0]])) / self.unit) @ self.coefficient + self.intercept

    def probability(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probability of an |error| above the inside quantile [n]."""
        return expit(self.score(parts))


def _logistic(design: np.ndarray, positive: np.ndarray, weight: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """Coefficients (not negative) and intercept of least penalised deviance."""
    centre = design.mean(0)
    x, sign = np.column_stack([design - centre, np.ones(len(design))]), np.where(positive, 1.0, -1.0)
    ridge = np.append(np.full(design.shape[1], strength), 0.0)

    def deviance(beta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ beta)
        value = weight @ np.logaddexp(0, -margin) + ridge @ beta**2 / 2
        return float(value), -(weight * sign * expit(-margin)) @ x + ridge * beta

    bounds = [(0, None)] * design.shape[1] + [(None, None)]
    found = minimize(deviance, np.zeros(x.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B").x
    return found[:-1], float(found[-1] - found[:-1] @ centre)


def _parts(parts: Mapping[str, np.ndarray], names: tuple[str, ...], n: int) -> np.ndarray:
    """The parts as columns [n, n_part]."""
    if not names:
        raise ValueError("no parts were given; name at least one, such as {'latent distance': [n]}")
    for name in names:
        column = np.asarray(parts[name], np.float64)
        if column.shape != (n,) or not np.isfinite(column).all() or (column < 0).any():
            raise ValueError(
                f"part {name!r} must be {n} finite numbers, none negative; it has shape {column.shape} or a number that is not"
            )
    return np.stack([np.asarray(parts[name], np.float64) for name in names], 1)


def _columns(distance: np.ndarray, spread: np.ndarray) -> np.ndarray:
    distance, spread = np.asarray(distance, np.float64), np.asarray(spread, np.float64)
    if distance.shape != spread.shape or distance.ndim != 1:
        raise ValueError(f"distance has shape {distance.shape} and spread {spread.shape}; both must be [n]")
    return np.stack([distance, spread], 1)
