"""Metrics of a stress test: accuracy, degradation, intervals, and whether the shift score knows where the errors are.

Errors are signed, prediction minus target, in the label's unit. Scores are higher where a crystal should be less
trusted. A metric that is undefined for its input (one class only, a constant score) is None, never a number.
"""

from __future__ import annotations

import math

import jax
import numpy as np
from scipy import stats

from matjax.keys import generator
from matjax.uncertainty import scores


def mae(error: np.ndarray) -> float:
    """Mean absolute error, mean |error|."""
    return float(np.abs(_column(error)).mean())


def rmse(error: np.ndarray) -> float:
    """Root of the mean squared error, sqrt(mean error^2)."""
    return float(np.sqrt(np.mean(_column(error) ** 2)))


def bias(error: np.ndarray) -> float:
    """Mean signed error; positive where the model predicts too high."""
    return float(_column(error).mean())


def worst_error(error: np.ndarray, share: float = 0.1) -> float:
    """Mean absolute error of the worst `share` of crystals (at least one)."""
    size = np.sort(np.abs(_column(error)))
    return float(size[-max(1, round(share * len(size))) :].mean())


def log_ratio(error: np.ndarray, matched: np.ndarray) -> float:
    """Matched degradation of one domain: log MAE out of the training domains minus log MAE inside, same crystals.

    Its exponential is the matched ratio: 1 where holding the domain out costs nothing.

    Args:
      error: Errors on the domain's crystals [n] by a model that did not see the domain.
      matched: Errors on the *same* crystals [n], out of fold, by models trained with the domain, at equal size.

    Raises:
      ValueError: If the two are not errors of the same crystals.
    """
    if len(error) != len(matched):
        raise ValueError(f"{len(error)} errors and {len(matched)} matched errors; both must be of the same crystals")
    return math.log(mae(error) / mae(matched))


def bootstrap_ratio(
    log_ratios: np.ndarray, *, level: float = 0.95, n_draw: int = 10_000, key: jax.Array
) -> tuple[float, float | None, float | None]:
    """Geometric mean of matched ratios, exp(mean log ratio), with a confidence interval over domains.

    The domain is the unit that is drawn again: the interval says what other domains like these would give, which
    seeds on one domain cannot.

    Args:
      log_ratios: One `log_ratio` per domain [n_domain].
      level: Of the confidence interval.
      n_draw: Bootstrap draws.
      key: Random key.

    Returns:
      The ratio and both ends of its interval (None for a single domain).

    Source:
      Efron (1987), Better bootstrap confidence intervals (BCa), by `scipy.stats.bootstrap`.
    """
    ratios = _column(log_ratios)
    centre = float(np.exp(ratios.mean()))
    if len(ratios) < 2:
        return centre, None, None
    if np.ptp(ratios) < 1e-12:
        return centre, centre, centre
    found = stats.bootstrap((ratios,), np.mean, confidence_level=level, n_resamples=n_draw, method="BCa", rng=generator(key))
    return centre, float(np.exp(found.confidence_interval.low)), float(np.exp(found.confidence_interval.high))


def selection_shift(error: np.ndarray, mean: np.ndarray, *, share: float = 0.1, lowest: bool = True) -> float | None:
    """Error on the crystals that the model itself would pick, over its error on all: the optimiser's curse.

    Picking the most favourable predictions picks the errors that make them so; above 1 a screening is worse than the mean
    absolute error says.

    Args:
      error: Signed errors [n].
      mean: Predictions [n].
      share: Share that is picked.
      lowest: Whether low predictions are picked, as for energies; high ones otherwise.

    Returns:
      The ratio of mean absolute errors; None for fewer than three picks or where no prediction errs.
    """
    error, mean = _pair(error, mean)
    n = round(share * len(error))
    if n < 3 or not np.any(error):
        return None
    picked = np.argsort(mean if lowest else -mean, kind="stable")[:n]
    return mae(error[picked]) / mae(error)


def coverage(error: np.ndarray, half_width: np.ndarray) -> float:
    """Share of crystals whose target lies in the interval, |error| <= half_width; an infinite one counts as covering."""
    error, half_width = _pair(error, half_width)
    return float(np.mean(np.abs(error) <= half_width))


