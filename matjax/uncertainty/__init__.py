"""Uncertainty: latent novelty, conformal intervals inside and across domains, calibration, the off-distribution flag."""

from matjax.uncertainty.calibration import Recalibration, spread_factor
from matjax.uncertainty.conformal import Interval, SplitConformal
from matjax.uncertainty.cross_fit import CrossFit, cross_fit
from matjax.uncertainty.error_scale import ErrorScale, FittedErrorScale
from matjax.uncertainty.few_labels import Corrected, FewLabels
from matjax.uncertainty.flag import FittedFlag, Flag
from matjax.uncertainty.last_layer import LastLayer
from matjax.uncertainty.leave_domain_out import LeaveDomainOut
from matjax.uncertainty.mondrian import Mondrian
from matjax.uncertainty.neighbour_table import NeighbourTable
from matjax.uncertainty.novelty import Mahalanobis, Mixture, NearestNeighbours
from matjax.uncertainty.scores import (
    expected_normalised_calibration_error,
    gaussian_crps,
    gaussian_nll,
    interval_score,
    miscalibration_area,
    reliability,
    sample_crps,
    sharpness,
)
from matjax.uncertainty.shift_score import Combination, ErrorProbability
from matjax.uncertainty.trust import FittedTrust, Judgement, Trust
from matjax.uncertainty.trust_pretrained import trust_pretrained
from matjax.uncertainty.weighted import WeightedConformal

__all__ = [
    "Combination",
    "Corrected",
    "CrossFit",
    "ErrorProbability",
    "ErrorScale",
    "FewLabels",
    "FittedErrorScale",
    "FittedFlag",
    "FittedTrust",
    "Flag",
    "Interval",
    "Judgement",
    "LastLayer",
    "LeaveDomainOut",
    "Mahalanobis",
    "Mixture",
    "Mondrian",
    "NearestNeighbours",
    "NeighbourTable",
    "Recalibration",
    "SplitConformal",
    "Trust",
    "WeightedConformal",
    "cross_fit",
    "expected_normalised_calibration_error",
    "gaussian_crps",
    "gaussian_nll",
    "interval_score",
    "miscalibration_area",
    "reliability",
    "sample_crps",
    "sharpness",
    "spread_factor",
    "trust_pretrained",
]
