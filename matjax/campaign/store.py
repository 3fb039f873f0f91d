"""One SQLite file per campaign, one writer. What will be done is written before it is done, what was measured exactly once.

Every method that writes is one transaction (`journal_mode=DELETE`, `synchronous=FULL`): a process that is killed leaves
either all of it or nothing. Workers never open the file. Nothing is counted that can be derived from rows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matjax import __version__
from matjax.campaign.codec import encode
from matjax.campaign.lock import lock
from matjax.interrupt import interrupt_afterwards
from matjax.types import Candidate, Result

FILE = "campaign.sqlite"
SCHEMA = 2
KNOWN = -1
"""The round of what is measured before the first round."""

IMPORTED = "imported"
"""Why a candidate is there that the campaign neither picked nor measured: its results came from outside."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the operating system says when a file cannot grow."""

TABLES = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE round(i INTEGER PRIMARY KEY, opened TEXT NOT NULL, closed TEXT);
CREATE TABLE candidate(key TEXT PRIMARY KEY, prototype TEXT NOT NULL, occupancy TEXT NOT NULL, round INTEGER NOT NULL REFERENCES round,
  slot INTEGER NOT NULL, why TEXT NOT NULL, predicted TEXT NOT NULL, truth TEXT, UNIQUE(round, slot));
CREATE TABLE task(candidate TEXT NOT NULL REFERENCES candidate, attempt INTEGER NOT NULL, state TEXT NOT NULL, error TEXT NOT NULL,
  submitted REAL NOT NULL, seconds REAL, PRIMARY KEY(candidate, attempt));
CREATE TABLE result(candidate TEXT NOT NULL REFERENCES candidate, cell INTEGER NOT NULL, status TEXT NOT NULL, error TEXT NOT NULL,
  cost REAL NOT NULL, payload BLOB NOT NULL, digest TEXT NOT NULL, PRIMARY KEY(candidate, cell));
CREATE TABLE retried(candidate TEXT NOT NULL REFERENCES candidate, n INTEGER NOT NULL, cell INTEGER NOT NULL, status TEXT NOT NULL,
  error TEXT NOT NULL, cost REAL NOT NULL, payload BLOB NOT NULL, digest TEXT NOT NULL, PRIMARY KEY(candidate, n, cell));
