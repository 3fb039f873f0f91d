"""Scores of a predicted spread, of samples and of intervals: figures that say how wrong they were.

Errors are signed or absolute, prediction minus target; errors and spreads are in the label's unit. Where a spread is read as that
of a Gaussian around the mean, the name or the text says so. Lower is better but for reliability curves.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erf


def gaussian_nll(error: np.ndarray, std: np.ndarray) -> float:
    """Mean negative log-likelihood, log(std) + error^2 / (2 std^2) + log(2 pi) / 2; lower is better."""
    score = standardised(error, std)
    return float(np.mean(np.log(np.asarray(std, np.float64)) + score**2 / 2) + np.log(2 * np.pi) / 2)


def gaussian_crps(error: np.ndarray, std: np.ndarray) -> float:
    """Mean continuous ranked probability score in the label's unit; lower is better, |error| for a std of zero.

    CRPS = std (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)), z = error / std.

    Source:
      Gneiting & Raftery (2007), Strictly proper scoring rules, eq. 21.
    """
    z = standardised(error, std)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.mean(np.asarray(std, np.float64) * (z * erf(z / np.sqrt(2)) + 2 * density - 1 / np.sqrt(np.pi))))


def sample_crps(samples: np.ndarray, target: np.ndarray, *, fair: bool = False) -> float:
    """Mean continuous ranked probability score of samples, in the label's unit: E|X - y| - E|X - X'| / 2.

    Args:
      samples: Members or draws [n_sample, n].
      target: Labels [n].
      fair: Divide the second mean by n_sample (n_sample - 1): the score that infinitely many such samples would have, in expectation;
        otherwise that of the samples as the whole distribution. Needs two samples.

    Raises:
      ValueError: If the shapes do not fit or a number is not finite.

    Source:
      Gneiting & Raftery (2007), Strictly proper scoring rules, eq. 21; Ferro (2014), Q. J. R. Meteorol. Soc. 140, 1917 (fair score).
    """
    samples, target = np.sort(np.asarray(samples, np.float64), axis=0), np.asarray(target, np.float64)
    n = len(samples)
    if samples.ndim != 2 or samples.shape[1:] != target.shape or n < 1 + fair or not len(target):
        raise ValueError(
            f"samples have shape {samples.shape} and targets {target.shape}; needed: [n_sample >= {1 + fair}, n] and [n], n > 0"
        )
    if not (np.isfinite(samples).all() and np.isfinite(target).all()):
        raise ValueError("samples or targets contain NaN or infinite values; leave out crystals without a label")
    pairs = 2 * (2 * np.arange(1, n + 1) - n - 1) @ samples  # sum over i, j of |x_i - x_j|, by rank
    return float(np.mean(np.abs(samples - target).mean(0) - pairs / (2 * n * (n - 1 if fair else n))))


def interval_score(error: np.ndarray, half_width: np.ndarray, level: float) -> float:
    """Mean width of central intervals plus 2 / (1 - level) times what misses them; infinite where an interval is.

    Width and coverage in one number, least for the true quantiles.

    Args:
      error: Errors [n].
      half_width: Of the intervals [n].
      level: Their wanted coverage.

    Source:
      Gneiting & Raftery (2007), Strictly proper scoring rules, eq. 43.
    """
    return float(np.mean(2 * half_width + 2 / (1 - level) * np.maximum(np.abs(error) - half_width, 0)))


def sharpness(std: np.ndarray) -> float:
    """Root of the mean predicted variance: how sure the model is, right or wrong.

    Source:
      Kuleshov, Fenner & Ermon (2018), arXiv 1807.00263, section 3.3 (its square).
    """
    return float(np.sqrt(np.mean(np.square(np.asarray(std, np.float64)))))


def expected_normalised_calibration_error(error: np.ndarray, std: np.ndarray, n_bin: int = 10) -> float:
    """ENCE: mean over bins of predicted spread of |RMV - RMSE| / RMV; 0 where errors grow as the spread says.

    RMV is the root of a bin's mean predicted variance, RMSE the root of its mean squared error. Bins hold equally many crystals, in
    the order of the spread. (With a spread that is the same everywhere it still is the error of the one level.) Even for a calibrated
    spread it is not zero but about sqrt(n_bin / (pi n)): compare at the same n and n_bin.

    Args:
      error: Errors [n].
      std: Predicted standard deviations [n], positive.
      n_bin: Number of bins; at most n.

    Raises:
      ValueError: If there are fewer crystals than bins.

    Source:
      Levi et al. (2022), arXiv 1905.11659, eq. 8.
    """
    standardised(error, std)
    error, std = np.asarray(error, np.float64), np.asarray(std, np.float64)
    if not 1 <= n_bin <= len(error):
        raise ValueError(f"{n_bin} bins for {len(error)} crystals; allowed: 1 to {len(error)}")
    bins = np.array_split(np.argsort(std, kind="stable"), n_bin)
    root = lambda values, rows: np.sqrt(np.mean(values[rows] ** 2))
    return float(np.mean([abs(root(std, rows) - root(error, rows)) / root(std, rows) for rows in bins]))


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
    return erf(np.abs(standardised(error, std)) / np.sqrt(2))


def standardised(error: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Errors over their spreads [n], after the checks at the door.

    Raises:
      ValueError: If shapes differ, an error is not finite or a spread is not positive.
    """
    error, std = np.asarray(error, np.float64), np.asarray(std, np.float64)
    if error.shape != std.shape or error.ndim != 1 or not len(error):
        raise ValueError(f"error has shape {error.shape} and std {std.shape}; both must be [n] with n > 0")
    if not np.isfinite(error).all():
        raise ValueError(f"{int((~np.isfinite(error)).sum())} of {len(error)} errors are not finite; leave out crystals without a label")
    if not (std > 0).all():
        raise ValueError(
            f"{int((~(std > 0)).sum())} of {len(std)} standard deviations are not positive; a single model has no spread to calibrate"
        )
    return error / std
