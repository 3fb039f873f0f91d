"""How far a prediction can be trusted: interval, shift score and flag, fitted once and kept beside the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from matjax.config import spec
from matjax.types import Crystal, Dataset, Prediction
from matjax.uncertainty.calibration import spread_factor
from matjax.uncertainty.conformal import Interval, SplitConformal
from matjax.uncertainty.cross_fit import CrossFit
from matjax.uncertainty.error_scale import ErrorScale, FittedErrorScale
from matjax.uncertainty.flag import FittedFlag, Flag
from matjax.uncertainty.leave_domain_out import LeaveDomainOut
from matjax.uncertainty.novelty import Mahalanobis, Mixture, NearestNeighbours, NoveltyScore
from matjax.uncertainty.shift_score import Combination, CombinedScore

CENTRAL = 0.6827
"""Coverage of one standard deviation: recalibration matches it, and leaves the tails to the conformal interval."""


DISTANCE = "latent distance"
"""Name of the distance in reasons and scales."""


@spec
class Trust:
    """Settings of intervals, shift score and flag.

    Attributes:
      level: Wanted coverage of intervals.
      novelty: Latent distance.
      share: Share of inside crystals that may be flagged.
      bound: Of the leave-domain-out interval: "marginal", "asymptotic" or "domain".
    """

    level: float = 0.9
    novelty: NearestNeighbours | Mahalanobis | Mixture = dataclasses.field(default_factory=NearestNeighbours)
    share: float = 0.05
    bound: str = "marginal"

    def fit(
        self,
        train: Prediction,
        calibration: Prediction,
        error: np.ndarray,
        data: Dataset,
        cross: CrossFit | None = None,
        known: Iterable[int] | None = None,
    ) -> FittedTrust:
        """Learns from predictions on training and calibration crystals.

        Args:
          train: Predictions on the training crystals: where the data are in latent space.
          calibration: Predictions on calibration crystals.
          error: Their errors [n_calibration].
          data: The training set.
          cross: Leave-domain-out errors; without them there is no leave-domain-out interval.
          known: Atomic numbers that the model was trained on, where they are not those of `data`.

        Raises:
          ValueError: If features are missing, an error is not finite, or the crystals are too few for the level.
        """
        evidence = {
            "train_features": _features(train),
            "calibration_features": _features(calibration),
            "calibration_error": np.asarray(error, np.float64),
            "calibration_std": calibration.std,
            "calibration_total_std": calibration.total_std,
            "known": np.unique(np.concatenate([c.numbers for c in data.crystals]) if known is None else np.array(list(known))),
        }
        if cross is not None:
            evidence |= {"cross_error": cross.error, "cross_domain": cross.domain, "cross_distance": cross.distance}
        return self.from_evidence(evidence)

    def from_evidence(self, evidence: Mapping[str, np.ndarray]) -> FittedTrust:
        """The same from the arrays that a checkpoint keeps."""
        distance = self.novelty.fit(evidence["train_features"])
        inside, spread = distance.score(evidence["calibration_features"]), evidence["calibration_std"]
        score = Combination().fit(inside, spread)
        parts = {DISTANCE: inside, "ensemble spread": spread}
        flag = Flag(self.share).fit(score.score(inside, spread), parts, known=[int(z) for z in evidence["known"]])
        error, total = evidence["calibration_error"], evidence["calibration_total_std"]
        scaled = bool((total > 0).all())
        interval = SplitConformal(self.level).fit(error, total if scaled else None)
        factor = spread_factor(error, total, level=CENTRAL) if scaled else 1.0
        outside, scale = self._outside(evidence) if "cross_error" in evidence else (None, None)
        return FittedTrust(self, distance, score, flag, interval, outside, scale, factor, scaled, dict(evidence))

    def _outside(self, evidence: Mapping[str, np.ndarray]) -> tuple[Interval, FittedErrorScale]:
        """Leave-domain-out interval, and its scale: a power of the latent distance."""
        error, domain, distance = (evidence[f"cross_{name}"] for name in ("error", "domain", "distance"))
        parts = {DISTANCE: distance}
        choosable = len(np.unique(domain)) > 2  # each is left out in turn
        scale = ErrorScale(self.level).fit(error, domain, parts) if choosable else FittedErrorScale({DISTANCE: 1.0})
        return LeaveDomainOut(self.level, bound=self.bound).fit(error, domain, scale.scale(parts)), scale


@dataclasses.dataclass(frozen=True, eq=False)
class Judgement:
    """What is said of each crystal beside its prediction; every array is [n].

    std: predicted standard deviation, recalibrated inside; half_width: split conformal, label's unit; half_width_outside:
    leave-domain-out, never below the other, or None; score: shift score; flag; reason: why flagged, "" where not.
    """

    std: np.ndarray
    half_width: np.ndarray
    half_width_outside: np.ndarray | None
    score: np.ndarray
    flag: np.ndarray
    reason: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class FittedTrust:
    """Trust, fitted.

    Attributes:
      settings: How.
      distance: Latent distance from the training crystals.
      combined: Shift score of distance and spread.
      flag: Threshold on it.
      interval: Split conformal interval.
      interval_outside: Leave-domain-out interval, or None.
      scale_outside: Its scale, a power of the latent distance, or None.
      factor: By which the predicted standard deviation is multiplied; above 1 for an overconfident model.
      scaled: Whether there is a spread to scale intervals by.
      evidence: The arrays all this was fitted on: what a checkpoint keeps.
    """

    settings: Trust
    distance: NoveltyScore
    combined: CombinedScore
    flag: FittedFlag
    interval: Interval
    interval_outside: Interval | None
    scale_outside: FittedErrorScale | None
    factor: float
    scaled: bool
    evidence: dict[str, np.ndarray]

    def __call__(self, prediction: Prediction, crystals: Sequence[Crystal]) -> Judgement:
        """Judges predictions."""
        distance = self.distance.score(_features(prediction))
        score = self.combined.score(distance, prediction.std)
        parts = {DISTANCE: distance, "ensemble spread": prediction.std}
        scale = prediction.total_std if self.scaled else np.ones(len(prediction))
        half_width = self.interval.half_width(scale)
        # An interval for any domain is never narrower than the one for the training domains.
        outside = None
        if self.interval_outside is not None and self.scale_outside is not None:
            outside = np.maximum(self.interval_outside.half_width(self.scale_outside.scale(parts)), half_width)
        flag = self.flag.flagged(score, crystals)
        return Judgement(
            self.factor * prediction.total_std,
            half_width,
            outside,
            score,
            flag,
            self.flag.reasons(score, parts, crystals),
        )


def _features(prediction: Prediction) -> np.ndarray:
    if prediction.features is None:
        raise ValueError("the model gives no features; a shift score needs them")
    return prediction.features
