"""The stress test: the same learners on every shift, inside and outside, row by row, resumable."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import jax

from matjax.data.shifts import Shift
from matjax.keys import child
from matjax.stress_test.case import Case, make_case
from matjax.stress_test.controls import Control
from matjax.stress_test.job import Job, Learner, StressTest, run_job
from matjax.stress_test.label_budget import unfolded
from matjax.stress_test.plan import Plan, common_label, labelled, make_jobs, make_plan, plain, spread
from matjax.stress_test.search import Candidates
from matjax.stress_test.store import load_row, save_row
from matjax.types import Dataset

Reporter = Callable[[dict[str, Any]], None]


class Interrupted(Exception):
    """Raised inside a worker when the run is being stopped."""


@dataclasses.dataclass(frozen=True)
class Report:
    """What a stress test found.

    Attributes:
      rows: Plain numbers, one row per shift, domain, method and seed.
      missing: (row, reason) of what was not finished.
      sealed: {shift: domains that the lockbox keeps}.
    """

    rows: tuple[dict[str, Any], ...]
    missing: tuple[tuple[str, str], ...] = ()
    sealed: Mapping[str, int] = dataclasses.field(default_factory=dict)


def stress_test(
    learners: Learner | Candidates | Mapping[str, Learner | Candidates],
    dataset: Dataset,
    shifts: Iterable[Shift],
    *,
    settings: StressTest | None = None,
    run_dir: Path | str | None = None,
    workers: int | None = None,
    report: Reporter | None = None,
    controls: Mapping[str, Control] | None = None,
    open_lockbox: str = "",
    key: jax.Array,
) -> Report:
    """Trains inside some domains and tests outside.

    Args:
      learners: One learner, or {method name: learner}; the first is the reference that the others are held against. `Candidates`
        in place of a learner are searched inside the training domains of every split.
      dataset: Labelled crystals.
      shifts: Which domains are held out.
      settings: Intervals, baseline, seeds, second fits.
      run_dir: Where rows and predictions are kept; a row that is there already is not run again.
      workers: Jobs at the same time (threads); all cores by default on a CPU, one on an accelerator.
      report: Called with events: {"event": "plan" | "epoch" | "row" | "failed", ...}.
      controls: {method name: what it is a control of}, for methods whose answer is known.
      open_lockbox: Why sealed domains are tested too; it is written into the lockbox. Empty leaves them sealed.
      key: Randomness of splits and fits.

    Returns:
      The report. Rows of a method that failed are in `missing`, with the reason.

    Raises:
      ValueError: If a split cannot be measured, a sealed domain is asked for by name, or methods learn different labels.
    """
    settings, run_dir = settings or StressTest(), None if run_dir is None else Path(run_dir)
    methods = dict(learners) if isinstance(learners, Mapping) else {"learner": learners}
    tell = report or (lambda event: None)
    label = common_label(methods, dataset)
    dataset = labelled(dataset, label)
    plan = make_plan(dataset, shifts, label, settings, open_lockbox, key)
    jobs = make_jobs(plan.splits, methods, label, settings)
    done = {job.name: row for job in jobs if run_dir is not None and (row := load_row(run_dir, job)) is not None}
    todo = [job for job in jobs if job.name not in done]
    tell(
        {
            "event": "plan",
            "jobs": [job.name for job in jobs],
            "done": len(done),
            "fits": sum(j.n_fit for j in todo),
            "splits": [(s.shift, s.domain) for s in plan.splits],
            "sealed": dict(plan.sealed),
        }
    )
    run = _Run(settings, run_dir, key, tell, dict(controls or {}), plan)
    found, missing = run.all(todo, workers or default_workers(len(todo)))
    done |= found
    rows = [row for job in jobs if job.name in done for row in unfolded(done[job.name])]
    return Report(tuple(rows), tuple(missing), dict(plan.sealed))


def default_workers(n_job: int) -> int:
    """Threads that pay: one per core on a CPU, one on an accelerator."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(n_job, cores if jax.default_backend() == "cpu" else 1))


class _Run:
    """Workers, shared cases, and a way to stop them."""

    def __init__(
        self, settings: StressTest, run_dir: Path | None, key: jax.Array, tell: Reporter, controls: Mapping[str, Control], plan: Plan
    ) -> None:
        self.settings, self.run_dir, self.key, self.tell = settings, run_dir, key, tell
        self.controls, self.plan = controls, plan
        self.stop = threading.Event()
        self.cases: dict[int, Case | ValueError] = {}
        self.locks: dict[int, threading.Lock] = {}

    def all(self, jobs: list[Job], workers: int) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
        """Runs jobs, the longest first; returns rows by job name and what failed."""
        rows: dict[str, dict[str, Any]] = {}
        missing: list[tuple[str, str]] = []
        self.locks = {job.case: threading.Lock() for job in jobs}
        pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="stress-test")
        waiting: dict[Future[dict[str, Any]], Job] = {pool.submit(self.one, job): job for job in spread(jobs, workers)}
        try:
            while waiting:
                finished, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    job = waiting.pop(future)
                    error = future.exception()
                    if error is None:
                        rows[job.name] = future.result()
                        self.tell({"event": "row", "job": job.name, "row": rows[job.name]})
                    elif isinstance(error, (ValueError, ArithmeticError, RuntimeError)):
                        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
                        missing.append((job.name, reason))
                        self.tell({"event": "failed", "job": job.name, "reason": reason})
                    else:
                        raise error
        finally:
            self.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        return rows, missing

    def one(self, job: Job) -> dict[str, Any]:
        """One job: its row, saved if there is a folder."""

        def epoch(record: dict[str, float]) -> None:
            if self.stop.is_set():
                raise Interrupted
            self.tell({"event": "epoch", "job": job.name, **record})

        if self.stop.is_set():
            raise Interrupted
        case = self._case(job)
        key = child(self.key, job.split.shift, job.split.domain, "seed", job.seed)
        row, arrays = run_job(job, case, self.settings, key, epoch)
        row = {**row, **self._context(job, case, row)}
        if self.run_dir is not None:
            row["predictions"] = f"predictions/{job.name}.npz"
            save_row(self.run_dir, job, row, arrays)
        return row

    def _context(self, job: Job, case: Case, row: Mapping[str, Any]) -> dict[str, Any]:
        """What a row says beside the figures of its fit."""
        control, box, split = self.controls.get(job.method), self.plan.lockbox, job.split
        certificate = {k: v for k, v in dataclasses.asdict(case.certificate).items() if k not in row}
        return certificate | {
            "same_composition": case.same_composition,
            "duplicates": len(case.duplicates),
            "baseline": type(self.settings.baseline).__name__,
            "second_baseline": type(self.settings.second_baseline).__name__,
            "information": "L1" if getattr(plain(job.learner), "use_target", False) else "L0",
            "control": control and control.kind,
            "control_of": control and control.of,
            "lockbox": None if box is None else box.sealed(split.shift, split.domain),
            "label": case.label,
            "unit": "eV/atom" if case.label == "energy" else split.train.metadata.units.get(case.label, "unknown"),
        }

    def _case(self, job: Job) -> Case:
        """What all methods share on the job's split, made once; a failure is the failure of every job on it."""
        with self.locks[job.case]:
            if job.case not in self.cases:
                try:
                    self.cases[job.case] = make_case(job.split, job.label, self.settings.baseline, self.settings.second_baseline, self.key)
                except ValueError as error:
                    self.cases[job.case] = error
        case = self.cases[job.case]
        if isinstance(case, ValueError):
            raise case
        return case
