"""Risks: what training minimises. One method, one paper, one file; `Risk` puts them together."""

from matjax.risk.balance import Balance
from matjax.risk.coral import Coral
from matjax.risk.cvar import CVaR
from matjax.risk.dann import DANN
from matjax.risk.density_ratio import DensityRatio, classifier_ratio, relative_ratio
from matjax.risk.erm import ERM
from matjax.risk.group_dro import GroupDRO, domain_weights
from matjax.risk.low_density import LowDensity
from matjax.risk.protocol import Base, Penalty, RiskShape, Weights
from matjax.risk.reversal import reverse
from matjax.risk.risk import Risk
from matjax.risk.vrex import VREx
from matjax.risk.weights import Importance

__all__ = [
    "ERM",
    "DANN",
    "Balance",
    "Base",
    "CVaR",
    "Coral",
    "DensityRatio",
    "GroupDRO",
    "Importance",
    "LowDensity",
    "Penalty",
    "Risk",
    "RiskShape",
    "VREx",
    "Weights",
    "classifier_ratio",
    "domain_weights",
    "relative_ratio",
    "reverse",
]
