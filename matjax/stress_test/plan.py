"""The plan of a stress test: splits, what must hold of them before anything is trained, and the jobs."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from matjax.data.label_units import check_label_units
from matjax.data.shifts import Shift
from matjax.data.suggest import suggest_domain
from matjax.keys import child
from matjax.stress_test.job import Job, Learner, StressTest
from matjax.stress_test.lockbox import Lockbox, crystals_key, left_sealed, read_lockbox
from matjax.stress_test.search import Candidates
from matjax.training.supervision import default_label, target_per_atom
from matjax.types import Dataset, Split
from matjax.uncertainty.conformal import n_domain_needed

FEWEST = {"train": 20, "test_inside": 1, "test_outside": 10}
"""Crystals that a part must have: what the certificate of a split needs."""


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What a stress test will run.

    Attributes:
      splits: One per domain that is held out.
      sealed: {shift: domains that the lockbox keeps}; empty without one.
      lockbox: The lockbox, or None.
    """

    splits: tuple[Split, ...]
    sealed: Mapping[str, int]
    lockbox: Lockbox | None


def make_plan(dataset: Dataset, shifts: Iterable[Shift], label: str, settings: StressTest, open_lockbox: str, key: jax.Array) -> Plan:
    """All splits, checked, less those that are sealed.

    Raises:
      ValueError: If a split cannot be measured, a sealed domain is asked for by name, or a domain of one of the data's own columns seems
        to have its labels in another unit.
    """
    shifts, k_splits = list(shifts), child(key, "splits")
    for column in sorted({c for shift in shifts if (c := getattr(shift, "column", "")) in dataset.domains}):
        if label != "energy":  # totals differ by the size of the cell
            check_label_units(dataset, label, column)
    splits = [split for shift in shifts for split in shift(dataset, k_splits)]
    if not splits:
        raise ValueError("no shift yields a split; name at least one, such as Random()")
    for split in splits:
        check_split(split, label, settings)
    if not settings.lockbox:
        if open_lockbox:
            raise ValueError("there is no lockbox to open; test.lockbox names its file")
        return Plan(tuple(splits), {}, None)
    box = read_lockbox(settings.lockbox, data=crystals_key(dataset), share=float(settings.sealed))
    box = box.with_families(_families(shifts, dataset, k_splits))
    n = sum(box.sealed(split.shift, split.domain) for split in splits)
    if open_lockbox:
        return Plan(tuple(splits), {}, box.opened(open_lockbox, n))
    free, sealed = left_sealed(box, splits)
    return Plan(tuple(free), sealed, box)


def _families(shifts: Sequence[Shift], dataset: Dataset, key: jax.Array) -> dict[str, list[str]]:
    """{shift: all of its domains}, also where only some are asked for: what is sealed must not depend on what is asked."""
    families: dict[str, list[str]] = {}
    for shift in shifts:
        whole: Any = shift
        for name in ("only", "elements"):
            if getattr(whole, name, None) is not None:
                whole = dataclasses.replace(whole, **{name: None})
        for split in whole(dataset, key):
            if split.shift != "random":
                families.setdefault(split.shift, []).append(split.domain)
    return families


def check_split(split: Split, label: str, settings: StressTest) -> None:
    """Refuses a split that cannot be measured, before anything is trained.

    Raises:
      ValueError: If a part is empty or too small for the certificate, the intervals at their level or the flag, or the
        training labels are one value.
    """
    where = f"{split.shift} with {split.domain!r} held out"
    trust, parts = settings.trust, {"train": split.train, "test_inside": split.test_inside, "test_outside": split.test_outside}
    small = {name: len(part) for name, part in parts.items() if len(part) < FEWEST[name]}
    if small:
        name = next(iter(small))
        raise ValueError(
            f"{where} leaves {small[name]} crystals in {name}; at least {FEWEST[name]} are needed. Hold out larger domains (min_size), "
            "or change sizes"
        )
    needed = max(n_domain_needed(trust.level), math.ceil(1 / trust.share - 1e-9) - 1)
    if (n := len(split.calibration)) < needed:
        raise ValueError(
            f"{where} leaves {n} calibration crystals; {trust.level:.0%} intervals and a flag "
            f"of {trust.share:.0%} need {needed}. Raise sizes.calibration"
        )
    taught = target_per_atom(split.train, label)
    if not np.ptp(taught) > 0:
        raise ValueError(f"{where}: all {len(taught)} training labels {label!r} are {taught[0]:g}; there is nothing to learn")


def labelled(dataset: Dataset, label: str) -> Dataset:
    """The crystals whose label is known: only they can be trained on or tested.

    Raises:
      ValueError: If there is none.
    """
    known = np.isfinite(target_per_atom(dataset, label))
    if not known.any():
        raise ValueError(f"label {label!r} is absent (NaN) on all {len(dataset)} crystals")
    return dataset if known.all() else dataset.select(known)


def common_label(methods: Mapping[str, Learner | Candidates], dataset: Dataset) -> str:
    """The label that all methods learn.

    Raises:
      ValueError: If they learn different ones.
    """
    labels = {getattr(plain(learner), "label", "") or default_label(dataset) for learner in methods.values()}
    if len(labels) != 1:
        raise ValueError(f"the methods learn different labels ({', '.join(sorted(labels))}); a comparison needs one")
    return labels.pop()


def plain(learner: Any) -> Any:
    """The learner of a method, whether or not its settings are searched."""
    return learner.learner if isinstance(learner, Candidates) else learner


def make_jobs(splits: Sequence[Split], methods: Mapping[str, Learner | Candidates], label: str, settings: StressTest) -> list[Job]:
    """All jobs, in the order of the report.

    Raises:
      ValueError: If two have the same name: two shifts that hold out the same domain under the same name.
    """
    first = plain(next(iter(methods.values())))
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
            column=dealt_column(split, first),
            few_labels=tuple(settings.few_labels) if place == 0 and split.shift != "random" else (),
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


def dealt_column(split: Split, learner: Learner) -> str:
    """Domains of the kind that was held out; the learner's own where the shift names none."""
    if split.shift == "leave_element_out":
        return "elements"
    if split.shift.startswith("leave_cluster_out"):
        return "cluster"
    if found := re.fullmatch(r"leave_out\((.+)\)", split.shift):
        return found[1]
    return getattr(learner, "domain", "") or suggest_domain(split.train)


def spread(jobs: Sequence[Job], workers: int) -> list[Job]:
    """Longest first; among the first, different methods, so that workers do not compile the same program twice."""
    order = sorted(jobs, key=lambda job: -job.n_fit)
    first: list[Job] = []
    for job in order:
        if len(first) < workers and job.method not in {f.method for f in first}:
            first.append(job)
    return first + [job for job in order if job not in first]
