"""How far a prediction can be trusted: novelty, conformal intervals, calibration, and the flag."""

from matjax.uncertainty.calibration import gaussian_crps, gaussian_nll, miscalibration_area, reliability, spread_factor
from matjax.uncertainty.conformal import Interval, LeaveDomainOut, SplitConformal
from matjax.uncertainty.flag import FittedFlag, Flag
from matjax.uncertainty.novelty import Combination, Mahalanobis, Mixture, NearestNeighbours, Novelty, NoveltyScore

__all__ = [
    "Combination",
    "FittedFlag",
    "Flag",
    "Interval",
    "LeaveDomainOut",
    "Mahalanobis",
    "Mixture",
    "NearestNeighbours",
    "Novelty",
    "NoveltyScore",
    "SplitConformal",
    "gaussian_crps",
    "gaussian_nll",
    "miscalibration_area",
    "reliability",
    "spread_factor",
]
