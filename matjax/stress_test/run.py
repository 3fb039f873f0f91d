"""The stress test: the same learners on every shift, inside and outside, row by row, resumable."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matjax.data.shifts import Shift
from matjax.data.suggest import suggest_domain
from matjax.keys import child
from matjax.stress_test.case import Case, make_case
from matjax.stress_test.job import Job, Learner, StressTest, run_job
from matjax.stress_test.store import load_row, save_row
from matjax.training.supervision import default_label, target_per_atom
from matjax.types import Dataset, Split
from matjax.uncertainty.conformal import n_domain_needed

Reporter = Callable[[dict[str, Any]], None]


class Interrupted(Exception):
    """Raised inside a worker when the run is being stopped."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Rows of plain numbers, one per shift, domain, method and seed; `missing` lists (row, reason) of what was not finished."""

    rows: tuple[dict[str, Any], ...]
    missing: tuple[tuple[str, str], ...] = ()


def stress_test(
    learners: Learner | Mapping[str, Learner],
    dataset: Dataset,
    shifts: Iterable[Shift],
    *,
    settings: StressTest | None = None,
    run_dir: Path | str | None = None,
    workers: int | None = None,
    report: Reporter | None = None,
    key: jax.Array,
) -> Report:
    """Trains inside some domains and tests outside.

    Args:
      learners: One learner, or {method name: learner}; the first is the reference that the others are held against.
      dataset: Labelled crystals.
      shifts: Which domains are held out.
      settings: Intervals, baseline, seeds, second fits.
      run_dir: Where rows and predictions are kept; a row that is there already is not run again.
      workers: Jobs at the same time (threads); all cores by default on a CPU, one on an accelerator.
      report: Called with events: {"event": "plan" | "epoch" | "row" | "failed", ...}.
      key: Randomness of splits and fits.

    Returns:
      The report. Rows of a method that failed are in `missing`, with the reason.
    """
    settings, run_dir = settings or StressTest(), None if run_dir is None else Path(run_dir)
    methods = dict(learners) if isinstance(learners, Mapping) else {"learner": learners}
    tell = report or (lambda event: None)
    label = common_label(methods, dataset)
    dataset = labelled(dataset, label)
    splits = [split for shift in shifts for split in shift(dataset, child(key, "splits"))]
    for split in splits:
        check_calibration(split, settings)
    jobs = _jobs(splits, methods, label, settings)
    done = {job.name: row for job in jobs if run_dir is not None and (row := load_row(run_dir, job)) is not None}
    todo = [job for job in jobs if job.name not in done]
    tell(
        {
            "event": "plan",
            "jobs": [job.name for job in jobs],
            "done": len(done),
            "fits": sum(j.n_fit for j in todo),
            "splits": [(s.shift, s.domain) for s in splits],
        }
    )
    run = _Run(settings, run_dir, key, tell)
    found, missing = run.all(todo, workers or default_workers(len(todo)))
    done |= found
    return Report(tuple(done[job.name] for job in jobs if job.name in done), tuple(missing))


def labelled(dataset: Dataset, label: str) -> Dataset:
    """The crystals whose label is known: only they can be trained on or tested.

    Raises:
      ValueError: If there is none.
    """
    known = np.isfinite(target_per_atom(dataset, label))
    if not known.any():
        raise ValueError(f"label {label!r} is absent (NaN) on all {len(dataset)} crystals")
    return dataset if known.all() else dataset.select(known)


def common_label(methods: Mapping[str, Learner], dataset: Dataset) -> str:
    """The label that all methods learn.

    Raises:
      ValueError: If they learn different ones.
    """
    labels = {getattr(learner, "label", "") or default_label(dataset) for learner in methods.values()}
    if len(labels) != 1:
        raise ValueError(f"the methods learn different labels ({', '.join(sorted(labels))}); a comparison needs one")
    return labels.pop()


