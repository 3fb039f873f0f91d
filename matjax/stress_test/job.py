"""One job of a stress test: one method on one split with one seed, from fit to row."""

from __future__ import annotations

import dataclasses
import re
import time
import zlib
from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np

from matjax.config import spec
from matjax.data.matched import matched
from matjax.keys import child
from matjax.stress_test import metrics
from matjax.stress_test.baselines import CompositionForest, CompositionRidge, CompositionTrees
from matjax.stress_test.case import Case
from matjax.stress_test.rows import Part, arrays, metrics_row
from matjax.training.supervision import target_per_atom
from matjax.types import Dataset, Prediction, Split, Visible
from matjax.uncertainty.cross_fit import CrossFit, TooFewDomains, cross_fit
from matjax.uncertainty.trust import FittedTrust, Trust

Epoch = Callable[[dict[str, float]], None]


class Learner(Protocol):
    """What is stress-tested: it sees the visible part of a split and returns a predictor."""

    @property
    def members(self) -> int:
        """Ensemble members."""
        ...

    def fit(self, visible: Visible, key: jax.Array, *, held_from: np.ndarray | None = None, report: Epoch | None = None) -> Any:
        """Fits and returns a predictor: crystals -> Prediction.

        `held_from` keeps crystals from members (cross-fitting; the predictor then has `member(number)`), `report` gets a
        record per epoch.
        """
        ...


@spec
class StressTest:
    """What a stress test does beside fitting each method on each split.

    Attributes:
      trust: Intervals, shift score, flag.
      baseline: Composition-only model that stands on every row.
      second_baseline: Another one, of another kind: where trees cannot extrapolate, a linear model may.
      seeds: Fits per method and split, paired over methods.
      matched: Methods that get the matched second fit, the first so many.
      leave_domain_out: Methods that get the leave-domain-out second fit, the first so many.
    """

    trust: Trust = dataclasses.field(default_factory=Trust)
    baseline: CompositionTrees | CompositionForest | CompositionRidge = dataclasses.field(default_factory=CompositionTrees)
    second_baseline: CompositionTrees | CompositionForest | CompositionRidge = dataclasses.field(default_factory=CompositionRidge)
    seeds: int = 1
    matched: int = 1
    leave_domain_out: int = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One method, one split, one seed.

    Attributes:
      case: Index of the case.
      split: The split.
      method: Name of the method.
      learner: Its learner.
      seed: Number of the fit.
      label: Label that is learned.
      matched: Run the matched second fit.
      leave_domain_out: Run the leave-domain-out second fit.
      column: Domain column that is dealt in the leave-domain-out fit.
    """

    case: int
    split: Split
    method: str
    learner: Learner
    seed: int
    label: str
    matched: bool
    leave_domain_out: bool
    column: str

    @property
    def name(self) -> str:
        """File name of its row."""
        full = f"{self.split.shift}-{self.split.domain}-{self.method}-{self.seed}"
        readable = re.sub(r"[^A-Za-z0-9.-]+", "_", full).strip("_")
        return readable if readable == full else f"{readable[:80]}-{zlib.crc32(full.encode()):08x}"

    @property
    def n_fit(self) -> int:
        """Fits it takes."""
        return 1 + self.matched + self.leave_domain_out


def run_job(
    job: Job, case: Case, settings: StressTest, key: jax.Array, report: Epoch | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Fits, predicts, judges and measures.

    Args:
      job: What to run.
      case: The split's certificate and baseline.
      settings: Of the stress test.
      key: Randomness of this split and seed, shared by all methods.
      report: Called with a record per epoch of every fit.

    Returns:
      The row without its certificate, and the arrays to keep.
    """
    start = time.perf_counter()
    split, visible, label = job.split, job.split.visible(), case.label
    predictor = job.learner.fit(visible, child(key, "fit"), report=report)
    cross, why = _cross(job, visible, settings, label, key, report)
    calibration = predictor(visible.calibration.crystals)
    error = calibration.mean - target_per_atom(visible.calibration, label)
    trust = settings.trust.fit(predictor(visible.train.crystals), calibration, error, visible.train, cross)
    inside = _part(predictor, trust, split.test_inside, label, case.baseline_inside)
    outside = _part(predictor, trust, split.test_outside, label, case.baseline_outside)
    ratio = _matched_ratio(job, predictor, label, key, report) if job.matched else None
    row = {
        "shift": split.shift,
        "domain": split.domain,
        "method": job.method,
        "seed": job.seed,
        "n_train": len(split.train),
        **metrics_row(inside, outside),
        "second_baseline_in": case.second_in,
        "second_baseline_out": case.second_out,
        "matched_ratio": ratio,
        "level": settings.trust.level,
        "guarantee": trust.interval.guarantee,
        "guarantee_ldo": None if trust.interval_outside is None else trust.interval_outside.guarantee,
        "n_member": job.learner.members,
        "why": dict.fromkeys(("coverage_in_ldo", "coverage_out_ldo", "width_ldo"), why) if why else {},
        "seconds": time.perf_counter() - start,
    }
    return row, arrays(inside, outside)


def _cross(
    job: Job, visible: Visible, settings: StressTest, label: str, key: jax.Array, report: Epoch | None
) -> tuple[CrossFit | None, str]:
    """Leave-domain-out errors, or None and why there are none."""
    if not job.leave_domain_out:
        return None, ""
    novelty, cross_key = settings.trust.novelty, child(key, "cross")
    try:
        return cross_fit(job.learner, visible, column=job.column, label=label, key=cross_key, novelty=novelty, report=report), ""
    except TooFewDomains as error:
        return None, str(error)


def _part(predictor: Callable[..., Prediction], trust: FittedTrust, data: Dataset, label: str, baseline: np.ndarray) -> Part:
    taught = getattr(predictor, "supervision", None)
    derivatives = ("forces",) if taught is not None and taught.allows("forces") else ()
    said = predictor(data.crystals, derivatives=derivatives) if derivatives else predictor(data.crystals)
    return Part(data, target_per_atom(data, label), said, trust(said, data.crystals), baseline)


def _matched_ratio(job: Job, predictor: Callable[..., Prediction], label: str, key: jax.Array, report: Epoch | None) -> float:
    """Error of the fit that never saw the domain over that of one that saw half of it, on the other half."""
    second = matched(job.split, child(key, "matched"))
    test = second.test_outside
    target = target_per_atom(test, label)
    seen = job.learner.fit(second.visible(), child(key, "matched fit"), report=report)
    return float(np.exp(metrics.log_ratio(predictor(test.crystals).mean - target, seen(test.crystals).mean - target)))
