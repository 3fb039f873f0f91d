"""Conformal intervals under a covariate shift that is known as a density ratio: weights, the test point's own mass, abstention."""

from __future__ import annotations

import dataclasses

import numpy as np

from matjax.config import spec
from matjax.risk.density_ratio import effective_sample_size
from matjax.uncertainty.conformal import ROUND, check_level, checked_scale, n_domain_needed, scores


@dataclasses.dataclass(frozen=True, eq=False)
class WeightedInterval:
    """A fitted `WeightedConformal`: mean ± half_width(weight, scale).

    Attributes:
      level: Wanted coverage, in (0, 1).
      floor: Smallest scale, in the unit of the scale.
      score: Calibration scores [n], ascending.
      mass: Running sums of their weights [n].
      effective_sample_size: How many equally weighted calibration crystals are worth as much.
      guarantee: What the coverage is promised for, in words.
    """

    level: float
    floor: float
    score: np.ndarray
    mass: np.ndarray
    effective_sample_size: float
    guarantee: str

    def half_width(self, weight: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
        """Half-width per crystal [n], in the label's unit; infinite where the crystal's own weight leaves too little: it abstains.

        Args:
          weight: Density ratio at the crystals [n], on the scale of the calibration weights.
          scale: What the errors were divided by in calibration [n]; one where left out.
        """
        weight = _weights(weight)
        rank = np.searchsorted(self.mass, self.level * (self.mass[-1] + weight) * (1 - ROUND))
        scale = np.ones_like(weight) if scale is None else checked_scale(scale)
        return np.append(self.score, np.inf)[rank] * np.maximum(scale, self.floor)


@spec
class WeightedConformal:
    """Interval for crystals of a target whose density relative to that of the calibration crystals is w(x).

    The half-width is the level-quantile of the calibration scores |error| / scale with probabilities
    w(x_i) / (sum_j w(x_j) + w(x)), where the crystal's own share w(x) / (sum_j w(x_j) + w(x)) sits at infinity. Where that share
    exceeds 1 - level, the interval is infinite: too few calibration crystals are like this one, and it abstains.

    Take the ratio without a largest weight, `Refusal(clip=math.inf)`: clipped at the crystals asked about, it hides how rare they were
    in calibration, and nothing abstains.

    Coverage of the target is at least the level if the weights are the true ratio and nothing but the inputs has shifted; with
    estimated weights it is as good as they are. It fails, without a sign of it, where the shift is one of the label (a tail of
    the target held out), and has nothing to say where supports are disjoint (most held-out elements): `LeaveDomainOut` is for those.

    Attributes:
      level: Wanted coverage, in (0, 1).
      floor: Smallest scale as a share of the median calibration scale.
      smallest_size: Least effective sample size of the calibration weights; 0 for what the level itself needs.

    Example:
      >>> interval = WeightedConformal(level=0.8).fit(np.arange(1.0, 11.0), np.ones(10))
      >>> interval.half_width(np.array([1.0, 0.0, 5.0]))
      array([ 9.,  8., inf])

    Source:
      Tibshirani, Barber, Candès & Ramdas (2019), Conformal prediction under covariate shift, arXiv 1904.06019, eq. 7 and corollary 1.
    """

    level: float = 0.9
    floor: float = 0.5
    smallest_size: float = 0.0

    def __post_init__(self) -> None:
        """Checks level and floor."""
        check_level(self.level, self.floor)

    def fit(self, error: np.ndarray, weight: np.ndarray, scale: np.ndarray | None = None) -> WeightedInterval:
        """Calibrates on errors of crystals that neither the model nor the density ratio was fitted on.

        Args:
          error: Signed or absolute errors [n], in the label's unit.
          weight: Density ratio target / calibration of each crystal [n], such as `DensityRatio.at(features)`; any constant factor.
          scale: Positive scale per crystal [n]; one where left out.

        Raises:
          ValueError: If a number is not finite, a weight is negative, or the weights rest on too few crystals: the calibration
            crystals do not cover the target.
        """
        score, floor = scores(error, scale, self.floor)
        weight = _weights(weight)
        if weight.shape != score.shape:
            raise ValueError(f"{len(weight)} weights for {len(score)} errors; there must be one weight per error")
        size, needed = effective_sample_size(weight), max(self.smallest_size, n_domain_needed(self.level))
        if size < needed:
            raise ValueError(
                f"the weights of {len(score)} calibration crystals have an effective sample size of {size:.1f}; {needed:g} are needed for "
                f"{100 * self.level:g}%. Hardly any calibration crystal is like the target: take fewer or coarser features for the density "
                "ratio, or leave-domain-out calibration, or label some crystals of the target"
            )
        order = np.argsort(score)
        guarantee = (
            f"{100 * self.level:g}% of crystals of the target, if the weights are the true density ratio (effective sample size {size:.0f} "
            f"of {len(score)}) and the relation of input and label has not changed"
        )
        return WeightedInterval(self.level, floor, score[order], np.cumsum(weight[order]), size, guarantee)


def _weights(weight: np.ndarray) -> np.ndarray:
    weight = np.asarray(weight, np.float64)
    wrong = ~np.isfinite(weight) | (weight < 0)
    if weight.ndim != 1 or wrong.any():
        where = f"weight {int(np.flatnonzero(wrong)[0])} is {weight[wrong][0]}" if wrong.any() else f"they have shape {weight.shape}"
        raise ValueError(f"weights must be finite and not negative, one per crystal [n]; {where}")
    return weight
