"""What a campaign's file says: candidates in the order in which they were picked, with all that is known of each."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from matjax.campaign.codec import decode
from matjax.campaign.oracle import failure_class
from matjax.campaign.problem import Measured, worst
from matjax.campaign.store import IMPORTED, KNOWN, digest
from matjax.types import Candidate, Result


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """A candidate with what was predicted, measured and concluded.

    Attributes:
      candidate: What was picked.
      round: In which round, from 0; KNOWN for the known set; of what was imported, the last one before.
      slot: Place in its round.
      why: Why it was picked.
      predicted: What was predicted before it was measured (see `prediction.predicted`); empty without a model.
      truth: What it is worth by the oracle's landscape; None where it failed or its round is not over.
      results: One per crystal; empty while it is being measured.
      n_retried: Oracle calls spent on it before, whose results were set aside to measure it again.
    """

    candidate: Candidate
    round: int
    slot: int
    why: str
    predicted: Mapping[str, Any]
    truth: Mapping[str, Any] | None
    results: tuple[Result, ...]
    n_retried: int = 0

    @property
    def measured(self) -> Measured:
        """The measurement; only where there are results."""
        return Measured(self.candidate, self.results)

    @property
    def status(self) -> str:
        """Status of the worst crystal, or "pending"."""
        return self.measured.worst.status if self.results else "pending"

    @property
    def error(self) -> str:
        """What went wrong, "class: message"; empty for nothing."""
        return self.measured.worst.error if self.results else ""

    @property
    def converged(self) -> bool:
        """Whether it may be learned from."""
        return bool(self.results) and self.measured.converged

    @property
    def imported(self) -> bool:
        """Whether it was measured elsewhere."""
        return self.why == IMPORTED

    @property
    def picked(self) -> bool:
        """Whether a round picked it: it is neither of the known set nor imported."""
        return self.round != KNOWN and not self.imported

    @property
    def charged(self) -> bool:
        """Whether it counts as an oracle call: it was picked, and there is an answer that is not the machine's fault."""
        return self.picked and bool(self.results) and failure_class(self.measured.worst) != "transient"


def read_records(connection: sqlite3.Connection) -> list[Record]:
    """Every candidate of the campaign, by round and slot.

    Raises:
      ValueError: If a result is not the one that was written.
    """
    results: dict[str, list[Result]] = {}
    for key, cell, payload, kept in connection.execute("SELECT candidate, cell, payload, digest FROM result ORDER BY candidate, cell"):
        if digest(payload) != kept:
            raise ValueError(f"the result of crystal {cell} of candidate {key} is damaged in the campaign's file; restore it from a copy")
        results.setdefault(key, []).append(decode(payload))
    before = _charged_before(connection)
    columns = "key, prototype, occupancy, round, slot, why, predicted, truth"
    return [
        Record(
            Candidate(prototype, json.loads(occupancy)),
            round,
            slot,
            why,
            json.loads(predicted),
            None if truth is None else json.loads(truth),
            tuple(results.get(key, ())),
            before[key] if round != KNOWN else 0,
        )
        for key, prototype, occupancy, round, slot, why, predicted, truth in connection.execute(
            f"SELECT {columns} FROM candidate ORDER BY round, slot"
        )
    ]


def _charged_before(connection: sqlite3.Connection) -> Counter[str]:
    """{candidate key: oracle calls whose results were set aside}."""
    attempts: dict[tuple[str, int], list[Result]] = {}
    for key, n, status, error in connection.execute("SELECT candidate, n, status, error FROM retried"):
        attempts.setdefault((key, n), []).append(Result(status, error=error))
    return Counter(key for (key, _), results in attempts.items() if failure_class(worst(results)) != "transient")


def read_rounds(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """{round, is_open, and the facts of its opening and closing} of each round that was opened, KNOWN first."""
    return [
        {"round": i, "is_open": closed is None, **json.loads(opened), **json.loads(closed or "{}")}
        for i, opened, closed in connection.execute("SELECT i, opened, closed FROM round ORDER BY i")
    ]


def n_charged(records: Iterable[Record]) -> int:
    """Oracle calls spent."""
    return sum(record.charged + record.n_retried for record in records)


def learnable(records: Iterable[Record]) -> dict[str, Measured]:
    """{candidate key: measurement} of what converged."""
    return {record.candidate.key: record.measured for record in records if record.converged}


def history(records: Iterable[Record]) -> tuple[tuple[Candidate, float], ...]:
    """Every candidate with its true utility, NaN where it has none: what a proposer may know."""
    return tuple((record.candidate, float((record.truth or {}).get("utility", "nan"))) for record in records)


def reference_energies(records: Iterable[Record]) -> dict[str, float]:
    """{symbol: lowest energy of an element, eV/atom} of the elements that were measured pure and converged."""
    energies: dict[str, float] = {}
    for record in records:
        if record.converged and len(elements := record.candidate.elements) == 1:
            lowest = min(result.labels["energy_per_atom"] for result in record.results)
            energies[elements[0]] = min(lowest, energies.get(elements[0], lowest))
    return energies
