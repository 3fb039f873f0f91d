"""Uncertainty: latent novelty, conformal intervals inside and across domains, calibration, the off-distribution flag."""

from matjax.uncertainty.calibration import gaussian_crps, gaussian_nll, miscalibration_area, reliability, spread_factor
from matjax.uncertainty.conformal import Interval, LeaveDomainOut, SplitConformal
from matjax.uncertainty.cross_fit import CrossFit, cross_fit
from matjax.uncertainty.flag import FittedFlag, Flag
from matjax.uncertainty.last_layer import LastLayer
from matjax.uncertainty.novelty import Combination, Mahalanobis, Mixture, NearestNeighbours
from matjax.uncertainty.trust import FittedTrust, Judgement, Trust

__all__ = [
    "Combination",
    "CrossFit",
    "FittedFlag",
    "FittedTrust",
    "Flag",
    "Interval",
    "Judgement",
    "LastLayer",
    "LeaveDomainOut",
    "Mahalanobis",
    "Mixture",
    "NearestNeighbours",
    "SplitConformal",
    "Trust",
    "cross_fit",
    "gaussian_crps",
    "gaussian_nll",
    "miscalibration_area",
    "reliability",
    "spread_factor",
]
