"""Everything that a campaign knows of one candidate: who picked it and why, what was thought of it, what came out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matjax.campaign.oracle import failure_class
from matjax.campaign.records import read_records, read_rounds
from matjax.campaign.retry import find
from matjax.campaign.trace import open_read_only
from matjax.types import Result


def why(run_dir: str | Path, name: str) -> dict[str, Any]:
    """What is known of a candidate; changes nothing, and works while the campaign runs.

    Args:
      run_dir: Folder of the campaign.
      name: Key of the candidate, the beginning of one, or its formula.

    Returns:
      candidate, key, composition; round (-1 for the known set), slot, of (picks of that round), why, proposer, acquisition,
      oracle; model, the facts of the round's model; predicted, before it was measured; attempts, each {attempt, state, error,
      submitted (s since 1970), seconds}; set_aside, {status, error, cost} of earlier measurements; crystals, each {status,
      failure, error, labels, evidence, cost}; charged, the oracle calls that it cost; truth, what it is worth, or None.

    Raises:
      ValueError: If there is no campaign, or not exactly one such candidate.
    """
    with open_read_only(Path(run_dir)) as connection:
        records, meta = read_records(connection), dict(connection.execute("SELECT name, value FROM meta"))
        record = find(records, name)
        key = record.candidate.key
        columns = ("attempt", "state", "error", "submitted", "seconds")
        attempts = connection.execute(f"SELECT {', '.join(columns)} FROM task WHERE candidate = ? ORDER BY attempt", (key,)).fetchall()
        aside = connection.execute("SELECT status, error, cost FROM retried WHERE candidate = ? ORDER BY n, cell", (key,)).fetchall()
        model = next(facts for facts in read_rounds(connection) if facts["round"] == record.round)
    told = ("proposer", "acquisition", "oracle")
    return {
        "candidate": record.candidate.formula,
        "key": key,
        "composition": record.candidate.composition,
        "round": record.round,
        "slot": record.slot,
        "of": sum(r.round == record.round and r.imported == record.imported for r in records),
        "why": record.why,
        **{part: meta.get(part, "") if part == "oracle" or record.picked else "" for part in told},
        "model": {fact: value for fact, value in model.items() if fact not in ("round", "is_open")},
        "predicted": json.loads(json.dumps(record.predicted)),
        "attempts": [dict(zip(columns, row, strict=True)) for row in attempts],
        "set_aside": [dict(zip(("status", "error", "cost"), row, strict=True)) for row in aside],
        "crystals": [_crystal(result) for result in record.results],
        "charged": record.charged + record.n_retried,
        "truth": None if record.truth is None else dict(record.truth),
    }


def _crystal(result: Result) -> dict[str, Any]:
    return {
        "status": result.status,
        "failure": failure_class(result),
        "error": result.error,
        "labels": dict(result.labels),
        "evidence": dict(result.evidence),
        "cost": result.cost,
    }
