"""Stress tests: train inside some domains, test outside, and say how much was lost."""

from matjax.stress_test.baselines import CompositionForest, CompositionRidge, CompositionTrees
from matjax.stress_test.certificate import Certificate, certify
from matjax.stress_test.config import Method, StressTestConfig
from matjax.stress_test.job import StressTest
from matjax.stress_test.run import Report, stress_test

__all__ = [
    "Certificate",
    "CompositionForest",
    "CompositionRidge",
    "CompositionTrees",
    "Method",
    "Report",
    "StressTest",
    "StressTestConfig",
    "certify",
    "stress_test",
]