def check_calibration(split: Split, settings: StressTest) -> None:
    """Refuses a split whose calibration set is too small, before anything is trained.

    Raises:
      ValueError: If intervals at the level or a flag of the share cannot be calibrated.
    """
    trust, n = settings.trust, len(split.calibration)
    needed = max(n_domain_needed(trust.level), math.ceil(1 / trust.share - 1e-9) - 1)
    if n < needed:
        raise ValueError(
            f"{split.shift} with {split.domain!r} held out leaves {n} calibration crystals; {trust.level:.0%} intervals and a flag "
            f"of {trust.share:.0%} need {needed}. Raise sizes.calibration"
        )


def default_workers(n_job: int) -> int:
    """Threads that pay: one per core on a CPU, one on an accelerator."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(n_job, cores if jax.default_backend() == "cpu" else 1))


class _Run:
    """Workers, shared cases, and a way to stop them."""

    def __init__(self, settings: StressTest, run_dir: Path | None, key: jax.Array, tell: Reporter) -> None:
        self.settings, self.run_dir, self.key, self.tell = settings, run_dir, key, tell
        self.stop = threading.Event()
        self.cases: dict[int, Case | ValueError] = {}
        self.locks: dict[int, threading.Lock] = {}

    def all(self, jobs: list[Job], workers: int) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
        """Runs jobs, the longest first; returns rows by job name and what failed."""
        rows: dict[str, dict[str, Any]] = {}
        missing: list[tuple[str, str]] = []
        self.locks = {job.case: threading.Lock() for job in jobs}
        pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="stress-test")
        waiting: dict[Future[dict[str, Any]], Job] = {pool.submit(self.one, job): job for job in _spread(jobs, workers)}
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
        certificate = {k: v for k, v in dataclasses.asdict(case.certificate).items() if k not in row}
        taught = job.split.train.metadata
        row |= certificate | {
            "baseline": type(self.settings.baseline).__name__,
            "second_baseline": type(self.settings.second_baseline).__name__,
            "information": "L1" if getattr(job.learner, "use_target", False) else "L0",
            "selection": "train-domain validation",
            "label": case.label,
            "unit": "eV/atom" if case.label == "energy" else taught.units.get(case.label, "unknown"),
        }
        if self.run_dir is not None:
            row["predictions"] = f"predictions/{job.name}.npz"
            save_row(self.run_dir, job, row, arrays)
        return row

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


def _jobs(splits: list[Split], methods: Mapping[str, Learner], label: str, settings: StressTest) -> list[Job]:
    """All jobs, in the order of the report.

    Raises:
      ValueError: If two have the same name: two shifts that hold out the same domain under the same name.
    """
    jobs = [
        Job(
            case=i,
            split=split,
            method=name,
            learner=learner,
            seed=seed,
            label=label,
            matched=place < settings.matched and split.shift != "random",
            leave_domain_out=place < settings.leave_domain_out,
            column=_dealt_column(split, learner),
        )
        for i, split in enumerate(splits)
        for place, (name, learner) in enumerate(methods.items())
        for seed in range(settings.seeds)
    ]
    names = [job.name for job in jobs]
    if len(set(names)) < len(names):
        twice = next(job for job in jobs if names.count(job.name) > 1)
        raise ValueError(f"shift {twice.split.shift!r} with {twice.split.domain!r} held out occurs twice; name every shift once")
    return jobs


def _dealt_column(split: Split, learner: Learner) -> str:
    """Domains of the kind that was held out; the learner's own where the shift names none."""
    if split.shift == "leave_element_out":
        return "elements"
    if split.shift.startswith("leave_out("):
        return split.shift.removeprefix("leave_out(").removesuffix(")")
    return getattr(learner, "domain", "") or suggest_domain(split.train)


def _spread(jobs: list[Job], workers: int) -> list[Job]:
    """Longest first; among the first, different methods, so that workers do not compile the same program twice."""
    order = sorted(jobs, key=lambda job: -job.n_fit)
    first: list[Job] = []
    for job in order:
        if len(first) < workers and job.method not in {f.method for f in first}:
            first.append(job)
    return first + [job for job in order if job not in first]
