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
from matjax.stress_test.certificate import LatentCertificate, certify_latent
from matjax.stress_test.effective_robustness import effective_robustness
from matjax.stress_test.label_budget import rows_of_few_labels
from matjax.stress_test.rows import Part, arrays, metrics_row
from matjax.stress_test.search import Candidates, inner_folds
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
      few_labels: Labels of the new domain that correct the first method's fitted model, such as [10, 100]: rows of level L2.
      lockbox: File that seals a share of the domains of every family; empty for none.
      sealed: That share.
    """

    trust: Trust = dataclasses.field(default_factory=Trust)
    baseline: CompositionTrees | CompositionForest | CompositionRidge = dataclasses.field(default_factory=CompositionTrees)
    second_baseline: CompositionTrees | CompositionForest | CompositionRidge = dataclasses.field(default_factory=CompositionRidge)
    seeds: int = 1
    matched: int = 1
    leave_domain_out: int = 1
    few_labels: tuple[int, ...] = ()
    lockbox: str = ""
    sealed: float = 0.2


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One method, one split, one seed.

    Attributes:
      case: Index of the case.
      split: The split.
      method: Name of the method.
      learner: Its learner, or the candidates that are searched for one.
      seed: Number of the fit.
      label: Label that is learned.
      matched: Run the matched second fit.
      leave_domain_out: Run the leave-domain-out second fit.
      column: Domain column that is dealt in the leave-domain-out fit.
      few_labels: Labels of the new domain that correct the fitted model afterwards.
    """

    case: int
    split: Split
    method: str
    learner: Learner | Candidates
    seed: int
    label: str
    matched: bool
    leave_domain_out: bool
    column: str
    few_labels: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """File name of its row."""
        full = f"{self.split.shift}-{self.split.domain}-{self.method}-{self.seed}"
        readable = re.sub(r"[^A-Za-z0-9.-]+", "_", full).strip("_")
        return readable if readable == full else f"{readable[:80]}-{zlib.crc32(full.encode()):08x}"

    @property
    def n_fit(self) -> int:
        """Fits it takes."""
        return 1 + self.matched + self.leave_domain_out + (self.learner.n_fit if isinstance(self.learner, Candidates) else 0)


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
    learner, selection = _selected(job, visible, label, key, report)
    predictor = learner.fit(visible, child(key, "fit"), report=report)
    cross, why = _cross(job, learner, visible, settings, label, key, report)
    calibration = predictor(visible.calibration.crystals)
    error = calibration.mean - target_per_atom(visible.calibration, label)
    taught = predictor(visible.train.crystals)
    trust = settings.trust.fit(taught, calibration, error, visible.train, cross)
    inside = _part(predictor, trust, split.test_inside, label, case.baseline_inside)
    outside = _part(predictor, trust, split.test_outside, label, case.baseline_outside)
    ratio = _matched_ratio(job, learner, predictor, label, key, report) if job.matched else None
    figures = metrics_row(inside, outside, float(settings.trust.level))
    robust, not_robust = effective_robustness(figures["mae_in"], figures["mae_out"], case.ladder)
    few, too_few = [], ""
    if job.few_labels:
        expected = metrics.mae(error)
        few, too_few = rows_of_few_labels(predictor, split, job.few_labels, label=label, expected=expected, key=child(key, "few labels"))
    absent = dict.fromkeys(("coverage_in_ldo", "coverage_out_ldo", "width_ldo"), why)
    absent |= {"effective_robustness": not_robust, "n_label": too_few}
    row = {
        "shift": split.shift,
        "domain": split.domain,
        "method": job.method,
        "seed": job.seed,
        "n_train": len(split.train),
        **selection,
        **figures,
        **_latent(taught.features, outside.prediction.features, child(key, "latent certificate")),
        "effective_robustness": robust,
        "second_baseline_in": case.second_in,
        "second_baseline_out": case.second_out,
        "matched_ratio": ratio,
        "level": settings.trust.level,
        "guarantee": trust.interval.guarantee,
        "guarantee_ldo": None if trust.interval_outside is None else trust.interval_outside.guarantee,
        "n_member": learner.members,
        "few_labels": few,
        "why": {name: reason for name, reason in absent.items() if reason},
        "seconds": time.perf_counter() - start,
    }
    return row, arrays(inside, outside)


def _latent(train: np.ndarray | None, outside: np.ndarray | None, key: jax.Array) -> dict[str, float | None]:
    """The certificate in the latent space of the model, where it has one."""
    if train is None or outside is None:
        return dict.fromkeys(field.name for field in dataclasses.fields(LatentCertificate))
    return dataclasses.asdict(certify_latent(train, outside, key=key))


def _selected(job: Job, visible: Visible, label: str, key: jax.Array, report: Epoch | None) -> tuple[Learner, dict[str, Any]]:
    """The learner with its settings chosen, and what the row says of the choice."""
    if not isinstance(job.learner, Candidates):
        return job.learner, {"selection": "train-domain validation", "chosen": {}}
    search, k_select = job.learner.search, child(key, "select")
    if job.learner.oracle:
        tests = [(visible, job.split.test_outside)]
    else:
        tests = inner_folds(visible, job.column, search, child(k_select, "folds"))
    found = job.learner.choose(tests, label=label, key=k_select, report=report)
    return found.learner, {"selection": job.learner.selection, "chosen": found.settings}


def _cross(
    job: Job, learner: Learner, visible: Visible, settings: StressTest, label: str, key: jax.Array, report: Epoch | None
) -> tuple[CrossFit | None, str]:
    """Leave-domain-out errors, or None and why there are none."""
    if not job.leave_domain_out:
        return None, ""
    novelty, cross_key = settings.trust.novelty, child(key, "cross")
    try:
        return cross_fit(learner, visible, column=job.column, label=label, key=cross_key, novelty=novelty, report=report), ""
    except TooFewDomains as error:
        return None, str(error)


def _part(predictor: Callable[..., Prediction], trust: FittedTrust, data: Dataset, label: str, baseline: np.ndarray) -> Part:
    taught = getattr(predictor, "supervision", None)
    derivatives = ("forces",) if taught is not None and taught.allows("forces") else ()
    said = predictor(data.crystals, derivatives=derivatives) if derivatives else predictor(data.crystals)
    return Part(data, target_per_atom(data, label), said, trust(said, data.crystals), baseline)


def _matched_ratio(
    job: Job, learner: Learner, predictor: Callable[..., Prediction], label: str, key: jax.Array, report: Epoch | None
) -> float:
    """Error of the fit that never saw the domain over that of one that saw half of it, on the other half."""
    second = matched(job.split, child(key, "matched"))
    test = second.test_outside
    target = target_per_atom(test, label)
    seen = learner.fit(second.visible(), child(key, "matched fit"), report=report)
    return float(np.exp(metrics.log_ratio(predictor(test.crystals).mean - target, seen(test.crystals).mean - target)))
