"""Conformal intervals: half-widths whose coverage holds under a stated condition, and only under that.

A method turns calibration errors into an `Interval`, which carries its condition as text. Errors are scaled first:
score = |error| / scale, so that an interval is wide where the model says that it is unsure. `SplitConformal` holds for crystals
drawn like the calibration crystals; `leave_domain_out`, `mondrian` and `weighted` hold under other conditions.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from matjax.config import spec

ROUND = 1e-9
"""Levels are decimal numbers: (9 + 1) * 0.9 must count as 9."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A calibrated interval: mean ± half_width(scale).

    Attributes:
      level: Wanted coverage, in (0, 1).
      factor: Half-width in units of the scale; infinite where the data allow no interval.
      floor: Smallest scale, in the unit of the scale.
      n_calibration: Crystals it was calibrated on.
      guarantee: What the coverage is promised for, in words.
      domain_factor: (domain, factor that would cover this domain alone at the level); infinite for a domain that is
        too small. Empty for split conformal.
    """

    level: float
    factor: float
    floor: float
    n_calibration: int
    guarantee: str
    domain_factor: tuple[tuple[str, float], ...] = ()

    def half_width(self, scale: np.ndarray) -> np.ndarray:
        """Half-width per crystal [n], in the label's unit; infinite means that the interval abstains.

        Args:
          scale: What the errors were divided by in calibration [n], such as `Prediction.total_std`.
        """
        return self.factor * np.maximum(checked_scale(scale), self.floor)

    def n_abstained(self, scale: np.ndarray) -> int:
        """Number of crystals with an infinite interval."""
        return int(np.isinf(self.half_width(scale)).sum())


@spec
class SplitConformal:
    """Interval for crystals exchangeable with the calibration crystals: the control, not a promise under a shift.

    The factor is the score of rank ceil((n + 1) * level) among n calibration scores |error| / scale. Coverage is then
    at least the level, and below level + 1/(n + 1) without ties, on average over calibration sets.

    Attributes:
      level: Wanted coverage, in (0, 1).
      floor: Smallest scale as a share of the median calibration scale. (It uses calibration scales but no label;
        what it does to the coverage is of order 1/n.)

    Example:
      >>> error = np.linspace(-0.1, 0.1, 21)
      >>> interval = SplitConformal(level=0.9).fit(error)
      >>> interval.half_width(np.ones(2))
      array([0.1, 0.1])

    Source:
      Vovk et al. (2005); Lei et al. (2018), arXiv 1604.04173, split and locally weighted conformal.
    """

    level: float = 0.9
    floor: float = 0.5

    def __post_init__(self) -> None:
        """Checks level and floor."""
        check_level(self.level, self.floor)

    def fit(self, error: np.ndarray, scale: np.ndarray | None = None) -> Interval:
        """Calibrates on errors of crystals that the model was not fitted on.

        Args:
          error: Signed or absolute errors [n], in the label's unit.
          scale: Positive scale per crystal [n]; one where left out (the interval then has constant width).

        Returns:
          The interval.

        Raises:
          ValueError: If the calibration set is too small for the level, or a number is not finite.
        """
        score, floor = scores(error, scale, self.floor)
        factor = conformal_quantile(score, self.level)
        if math.isinf(factor):
            raise ValueError(too_few(len(score), self.level))
        guarantee = (
            f"{100 * self.level:g}% of crystals drawn like the {len(score)} calibration crystals; nothing is promised for a new domain"
        )
        return Interval(self.level, factor, floor, len(score), guarantee)


def conformal_quantile(score: np.ndarray, level: float) -> float:
    """The score of rank ceil((n + 1) * level) among n scores; infinite where that rank exceeds n.

    Args:
      score: Calibration scores [n].
      level: Wanted coverage, in (0, 1).

    Source:
      Lei et al. (2018), arXiv 1604.04173, split conformal prediction.
    """
    rank = math.ceil((len(score) + 1) * level - ROUND)
    return float(np.partition(score, rank - 1)[rank - 1]) if rank <= len(score) else math.inf


def n_domain_needed(level: float) -> int:
    """Smallest number of domains (or of crystals) that can give a finite interval: ceil(level / (1 - level))."""
    return math.ceil(level / (1 - level) - ROUND)


def scores(error: np.ndarray, scale: np.ndarray | None, floor: float) -> tuple[np.ndarray, float]:
    """Scores |error| / max(scale, floor) [n], and the floor in the unit of the scale.

    Args:
      error: Signed or absolute errors [n].
      scale: Positive scale per crystal [n]; one where left out.
      floor: Smallest scale as a share of the median scale.

    Raises:
      ValueError: If nothing was given, shapes differ, a number is not finite, or all scales are zero.
    """
    error = np.abs(np.asarray(error, np.float64))
    scale = np.ones_like(error) if scale is None else checked_scale(scale)
    if error.ndim != 1 or error.shape != scale.shape:
        raise ValueError(f"error has shape {error.shape} and scale {scale.shape}; both must be [n]")
    if not len(error):
        raise ValueError("no calibration crystals were given")
    for name, column in (("error", error), ("scale", scale)):
        if (wrong := np.flatnonzero(~np.isfinite(column))).size:
            raise ValueError(
                f"{len(wrong)} of {len(column)} calibration {name}s are not finite (first: {wrong[0]}); leave out crystals without label"
            )
    smallest = floor * float(np.median(scale))
    if not (np.maximum(scale, smallest) > 0).all():
        raise ValueError(
            f"{int((scale <= 0).sum())} of {len(scale)} scales are zero; use an ensemble or a variance head, or leave scale out"
        )
    return error / np.maximum(scale, smallest), smallest


def checked_scale(scale: np.ndarray) -> np.ndarray:
    """The scale [n] as float64; a ValueError where it is negative or NaN."""
    scale = np.asarray(scale, np.float64)
    if np.isnan(scale).any() or (scale < 0).any():
        raise ValueError(f"scale of crystal {int(np.flatnonzero(np.isnan(scale) | (scale < 0))[0])} is negative or NaN")
    return scale


def too_few(n: int, level: float) -> str:
    """What to say of a calibration set that cannot give the level."""
    return f"{n} calibration crystals cannot give {level * 100:g}% coverage; need at least {n_domain_needed(level)}"


def check_level(level: float, floor: float) -> None:
    """Refuses a level outside (0, 1) and a negative floor; numbers that are being traced pass."""
    if isinstance(level, (int, float)) and not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1 (0.9 for 90% coverage)")
    if isinstance(floor, (int, float)) and floor < 0:
        raise ValueError(f"floor is {floor}; it must not be negative")