CREATE TABLE event(id INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, facts TEXT NOT NULL);
"""


class CampaignStopped(RuntimeError):
    """A campaign cannot go on for now; all that was measured is kept, and the same command goes on from there."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pick:
    """A candidate that will be measured, with what was thought of it before.

    Attributes:
      candidate: What to measure.
      why: Why it was picked.
      predicted: What was predicted, as plain values that JSON holds; empty without a model.
    """

    candidate: Candidate
    why: str
    predicted: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Store:
    """The campaign's file, open for writing."""

    def __init__(self, connection: sqlite3.Connection, run_dir: Path) -> None:
        """Takes an open connection; use `open_store`."""
        self.connection, self.run_dir = connection, run_dir

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; ctrl-C waits until it is over."""
        with interrupt_afterwards():
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException as error:
                with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                    self.connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise CampaignStopped(_cannot_write(self.run_dir, error)) from error
                raise

    def open_round(self, i: int, picks: Sequence[Pick], facts: Mapping[str, Any]) -> None:
        """Writes down what will be measured and why, before anything is submitted.

        Args:
          i: The round, from 0; KNOWN for the known set.
          picks: In the order of their slots.
          facts: Of the model and the proposals, as plain values.
        """
        with self._transaction() as connection:
            connection.execute("INSERT INTO round VALUES (?, ?, NULL)", (i, to_json(facts)))
            connection.executemany(
                "INSERT INTO candidate VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                [
                    (p.candidate.key, p.candidate.prototype, to_json(p.candidate.occupancy), i, slot, p.why, to_json(p.predicted))
                    for slot, p in enumerate(picks)
                ],
            )

    def submit(self, candidates: Sequence[str]) -> dict[str, int]:
        """Writes down that candidates are about to be measured; returns which attempt it is, by candidate."""
        with self._transaction() as connection:
            count = "SELECT count(*) FROM task WHERE candidate = ?"
            attempts = {key: connection.execute(count, (key,)).fetchone()[0] for key in candidates}
            rows = [(key, attempt, time.time()) for key, attempt in attempts.items()]
            connection.executemany("INSERT INTO task VALUES (?, ?, 'submitted', '', ?, NULL)", rows)
        return attempts

    def add_failure(self, candidate: str, attempt: int, error: str) -> None:
        """An attempt that gave no result; the candidate stays to be measured."""
        with self._transaction() as connection:
            _end(connection, candidate, attempt, "failed", error)

    def add_results(self, candidate: str, attempt: int, results: Sequence[Result], state: str = "done") -> bool:
        """The results of a candidate, once and for all.

        Args:
          candidate: Its key.
          attempt: Which attempt brought them.
          results: One per crystal.
          state: Of the task: "done", or "failed" where the results say that it was given up.

        Returns:
          Whether they were new: results that come a second time are written down as an event and not counted.
        """
        payloads = [encode(result) for result in results]
        with self._transaction() as connection:
            error = next((result.error for result in results if result.error), "")
            _end(connection, candidate, attempt, state, error)
            if connection.execute("SELECT 1 FROM result WHERE candidate = ?", (candidate,)).fetchone():
                _event(connection, "duplicate", {"candidate": candidate, "attempt": attempt})
                return False
            _insert(connection, candidate, results, payloads)
        return True

    def add_imported(self, i: int, outside: Sequence[tuple[Candidate, Sequence[Result], Mapping[str, Any] | None]], source: str) -> None:
        """Candidates with their results that were measured elsewhere, all or none.

        Args:
          i: The last round that was opened: its model never saw them, the next one will.
          outside: (candidate, one result per crystal, what it is worth or None while the round is open).
          source: Where they come from.
        """
        payloads = [[encode(result) for result in results] for _, results, _ in outside]
        with self._transaction() as connection:
            (first,) = connection.execute("SELECT coalesce(max(slot) + 1, 0) FROM candidate WHERE round = ?", (i,)).fetchone()
            for slot, ((c, results, truth), encoded) in enumerate(zip(outside, payloads, strict=True), first):
                told = (c.key, c.prototype, to_json(c.occupancy), i, slot, IMPORTED, "{}", None if truth is None else to_json(truth))
                connection.execute("INSERT INTO candidate VALUES (?, ?, ?, ?, ?, ?, ?, ?)", told)
                _insert(connection, c.key, results, encoded)
            _event(connection, IMPORTED, {"candidates": [c.key for c, _, _ in outside], "source": source})

    def close_round(self, i: int, truth: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
        """Ends a round: what its candidates were worth, and how the predictions did."""
        with self._transaction() as connection:
            rows = [(to_json(values), key, i) for key, values in truth.items()]
            connection.executemany("UPDATE candidate SET truth = ? WHERE key = ? AND round = ?", rows)
            connection.execute("UPDATE round SET closed = ? WHERE i = ?", (to_json(facts), i))

    def retry(self, candidates: Sequence[str]) -> None:
        """Sets results aside, so that their candidates are measured again: they stay in the file and stay charged.

        Args:
          candidates: Keys of candidates that have results; their rounds are open again.
        """
        aside = (
            "INSERT INTO retried SELECT candidate, (SELECT count(DISTINCT n) FROM retried WHERE candidate = ?1), "
            "cell, status, error, cost, payload, digest FROM result WHERE candidate = ?1"
        )
        with self._transaction() as connection:
            for key in candidates:
                connection.execute(aside, (key,))
                connection.execute("DELETE FROM result WHERE candidate = ?", (key,))
                connection.execute("UPDATE round SET closed = NULL WHERE i = (SELECT round FROM candidate WHERE key = ?)", (key,))
            _event(connection, "retry", {"candidates": list(candidates)})

    def forget_learned(self) -> None:
        """Removes what was learned for a round that is not opened yet: it will be learned from other measurements."""
        (last,) = self.connection.execute("SELECT max(i) FROM round").fetchone()
        if last is not None and (folder := self.run_dir / "rounds" / f"{last + 1:03d}").exists():
            shutil.rmtree(folder)

    @property
    def has_results(self) -> bool:
        """Whether anything was ever measured."""
        return self.connection.execute("SELECT 1 FROM result LIMIT 1").fetchone() is not None

    def event(self, kind: str, **facts: Any) -> None:
        """Writes down that something happened."""
        with self._transaction() as connection:
            _event(connection, kind, facts)


def to_json(value: Any) -> str:
    """JSON of plain values; numbers and arrays of NumPy become numbers and lists."""
    return json.dumps(value, default=lambda array: array.tolist())


def digest(payload: bytes) -> str:
    """What is kept beside a payload to know that it is the one that was written."""
    return hashlib.sha256(payload).hexdigest()[:16]


@contextlib.contextmanager
def open_store(run_dir: Path, identity: Mapping[str, str], limits: Mapping[str, str]) -> Iterator[Store]:
    """The store of a folder, new or to be resumed, locked for this process.

    Args:
      run_dir: The folder; made if absent.
      identity: What the campaign is; must be the same whenever it is resumed.
      limits: What may change from one run to the next, such as the budget; the last values are kept.

    Raises:
      ValueError: If another coordinator works on it, or the file is damaged, of another program or version, or holds
        another campaign; the message says which.
      CampaignStopped: If the disk is full.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        with lock(run_dir), contextlib.closing(sqlite3.connect(run_dir / FILE, isolation_level=None, timeout=60.0)) as connection:
            store = Store(connection, run_dir)
            _prepare(store, {"schema": str(SCHEMA), "version": __version__, **identity}, limits)
            yield store
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise CampaignStopped(_cannot_write(run_dir, error)) from error


