"""What all methods share on one split: is it a shift at all, and what does composition alone say?"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from matjax.keys import child
from matjax.stress_test import metrics
from matjax.stress_test.baselines import Baseline
from matjax.stress_test.certificate import Certificate, certify
from matjax.training.supervision import target_per_atom
from matjax.types import Split


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """Certificate and baselines of a split.

    Attributes:
      certificate: How far the outside crystals are, measured before any training.
      baseline_inside: Predictions of the baseline on test_inside [n].
      baseline_outside: On test_outside [n].
      second_in: Mean absolute error of the second baseline on test_inside.
      second_out: On test_outside.
      label: Label that is predicted.
    """

    certificate: Certificate
    baseline_inside: np.ndarray
    baseline_outside: np.ndarray
    second_in: float
    second_out: float
    label: str


def make_case(split: Split, label: str, baseline: Baseline, second: Baseline, key: jax.Array) -> Case:
    """Measures a split and fits both baselines on its training crystals."""
    crystals, target = split.train.crystals, target_per_atom(split.train, label)
    tests = (split.test_inside, split.test_outside)
    truth = [target_per_atom(test, label) for test in tests]
    first = baseline.fit(crystals, target, child(key, "baseline"))
    other = second.fit(crystals, target, child(key, "second baseline"))
    errors = [metrics.mae(other(test.crystals) - y) for test, y in zip(tests, truth, strict=True)]
    certificate = certify(crystals, split.test_outside.crystals, train_target=target, test_target=truth[1], key=child(key, "certificate"))
    return Case(certificate, first(tests[0].crystals), first(tests[1].crystals), errors[0], errors[1], label)
