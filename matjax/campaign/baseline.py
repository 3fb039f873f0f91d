"""What a proposer finds without a model at the same oracle budget: the curves that a campaign is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from matjax import keys
from matjax.campaign.executor import Executor, Inline, Task
from matjax.campaign.measure import Report, checked
from matjax.campaign.oracle import Oracle
from matjax.campaign.problem import Measured, Problem
from matjax.config import kind_of
from matjax.types import Candidate
from matjax.value.proposers import Context, Proposer


def run_baseline(
    proposer: Proposer,
    problem: Problem,
    oracle: Oracle,
    *,
    budget: int,
    batch: int,
    seeds: int,
    known: Mapping[str, Measured],
    key: jax.Array,
    executor: Executor | None = None,
    report: Report | None = None,
) -> list[dict[str, Any]]:
    """True utilities that a proposer meets, seed by seed, from the same known set and with the same rounds as a campaign.

    All seeds advance together: what they propose in a round is measured in one go, and what several propose only once
    (each is charged for it). Nothing is written.

    Args:
      proposer: Sees utilities of what was measured and no reward.
      problem: What is sought.
      oracle: What measures.
      budget: Oracle calls per seed.
      batch: Calls per round.
      seeds: Independent repetitions.
      known: {candidate key: measurement} that everyone starts with, such as `read_measured(run_dir, known=True)`.
      key: Seed i is its child "seed", i.
      executor: Where the oracle runs; in this process by default.
      report: Told of every round, {"kind": "baseline", ...}.

    Returns:
      Per seed, {"proposer", "seed", "utility": [true utility per oracle call, None where it failed]}; shorter than the budget
      where the space is exhausted.
    """
    history = tuple((m.candidate, float("nan")) for m in known.values())
    runs: list[dict[str, float]] = [{} for _ in range(seeds)]  # utility by candidate key, in the order of the calls
    found = {m.candidate.key: m.candidate for m in known.values()}
    value = dict[str, float]()
    name = kind_of(type(proposer))
    with (executor or Inline()).start() as pool:
        for i in range(-(-budget // batch)):
            asked: list[list[Candidate]] = []
            for seed, run in enumerate(runs):
                past = history + tuple((found[k], utility) for k, utility in run.items())
                context = Context(space=problem.space, history=past, seen=frozenset(known) | frozenset(run))
                n = min(batch, budget - len(run))
                asked.append(proposer.propose(n, context, keys.child(key, "seed", seed, "round", i))[:n])
            new = {c.key: c for group in asked for c in group if c.key not in value}
            found |= new
            value |= _utilities(list(new.values()), problem, oracle, pool, known)
            for run, group in zip(runs, asked, strict=True):
                run |= {c.key: value[c.key] for c in group}
            if report is not None:
                report({"kind": "baseline", "proposer": name, "calls": (i + 1) * batch, "of": budget})
    return [{"proposer": name, "seed": seed, "utility": [u if u == u else None for u in run.values()]} for seed, run in enumerate(runs)]


def _utilities(
    candidates: Sequence[Candidate], problem: Problem, oracle: Oracle, pool: Any, known: Mapping[str, Measured]
) -> dict[str, float]:
    """True utility by candidate key, NaN where the measurement failed."""
    tasks = [Task(candidate.key, tuple(problem.cells(candidate))) for candidate in candidates]
    by_key = {candidate.key: candidate for candidate in candidates}
    measured = {task.key: Measured(by_key[task.key], checked(oracle, task, results)) for task, results in pool.run(oracle, tasks)}
    converged = {key: measured[key] for key in by_key if measured[key].converged}
    truth = problem.truth({**known, **converged}) if converged else {}
    return {key: float(truth[key]["utility"]) if key in converged else float("nan") for key in by_key}
