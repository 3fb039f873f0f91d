"""What a campaign did, as rows of plain numbers: read from its file, also while it runs and after it was killed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matjax.campaign.lock import holder, lock
from matjax.campaign.problem import Measured
from matjax.campaign.records import Record, learnable, n_charged, read_records, read_rounds
from matjax.campaign.store import FILE, KNOWN

TRUE = ("stability", "gibbs_mixing", "pugh_ratio", "born", "bulk_modulus", "shear_modulus", "price", "density", "utility")
"""Columns of a row that the oracle settles, in the units of `value.properties.UNITS`; the utility is in (0, 1]."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """A campaign from its first oracle call to its last.

    Attributes:
      rows: One per pick, by round and slot: what was predicted, why it was picked, what came out (see `row`).
      rounds: Facts of each round; the known set is round -1.
      meta: What the campaign is: settings, oracle, oracle_note, budget, version, ...
      reason: Why it ended; empty while it goes on.
    """

    rows: tuple[dict[str, Any], ...]
    rounds: tuple[dict[str, Any], ...]
    meta: dict[str, str]
    reason: str

    @property
    def best(self) -> list[dict[str, Any]]:
        """The rows that have a true utility, highest first."""
        return sorted((r for r in self.rows if r["utility"] is not None), key=lambda r: (-r["utility"], r["call"]))

    @property
    def utility(self) -> list[float | None]:
        """True utility per oracle call, None where a call failed."""
        calls = lambda r: [None] * r["retried"] + ([] if r["call"] is None else [r["utility"]])
        return [utility for r in self.rows for utility in calls(r)]


def row(record: Record, call: int | None) -> dict[str, Any]:
    """A line of `trace.jsonl`; what is missing is None.

    Args:
      record: The pick.
      call: Which oracle call it was, from 1; None where it was not charged.
    """
    said, truth = record.predicted, record.truth or {}
    worst = record.measured.worst if record.results else None
    told = lambda name, part: _number(said.get(name, {}).get(part))
    return {
        "call": call,
        "round": record.round,
        "slot": record.slot,
        "candidate": record.candidate.formula,
        "key": record.candidate.key,
        "retried": record.n_retried,
        "prototype": record.candidate.prototype,
        "composition": record.candidate.composition,
        "why": record.why,
        "predicted_reward": _number(said.get("reward")),
        **{
            f"predicted_{short}_{part}": told(name, part)
            for short, name in (("utility", "utility"), ("stability", "stability"), ("pugh", "pugh_ratio"))
            for part in ("mean", "std", "low", "high")
        },
        "novelty": _number(said.get("novelty")),
        "flagged": said.get("notes", {}).get("flagged"),
        "status": record.status,
        **{name: _number(truth.get(name)) for name in TRUE},
        "competitors": truth.get("competitors"),
        "evidence": {name: _number(value) for name, value in worst.evidence.items()} if worst else {},
        "cost": sum(result.cost for result in record.results),
        "error": record.error,
    }


def trace_of(connection: sqlite3.Connection) -> Trace:
    """The trace of an open campaign."""
    rows, n_call = [], 0
    for record in read_records(connection):
        if record.picked:
            n_call += record.charged + record.n_retried
            rows.append(row(record, n_call if record.charged else None))
    last = connection.execute("SELECT kind, facts FROM event ORDER BY id DESC LIMIT 1").fetchone()
    reason = json.loads(last[1])["text"] if last and last[0] == "ended" else ""
    return Trace(tuple(rows), tuple(read_rounds(connection)), dict(connection.execute("SELECT name, value FROM meta")), reason)


def read_trace(run_dir: str | Path) -> Trace:
    """The trace of a campaign's folder.

    Raises:
      ValueError: If there is no campaign, or its file is damaged.
    """
    with open_read_only(Path(run_dir)) as connection:
        return trace_of(connection)


def read_measured(run_dir: str | Path, *, known: bool = False) -> dict[str, Measured]:
    """{candidate key: measurement} of what converged in a campaign.

    Args:
      run_dir: Its folder.
      known: Only the known set, without what was imported.

    Raises:
      ValueError: If there is no campaign, or its file is damaged.
    """
    with open_read_only(Path(run_dir)) as connection:
        return learnable(r for r in read_records(connection) if not known or (r.round == KNOWN and not r.imported))


def status(run_dir: str | Path) -> dict[str, Any]:
    """How a campaign stands; changes nothing, and works while it runs and after it was killed.

    Returns:
      folder; oracle, oracle_note; budget; spent, the oracle calls charged; round, the last one; pending, the picks without
      a result; n_known; n_imported; statuses, {status: number} of the picks; known_failed, (candidate, error) of the known set; best,
      up to five rows of the trace; running, the process at work, or None; last_event, {kind, text}.

    Raises:
      ValueError: If there is no campaign, or its file is damaged.
    """
    run_dir = Path(run_dir)
    running = holder(run_dir)
    with open_read_only(run_dir) as connection:
        records, trace = read_records(connection), trace_of(connection)
        kind, facts = connection.execute("SELECT kind, facts FROM event ORDER BY id DESC LIMIT 1").fetchone()
    known, picked = [r for r in records if r.round == KNOWN and not r.imported], [r for r in records if r.picked]
    return {
        "folder": str(run_dir),
        "oracle": trace.meta["oracle"],
        "oracle_note": trace.meta["oracle_note"],
        "budget": int(trace.meta["budget"]),
        "spent": n_charged(picked),
        "round": trace.rounds[-1]["round"] if trace.rounds else None,
        "pending": sum(r.status == "pending" for r in records),
        "n_known": len(known),
        "n_imported": sum(r.imported for r in records),
        "statuses": dict(Counter(r.status for r in picked)),
        "known_failed": [(r.candidate.formula, r.error or r.status) for r in known if r.results and not r.converged],
        "best": trace.best[:5],
        "running": running,
        "last_event": {"kind": kind, "text": json.loads(facts).get("text", "")},
    }


@contextlib.contextmanager
def open_read_only(run_dir: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write.

    Raises:
      ValueError: If there is no campaign, or its file is damaged.
    """
    path = run_dir / FILE
    if not path.exists():
        raise ValueError(f"{run_dir} holds no campaign ({FILE} is absent)")
    _roll_back(run_dir)
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60.0)
    try:
        connection.execute("BEGIN")  # one state of the file for everything that is read
        yield connection
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path} cannot be read as a campaign ({error})") from error
    finally:
        connection.close()


def _roll_back(run_dir: Path) -> None:
    """Undoes the half of a transaction that a killed coordinator left, as it would itself when resumed."""
    if (run_dir / f"{FILE}-journal").exists() and holder(run_dir) is None:
        with contextlib.suppress(ValueError, sqlite3.Error), lock(run_dir):  # else the coordinator does it, or reading tells
            connection = sqlite3.connect(run_dir / FILE)
            try:
                connection.execute("PRAGMA schema_version").fetchall()
            finally:
                connection.close()


def _number(value: Any) -> float | None:
    """A finite number, else None."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
