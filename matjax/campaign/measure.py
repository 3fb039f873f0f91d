"""From picks to results in the store: submitted with intent, checked, committed as they arrive, repeated where that may help."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matjax.campaign.executor import Pool, Task
from matjax.campaign.oracle import Oracle, check_result, failure_class, gives
from matjax.campaign.problem import Measured
from matjax.campaign.records import Record
from matjax.campaign.store import CampaignStopped, Store
from matjax.types import Result

RETRIES = {"transient": 2, "numerical": 1, "physical": 0, "unlisted": 0}
"""Further attempts of a candidate that failed, by class of failure. What ran out of steps or changed its structure has its answer."""

LAST_ATTEMPT = 8
"""From this attempt on (over all runs of the campaign) a candidate is given up even if no other was measured in the same run."""

Report = Callable[[dict[str, Any]], None]


def measure(
    store: Store,
    oracle: Oracle,
    pool: Pool,
    records: Sequence[Record],
    tasks: Sequence[Task],
    report: Report,
    reference_energies: Mapping[str, float] | None = None,
) -> None:
    """Measures candidates until each has its results in the store.

    Args:
      store: Where attempts and results are written.
      oracle: What measures.
      pool: Where it runs.
      records: The candidates.
      tasks: Their crystals, in the same order.
      report: Told of every candidate that is done, {"kind": "result", ...}.
      reference_energies: {symbol: eV/atom} of the elements by the same oracle, as far as they are measured.

    Raises:
      CampaignStopped: If the oracle itself is at fault, or no candidate could be measured for reasons that pass. What has
        arrived is kept, the rest stays to be measured.
    """
    if tasks and not store.has_results:
        _self_test(store, oracle)
    candidates = {record.candidate.key: record.candidate for record in records}
    tries, n_done, waiting = Counter[str](), 0, list(tasks)
    given_up, faults, awaited = dict[str, tuple[int, tuple[Result, ...]]](), list[str](), list[str]()
    while waiting:
        attempts, again = store.submit([task.key for task in waiting]), []
        for task, results in pool.run(oracle, itertools.takewhile(lambda _: not faults, waiting)):
            found, attempt = checked(oracle, task, results, reference_energies), attempts[task.key]
            worst = Measured(candidates[task.key], found).worst
            failure = failure_class(worst)
            tries[task.key] += 1
            if failure == "programming":
                store.add_failure(task.key, attempt, worst.error)
                faults.append(_at_fault(oracle, candidates[task.key].formula, worst.error))
            elif failure == "waiting":
                store.add_failure(task.key, attempt, worst.error)
                awaited.append(worst.error.partition(": ")[2])
            elif worst.status == "failed" and tries[task.key] <= RETRIES[failure]:
                store.add_failure(task.key, attempt, worst.error)
                again.append(task)
            elif failure == "transient":
                store.add_failure(task.key, attempt, worst.error)
                given_up[task.key] = attempt, found
            else:
                store.add_results(task.key, attempt, found)
                n_done += 1
                told = {"candidate": candidates[task.key].formula, "status": worst.status, "error": worst.error}
                report({"kind": "result", **told, "done": n_done, "of": len(tasks)})
        if faults:
            raise CampaignStopped(faults[0])
        waiting = again
    for key, (attempt, results) in given_up.items():
        if not n_done and not awaited and (attempt < LAST_ATTEMPT or not store.has_results):
            raise CampaignStopped(_unreachable(oracle, given_up))
        store.add_results(key, attempt, results, state="failed")
    if awaited:
        raise CampaignStopped(_waiting(len(awaited), len(tasks), awaited[0]))


def _self_test(store: Store, oracle: Oracle) -> None:
    """Lets an oracle that has a `self_test` prove itself before anything is measured, and writes down what it found."""
    if (test := getattr(oracle, "self_test", None)) is None:
        return
    try:
        found = test()
    except Exception as error:  # whatever an oracle raises, nothing may be measured with it
        raise CampaignStopped(f"the oracle {oracle.name} failed its self-test, so nothing was measured: {error}") from error
    store.event("self_test", **found)


def checked(
    oracle: Oracle, task: Task, results: Sequence[Result], reference_energies: Mapping[str, float] | None = None
) -> tuple[Result, ...]:
    """The results of a task after the checks that every result passes."""
    elastic, frames = ("elastic" in gives(oracle), "frames" in gives(oracle))
    tolerance = getattr(oracle, "max_force", 0.02)
    pairs = zip(task.crystals, results, strict=True)
    return tuple(
        check_result(crystal, result, elastic=elastic, frames=frames, max_force=tolerance, reference_energies=reference_energies)
        for crystal, result in pairs
    )


def _at_fault(oracle: Oracle, formula: str, error: str) -> str:
    return (
        f"the oracle {oracle.name} is at fault, not the candidate {formula}: {error.partition(': ')[2]}. Everything measured so far "
        "is kept and nothing was learned from this: mend the oracle, then resume with the same command"
    )


def _waiting(n: int, of: int, first: str) -> str:
    return (
        f"waiting for measurements: {n} of {of} candidates; {first}. Nothing was charged for them; when they are there, resume with "
        "the same command"
    )


def _unreachable(oracle: Oracle, given_up: dict[str, tuple[int, tuple[Result, ...]]]) -> str:
    error = next(result.error for _, results in given_up.values() for result in results if result.error)
    return (
        f"none of {len(given_up)} candidates could be measured by {oracle.name}, for reasons that may pass ({error.partition(': ')[2]}). "
        "Nothing was charged; resume with the same command when it answers again"
    )
