"""Conformal intervals: half-widths whose coverage holds under a stated condition, and only under that.

`SplitConformal` holds for crystals drawn like the calibration crystals. `LeaveDomainOut` holds for crystals of a new
domain drawn like the training domains; it is the one to use out of distribution. Both turn calibration errors into an
`Interval`, which carries its condition as text. Errors are scaled first: score = |error| / scale, so that an interval
is wide where the model says that it is unsure.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from matjax.config import spec

_ROUND = 1e-9  # levels are decimal numbers: (9 + 1) * 0.9 must count as 9


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
        return self.factor * np.maximum(_scale(scale), self.floor)

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
        _check(self.level, self.floor)

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
        score, floor = _scores(error, scale, self.floor)
        factor = conformal_quantile(score, self.level)
        if math.isinf(factor):
            raise ValueError(_too_few(len(score), self.level))
        guarantee = (
            f"{100 * self.level:g}% of crystals drawn like the {len(score)} calibration crystals; nothing is promised for a new domain"
        )
        return Interval(self.level, factor, floor, len(score), guarantee)


@spec
class LeaveDomainOut:
    """Interval for a crystal of a *new* domain, calibrated on errors of models that had not seen the error's domain.

    `bound="marginal"`: coverage is at least the level on average over new domains and their crystals. The factor is
    the level-quantile of the scores where every domain has the same weight, 1/(n_domain + 1), shared by its crystals,
    and the new domain's own weight sits at infinity (hierarchical conformal prediction).
    `bound="domain"`: with probability at least the level over new domains, the factor is no smaller than the one that
    the new domain would calibrate for itself. It has rank ceil((n_domain + 1) * level) among the domains' own factors,
    where a domain too small for one counts as infinite.

    Both need ceil(1/(1 - level)) - 1 domains (9 for 90%). With fewer the largest of the domains' own factors is taken
    (never below the pooled one), and `guarantee` says what little that promises. Condition: the new domain is drawn
    like the calibration domains. A domain of another type (a laboratory where anions were calibrated) is outside it.
    Errors come from models that were refitted without the domain, the interval is used with the final model; the theorem
    is for a single model, so the statement is approximate: conservative in that a refitted member saw less data than the
    ensemble, not in that its scale (a latent distance in its own space) need not be comparable.

    Attributes:
      level: Wanted coverage, in (0, 1).
      bound: "marginal" or "domain".
      floor: Smallest scale as a share of the median calibration scale.

    Source:
      Lee, Barber & Willett (2023), arXiv 2306.06342, hierarchical conformal prediction (marginal); Dunn, Wasserman &
      Ramdas (2022), arXiv 1809.07441 (sets for two-layer models). Changed: leave-domain-out errors, not a held-out set.
    """

    level: float = 0.9
    bound: str = "marginal"
    floor: float = 0.1

    def __post_init__(self) -> None:
        """Checks level, bound and floor."""
        _check(self.level, self.floor)
        if self.bound not in ("marginal", "domain"):
            raise ValueError(f"bound is {self.bound!r}; allowed: 'marginal', 'domain'")

    def fit(self, error: np.ndarray, domain: np.ndarray, scale: np.ndarray | None = None) -> Interval:
        """Calibrates on leave-domain-out errors.

        Args:
          error: Errors [n] of models that were not fitted on the domain of the crystal, in the label's unit. A
            crystal that belongs to several domains (elements) is one row per domain.
          domain: Domain of each error [n].
          scale: Positive scale per crystal [n]; one where left out.

        Returns:
          The interval; its `guarantee` says which bound holds and for how many domains.

        Raises:
          ValueError: If shapes differ, a number is not finite, or all domains together are too few for the level.
        """
        score, floor = _scores(error, scale, self.floor)
        names, member = np.unique(np.asarray(domain).astype(str), return_inverse=True)
        if len(member) != len(score):
            raise ValueError(f"{len(member)} domains for {len(score)} errors; there must be one domain per error")
        percent = f"{100 * self.level:g}%"
        own = np.array([conformal_quantile(score[member == d], self.level) for d in range(len(names))])
        if len(names) < n_domain_needed(self.level):
            factor, guarantee = self._fallback(score, own)
        elif self.bound == "marginal":
            weight = 1 / np.bincount(member)[member]
            factor = _quantile_with_infinity(score, weight, self.level)
            guarantee = f"{percent} of crystals of new domains drawn like the {len(names)} calibration domains, on average over domains"
        else:
            factor = conformal_quantile(own, self.level)
            guarantee = f"{percent} coverage inside {percent} of new domains drawn like the {len(names)} calibration domains"
        return Interval(self.level, float(factor), floor, len(score), guarantee, tuple(zip(names.tolist(), own.tolist(), strict=True)))

    def _fallback(self, score: np.ndarray, own: np.ndarray) -> tuple[float, str]:
        """The largest factor of a domain that is large enough, never below the pooled one.

        For the K domains with a finite factor of their own, a new domain's factor is larger than all of theirs with
        probability at most 1/(K + 1); hence coverage of at least level - 1/(K + 1).
        """
        pooled, finite = conformal_quantile(score, self.level), own[np.isfinite(own)]
        if math.isinf(pooled):
            raise ValueError(_too_few(len(score), self.level))
        promised = max(self.level - 1 / (len(finite) + 1), 0.0)
        guarantee = (
            f"{len(own)} calibration domains are fewer than the {n_domain_needed(self.level)} that a {100 * self.level:g}% bound over "
            f"domains needs: conservative pooled quantile, only {100 * promised:.3g}% promised for a new domain drawn like them"
        )
        return max([pooled, *finite.tolist()]), guarantee


def conformal_quantile(score: np.ndarray, level: float) -> float:
    """The score of rank ceil((n + 1) * level) among n scores; infinite where that rank exceeds n.

    Args:
      score: Calibration scores [n].
      level: Wanted coverage, in (0, 1).

    Source:
      Lei et al. (2018), arXiv 1604.04173, split conformal prediction.
    """
    rank = math.ceil((len(score) + 1) * level - _ROUND)
    return float(np.partition(score, rank - 1)[rank - 1]) if rank <= len(score) else math.inf


def n_domain_needed(level: float) -> int:
    """Smallest number of domains (or of crystals) that can give a finite interval: ceil(level / (1 - level))."""
    return math.ceil(level / (1 - level) - _ROUND)


def _quantile_with_infinity(score: np.ndarray, weight: np.ndarray, level: float) -> float:
    """Level-quantile of the scores with their weights and a weight of one at infinity."""
    order = np.argsort(score)
    mass = np.cumsum(weight[order]) / (weight.sum() + 1)
    return float(np.append(score[order], np.inf)[np.searchsorted(mass, level - _ROUND)])


def _scores(error: np.ndarray, scale: np.ndarray | None, floor: float) -> tuple[np.ndarray, float]:
    """Scores [n] and the floor in the unit of the scale."""
    error = np.abs(np.asarray(error, np.float64))
    scale = np.ones_like(error) if scale is None else _scale(scale)
    if error.ndim != 1 or error.shape != scale.shape:
        raise ValueError(f"error has shape {error.shape} and scale {scale.shape}; both must be [n]")
    if not len(error):
        raise ValueError("no calibration crystals were given")
    for name, column in (("error", error), ("scale", scale)):
        if not np.isfinite(column).all():
            raise ValueError(f"calibration {name} {int(np.flatnonzero(~np.isfinite(column))[0])} is not finite")
    smallest = floor * float(np.median(scale))
    if not (np.maximum(scale, smallest) > 0).all():
        raise ValueError(
            f"{int((scale <= 0).sum())} of {len(scale)} scales are zero; use an ensemble or a variance head, or leave scale out"
        )
    return error / np.maximum(scale, smallest), smallest


def _scale(scale: np.ndarray) -> np.ndarray:
    scale = np.asarray(scale, np.float64)
    if np.isnan(scale).any() or (scale < 0).any():
        raise ValueError(f"scale of crystal {int(np.flatnonzero(np.isnan(scale) | (scale < 0))[0])} is negative or NaN")
    return scale


def _too_few(n: int, level: float) -> str:
    return f"{n} calibration crystals cannot give {level * 100:g}% coverage; need at least {n_domain_needed(level)}"


def _check(level: float, floor: float) -> None:
    if isinstance(level, (int, float)) and not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1 (0.9 for 90% coverage)")
    if isinstance(floor, (int, float)) and floor < 0:
        raise ValueError(f"floor is {floor}; it must not be negative")
