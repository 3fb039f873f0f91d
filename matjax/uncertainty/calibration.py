"""Calibration of a predicted standard deviation: one factor that repairs it, and figures that say how wrong it was.

Errors and spreads are in the label's unit. The figures read the spread as that of a Gaussian around the mean; the
intervals of `conformal` do not.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erf, erfinv


def spread_factor(error: np.ndarray, std: np.ndarray, *, level: float | None = None) -> float:
    """The factor by which to multiply `std`, from calibration crystals that the model was not fitted on.

    Without a level, the factor of smallest Gaussian negative log-likelihood, sqrt(mean((error / std)^2)): exact but
    moved by outliers. With a level, the factor that makes the central Gaussian interval cover that share.

    Args:
      error: Signed errors [n].
      std: Predicted standard deviations [n], positive.
      level: Coverage to match, in (0, 1), or None.

    Returns:
      The factor; 1 for a calibrated spread, above 1 for an overconfident one.

    Raises:
      ValueError: If a spread is not positive or the level is not in (0, 1).

    Source:
      Levi et al. (2022), arXiv 1905.11659 (one factor by likelihood).
    """
    score = _standardised(error, std)
    if level is None:
        return float(np.sqrt(np.mean(score**2)))
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1")
    return float(np.quantile(np.abs(score), level) / (np.sqrt(2) * erfinv(level)))


def gaussian_nll(error: np.ndarray, std: np.ndarray) -> float:
    """Mean negative log-likelihood, log(std) + error^2 / (2 std^2) + log(2 pi) / 2; lower is better."""
    score = _standardised(error, std)
    return float(np.mean(np.log(np.asarray(std, np.float64)) + score**2 / 2) + np.log(2 * np.pi) / 2)


def gaussian_crps(error: np.ndarray, std: np.ndarray) -> float:
    """Mean continuous ranked probability score in the label's unit; lower is better, |error| for a std of zero.

    CRPS = std (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)), z = error / std.

    Source:
      Gneiting & Raftery (2007), Strictly proper scoring rules, eq. 21.
    """
    z = _standardised(error, std)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.mean(np.asarray(std, np.float64) * (z * erf(z / np.sqrt(2)) + 2 * density - 1 / np.sqrt(np.pi))))


def reliability(error: np.ndarray, std: np.ndarray, n_point: int = 21) -> tuple[np.ndarray, np.ndarray]:
    """The reliability curve: share of errors inside the central Gaussian interval, against its nominal level.

    Args:
      error: Signed errors [n].
      std: Predicted standard deviations [n], positive.
      n_point: Number of levels, evenly spaced from 0 to 1.

    Returns:
      nominal [n_point] and observed [n_point] coverage. Observed below nominal is overconfidence.
    """
    nominal = np.linspace(0, 1, n_point)
    return nominal, np.mean(_central_level(error, std)[:, None] <= nominal, axis=0)


def miscalibration_area(error: np.ndarray, std: np.ndarray) -> float:
    """Area between the reliability curve and the diagonal, exact: 0 is calibrated, 0.5 the worst.

    The observed coverage is a step function of the nominal level p, so that the area, the integral of
    |observed(p) - p|, is a sum over its steps.

    Source:
      Kuleshov, Fenner & Ermon (2018), arXiv 1807.00263 (the curve); Tran et al. (2020), arXiv 1912.10066 (the area).
    """
    edges = np.concatenate([[0.0], np.sort(_central_level(error, std)), [1.0]])
    observed = np.arange(len(edges) - 1) / (len(edges) - 2)
    integral = lambda x: x * np.abs(x) / 2  # of |x|
    return float(np.sum(integral(edges[1:] - observed) - integral(edges[:-1] - observed)))


def _central_level(error: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Level of the central Gaussian interval that just reaches each error [n]."""
    return erf(np.abs(_standardised(error, std)) / np.sqrt(2))


def _standardised(error: np.ndarray, std: np.ndarray) -> np.ndarray:
    error, std = np.asarray(error, np.float64), np.asarray(std, np.float64)
    if error.shape != std.shape or error.ndim != 1 or not len(error):
        raise ValueError(f"error has shape {error.shape} and std {std.shape}; both must be [n] with n > 0")
    if not (std > 0).all():
        raise ValueError(
            f"{int((~(std > 0)).sum())} of {len(std)} standard deviations are not positive; a single model has no spread to calibrate"
        )
    return error / std