@contextlib.contextmanager
def edit_store(run_dir: Path) -> Iterator[Store]:
    """The store of a campaign that exists, locked for this process; for what a person changes between two runs.

    Raises:
      ValueError: If there is none, it is of another version, or a coordinator works on it.
    """
    if not (run_dir / FILE).exists():
        raise ValueError(f"{run_dir} holds no campaign ({FILE} is absent)")
    with open_store(run_dir, {}, {}) as store:
        yield store


def _prepare(store: Store, identity: Mapping[str, str], limits: Mapping[str, str]) -> None:
    """Makes or checks the file, and marks attempts whose coordinator is gone."""
    path = store.run_dir / FILE
    try:
        for pragma in ("journal_mode = DELETE", "synchronous = FULL", "foreign_keys = ON"):
            store.connection.execute(f"PRAGMA {pragma}")
        health = store.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        tables = {name for (name,) in store.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError as error:
        raise CampaignStopped(_cannot_write(store.run_dir, error)) from error
    except sqlite3.DatabaseError as error:
        health, tables = str(error), set()
    if health != "ok":
        raise ValueError(f"{path} is damaged or no campaign of matjax ({health}); restore it from a copy, or choose another folder")
    if tables:
        _check(path, store.connection, tables, identity)
    with store._transaction() as connection:
        if not tables:
            for statement in filter(str.strip, TABLES.split(";")):
                connection.execute(statement)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", identity.items())
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", limits.items())
        connection.execute("UPDATE task SET state = 'interrupted' WHERE state = 'submitted'")
        _event(connection, "resumed" if tables else "started", {"process": os.getpid()})


def _check(path: Path, connection: sqlite3.Connection, tables: set[str], identity: Mapping[str, str]) -> None:
    """Refuses a file that holds something else."""
    if not {"meta", "candidate", "result"} <= tables:
        raise ValueError(f"{path} is a database of another program (tables {', '.join(sorted(tables))}); choose another folder")
    found = dict(connection.execute("SELECT name, value FROM meta"))
    for name, wanted in identity.items():
        if found.get(name) != wanted:
            shown = lambda text: (
                "nothing" if text is None else text if len(text) < 100 and "\n" not in text else f"({len(text)} characters)"
            )
            difference = _first_difference(found.get(name) or "", wanted) or f"it has {shown(found.get(name))}, this run {shown(wanted)}"
            raise ValueError(
                f"{path} holds a campaign with another {name}: {difference}. Resume it as it was started, or choose another folder"
            )


def _first_difference(found: str, wanted: str) -> str:
    """Where two texts of several lines differ first, in words; empty for texts of one line."""
    if "\n" not in found.strip() + wanted.strip():
        return ""
    pairs = zip((found + "\n").splitlines(), (wanted + "\n").splitlines(), strict=False)
    return next((f"it has `{a.strip()}` where this run has `{b.strip()}`" for a, b in pairs if a != b), "one has further lines")


def _end(connection: sqlite3.Connection, candidate: str, attempt: int, state: str, error: str) -> None:
    command = "UPDATE task SET state = ?, error = ?, seconds = ? - submitted WHERE candidate = ? AND attempt = ?"
    connection.execute(command, (state, error, time.time(), candidate, attempt))


def _insert(connection: sqlite3.Connection, candidate: str, results: Sequence[Result], payloads: Sequence[bytes]) -> None:
    rows = [
        (candidate, cell, result.status, result.error, result.cost, payload, digest(payload))
        for cell, (result, payload) in enumerate(zip(results, payloads, strict=True))
    ]
    connection.executemany("INSERT INTO result VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def _event(connection: sqlite3.Connection, kind: str, facts: Mapping[str, Any]) -> None:
    connection.execute("INSERT INTO event VALUES (NULL, ?, ?, ?)", (time.time(), kind, to_json(facts)))


def _cannot_write(run_dir: Path, error: Exception) -> str:
    return (
        f"{run_dir / FILE} cannot be written ({error}). Everything measured so far is kept: make room on the disk "
        "(or give the folder back its rights), then resume with the same command"
    )