def width(half_width: np.ndarray) -> float | None:
    """Mean full width of the finite intervals; None where all abstain."""
    finite = np.asarray(half_width, np.float64)
    finite = finite[np.isfinite(finite)]
    return float(2 * finite.mean()) if len(finite) else None


def interval_score(error: np.ndarray, half_width: np.ndarray, level: float) -> float | None:
    """Mean width of the intervals plus 2 / (1 - level) times what misses them: lower is better, in the label's unit.

    Width and coverage in one number, least for the true quantiles. None where an interval is infinite.

    Source:
      Gneiting & Raftery (2007), Strictly proper scoring rules, eq. 43.
    """
    error, half_width = _pair(error, half_width)
    return scores.interval_score(error, half_width, level) if np.isfinite(half_width).all() else None


def auroc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Probability that a positive scores above a negative, ties counting half; None where one class is empty.

    Args:
      score: Scores [n].
      positive: Which crystals are positive [n] bool.

    Source:
      Mann & Whitney (1947): AUROC = (rank sum of positives - n_pos (n_pos + 1) / 2) / (n_pos n_neg).
    """
    score, positive = _pair(score, positive)
    positive = positive.astype(bool)
    n_positive = int(positive.sum())
    n_negative = len(score) - n_positive
    if not n_positive or not n_negative:
        return None
    rank_sum = stats.rankdata(score)[positive].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def auroc_domain(score_inside: np.ndarray, score_outside: np.ndarray) -> float | None:
    """How well the score tells outside crystals from inside ones. An unseen but easy domain is no failure: read it beside `auroc_error`."""
    score = np.concatenate([_column(score_inside), _column(score_outside)])
    return auroc(score, np.arange(len(score)) >= len(score_inside))


def auroc_error(score: np.ndarray, error: np.ndarray, error_inside: np.ndarray, quantile: float = 0.9) -> float | None:
    """How well the score finds crystals whose |error| is above the inside quantile.

    Args:
      score: Scores of the crystals in question [n], commonly inside and outside together.
      error: Their errors [n].
      error_inside: Errors on inside test crystals, which set the threshold.
      quantile: Of |error_inside|.
    """
    threshold = np.quantile(np.abs(_column(error_inside)), quantile)
    return auroc(score, np.abs(np.asarray(error)) > threshold)


def risk_coverage(error: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MAE of the most trusted crystals, as more and more of them are answered.

    Crystals of equal score are answered in random order; the curve is the expectation over that order.

    Args:
      error: Errors [n].
      score: Scores [n], low where trusted.

    Returns:
      coverage [n] = 1/n ... 1 and risk [n], the mean |error| of that share.

    Source:
      Geifman & El-Yaniv (2017), arXiv 1705.08500 (selective risk).
    """
    error, score = _pair(error, score)
    _, group, count = np.unique(score, return_inverse=True, return_counts=True)
    mean = np.bincount(group, np.abs(error)) / count
    rank = np.arange(1, len(error) + 1)
    return rank / len(error), np.cumsum(mean[np.sort(group)]) / rank


def aurc(error: np.ndarray, score: np.ndarray) -> float:
    """Area under the risk-coverage curve, the mean of its n points; lower is better."""
    return float(risk_coverage(error, score)[1].mean())


def aurc_oracle(error: np.ndarray) -> float:
    """The best `aurc` that any score can have: crystals in the order of their true |error|."""
    return aurc(error, np.abs(error))


def aurc_random(error: np.ndarray) -> float:
    """The `aurc` of a score that knows nothing, in expectation: the MAE."""
    return mae(error)


def spearman(error: np.ndarray, score: np.ndarray) -> float | None:
    """Rank correlation of |error| and score (ties share their mean rank); None where either is constant."""
    error, score = _pair(error, score)
    size = np.abs(error)
    if len(size) < 2 or not np.ptp(size) or not np.ptp(score):
        return None
    return float(np.corrcoef(stats.rankdata(size), stats.rankdata(score))[0, 1])


def _column(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"a metric was given shape {values.shape}; it needs [n] with n > 0")
    if np.isnan(values).any():
        raise ValueError(f"a metric was given NaN for crystal {int(np.flatnonzero(np.isnan(values))[0])}")
    return values


def _pair(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = _column(first), _column(second)
    if len(first) != len(second):
        raise ValueError(f"a metric was given {len(first)} and {len(second)} crystals; the columns must be equally long")
    return first, second
