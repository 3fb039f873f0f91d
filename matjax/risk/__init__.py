"""Risks: what training minimises. One method, one paper, one file; `Risk` puts them together. Augments stand beside them."""

from matjax.risk.adversarial import Adversarial
from matjax.risk.balance import Balance
from matjax.risk.c_mixup import CMixup
from matjax.risk.classifier_ratio import classifier_ratio
from matjax.risk.conditional_dann import ConditionalDANN
from matjax.risk.coral import Coral
from matjax.risk.cvar import CVaR
from matjax.risk.dann import DANN
from matjax.risk.dare_gram import DareGram
from matjax.risk.density_ratio import DensityRatio, Refusal
from matjax.risk.erm import ERM
from matjax.risk.group_dro import GroupDRO, domain_weights
from matjax.risk.irm import IRM
from matjax.risk.kernel_mean_matching import kernel_mean_matching
from matjax.risk.kliep import kliep
from matjax.risk.low_density import LowDensity
from matjax.risk.mmd import MMD
from matjax.risk.protocol import Base, Penalty, RiskShape, Weights
from matjax.risk.relative_ratio import relative_ratio
from matjax.risk.reversal import reverse
from matjax.risk.risk import Risk
from matjax.risk.rsd import RSD
from matjax.risk.vrex import VREx
from matjax.risk.weights import Importance

__all__ = [
    "DANN",
    "ERM",
    "IRM",
    "MMD",
    "RSD",
    "Adversarial",
    "Balance",
    "Base",
    "CMixup",
    "CVaR",
    "ConditionalDANN",
    "Coral",
    "DareGram",
    "DensityRatio",
    "GroupDRO",
    "Importance",
    "LowDensity",
    "Penalty",
    "Refusal",
    "Risk",
    "RiskShape",
    "VREx",
    "Weights",
    "classifier_ratio",
    "domain_weights",
    "kernel_mean_matching",
    "kliep",
    "relative_ratio",
    "reverse",
]
