"""Stress tests: train inside some domains, test outside, and say how much was lost."""

from matjax.stress_test.baselines import CompositionForest, CompositionRidge, CompositionTrees
from matjax.stress_test.certificate import Certificate, LatentCertificate, certify, certify_latent
from matjax.stress_test.comparison import Comparison, compare_methods, errors_in
from matjax.stress_test.config import Method, StressTestConfig
from matjax.stress_test.controls import Control
from matjax.stress_test.job import StressTest
from matjax.stress_test.leave_cluster_out import LeaveClusterOut
from matjax.stress_test.recipe import load_recipe, save_recipe, shift_key
from matjax.stress_test.run import Report, stress_test
from matjax.stress_test.search import Candidates, Range, Search
from matjax.stress_test.selection_shift import SelectionShift
from matjax.stress_test.summary import FamilySummary, summarise

__all__ = [
    "Candidates",
    "Certificate",
    "Comparison",
    "CompositionForest",
    "CompositionRidge",
    "CompositionTrees",
    "Control",
    "FamilySummary",
    "LatentCertificate",
    "LeaveClusterOut",
    "Method",
    "Range",
    "Report",
    "Search",
    "SelectionShift",
    "StressTest",
    "StressTestConfig",
    "certify",
    "certify_latent",
    "compare_methods",
    "errors_in",
    "load_recipe",
    "save_recipe",
    "shift_key",
    "stress_test",
    "summarise",
]
