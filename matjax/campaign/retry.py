"""Measuring again what failed: the results are set aside, the oracle calls that they cost stay spent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from matjax.campaign.oracle import FAILURES, failure_class
from matjax.campaign.records import Record, read_records
from matjax.campaign.store import edit_store

AGAIN = ("transient", "numerical")
"""Classes of failure that another attempt may mend without anything else being changed."""


def retry(run_dir: str | Path, failures: Sequence[str] = AGAIN, candidate: str | None = None) -> list[Record]:
    """Has candidates that failed measured again when the campaign goes on.

    What they were charged stays charged, and so will the new measurement be: the budget may be overspent by it. Rounds that
    were picked since stand as they are.

    Args:
      run_dir: Folder of the campaign; nobody may be working on it.
      failures: Classes of failure, of `FAILURES`.
      candidate: Key (or its beginning) or formula of a single one, whatever its class.

    Returns:
      The records of these candidates as they were.

    Raises:
      ValueError: If a class is not known, the candidate is not there or did not fail, or the campaign is being worked on.
    """
    if unknown := [name for name in failures if name not in FAILURES]:
        raise ValueError(f"class of failure {', '.join(unknown)} is not known; known: {', '.join(FAILURES)}")
    with edit_store(Path(run_dir)) as store:
        records = read_records(store.connection)
        found = [r for r in records if r.results and not r.converged]
        if candidate is None:
            found = [r for r in found if failure_class(r.measured.worst) in failures]
        else:
            found = [_failed(find(records, candidate))]
        if found:
            store.forget_learned()
            store.retry([record.candidate.key for record in found])
    return found


def find(records: Sequence[Record], name: str) -> Record:
    """The candidate of a key, the beginning of one, or a formula.

    Raises:
      ValueError: If there is none, or more than one.
    """
    found = [r for r in records if name == r.candidate.key or _short(name) == _short(r.candidate.formula)] or [
        r for r in records if len(name) >= 4 and r.candidate.key.startswith(name)
    ]
    if len(found) != 1:
        several = ", ".join(f"{r.candidate.key} ({r.candidate.formula})" for r in found[:5])
        raise ValueError(
            f"{len(found)} candidates are called {name!r}{f': {several}' if found else ''}; "
            "give a key, at least four digits of it, or a formula as the candidates' table shows it"
        )
    return found[0]


def _short(formula: str) -> str:
    """A formula as one word, without the 100 of elements that are alone on their orbit."""
    return re.sub(r"(?<=[a-zA-Z])100(?=$|[-_])", "", formula.strip().replace(" | ", "-").replace(" ", "_"))


def _failed(record: Record) -> Record:
    if not record.results:
        raise ValueError(f"{record.candidate.formula} is yet to be measured; resume the campaign")
    if record.converged:
        raise ValueError(f"{record.candidate.formula} did not fail; what was measured once is not measured again")
    return record
