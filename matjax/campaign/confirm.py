"""Two fidelities: a cheap oracle's campaign screens, a dear oracle confirms the best, in its own landscape."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.stats import spearmanr

from matjax.campaign.executor import Executor
from matjax.campaign.loop import discover
from matjax.campaign.measure import Report
from matjax.campaign.oracle import Oracle
from matjax.campaign.problem import Problem
from matjax.campaign.records import read_records
from matjax.campaign.trace import Trace, open_read_only, read_trace
from matjax.types import Candidate
from matjax.value.proposers import Context


@dataclasses.dataclass(frozen=True)
class Listed:
    """Candidates in a given order, whatever the history says.

    Attributes:
      candidates: What is proposed.
    """

    candidates: tuple[Candidate, ...]

    def propose(self, n: int, context: Context, key: jax.Array) -> list[Candidate]:
        """The next that were not seen [n]."""
        return [c for c in self.candidates if c.key not in context.seen][:n]


@dataclasses.dataclass(frozen=True)
class Confirmation:
    """What a dear oracle says of what a cheap one preferred.

    Attributes:
      rows: Per candidate, in the order of the cheap utility: candidate, key, chosen ("best" or "spread"), and utility, stability and status
        by both ("cheap_", "dear_"); None where the dear oracle has no answer.
      rank_correlation: Spearman's, of the two utilities; NaN below three candidates that both know.
      trace: Of the dear oracle's measurements.
      folder: Where they lie.
    """

    rows: tuple[dict[str, Any], ...]
    rank_correlation: float
    trace: Trace
    folder: Path


def confirm(
    run_dir: str | Path,
    problem: Problem,
    oracle: Oracle,
    *,
    n: int = 5,
    others: int = 5,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    report: Report | None = None,
) -> Confirmation:
    """Has the best candidates of a campaign measured by another oracle, with the known set that its own landscape needs.

    It is a campaign of its own, in a folder below the first one's, so it survives interruption like any other. Beside the best, some
    candidates spread over the rest of the ranking are measured: without them nobody could say whether the cheap ranking holds.

    Args:
      run_dir: Folder of the cheap oracle's campaign.
      problem: What was sought there.
      oracle: The dear one.
      n: Best candidates.
      others: Candidates spread evenly over the rest.
      folder: Of the confirmation; `confirmed/<name of the oracle>` in the campaign's where left out.
      executor: Where the dear oracle runs; in this process by default.
      report: Told what happens, as `discover` tells it.

    Raises:
      ValueError: If the campaign has no candidate with a utility, the oracle is the campaign's own, or it lacks elements.
      CampaignStopped: As `discover`.
    """
    if n < 1 or others < 0:
        raise ValueError(f"n is {n} and others {others}; they must be at least 1 and 0")
    cheap = read_trace(run_dir)
    if cheap.meta["oracle"] == f"{oracle.name} {oracle.version}":
        raise ValueError(f"{run_dir} was measured by {oracle.name} {oracle.version} itself; name another oracle")
    ranked = sorted((row for row in cheap.rows if row["utility"] is not None), key=lambda row: -row["utility"])
    if not ranked:
        raise ValueError(f"{run_dir} has no candidate with a utility yet; let its campaign go on first")
    rows = ranked[:n] + [ranked[i] for i in _spread(n, len(ranked), others)]
    with open_read_only(Path(run_dir)) as connection:
        by_key = {record.candidate.key: record.candidate for record in read_records(connection)}
    chosen = tuple(by_key[row["key"]] for row in rows)
    folder = Path(folder or Path(run_dir) / "confirmed" / re.sub(r"[^\w.-]+", "-", oracle.name))
    settings: dict[str, Any] = {"budget": len(chosen), "batch": len(chosen), "pool": len(chosen), "key": jax.random.key(0)}
    trace = discover(problem, oracle, Listed(chosen), None, run_dir=folder, executor=executor, report=report, **settings)
    dear = {row["key"]: row for row in trace.rows}
    told = tuple(_row(row, dear.get(row["key"], {}), "best" if i < n else "spread") for i, row in enumerate(rows))
    both = np.array([(r["cheap_utility"], r["dear_utility"]) for r in told if r["dear_utility"] is not None]).reshape(-1, 2)
    varies = len(both) > 2 and np.ptp(both, axis=0).all()
    result: Any = spearmanr(both[:, 0], both[:, 1]) if varies else None
    correlation = np.nan if result is None else result.statistic
    return Confirmation(told, float(correlation), trace, folder)


def _spread(first: int, end: int, n: int) -> Sequence[int]:
    """Up to n places from `first` on, evenly to the last."""
    return sorted({int(i) for i in np.linspace(first, end - 1, min(n, max(end - first, 0))).round()}) if n else []


def _row(cheap: dict[str, Any], dear: dict[str, Any], chosen: str) -> dict[str, Any]:
    names = ("utility", "stability", "status")
    both = {f"{which}_{name}": row.get(name) for name in names for which, row in (("cheap", cheap), ("dear", dear))}
    return {"candidate": cheap["candidate"], "key": cheap["key"], "chosen": chosen, **both}
