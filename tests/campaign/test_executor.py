"""Oracles that raise, hang, die or return nonsense: every task comes back once, with results."""

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from matjax.campaign.executor import Inline, Processes, Task
from matjax.types import Candidate, Result
from tests.campaign.tiny import ELEMENTS, Remembered, Tiny, Unruly


@pytest.fixture(scope="module")
def memory(tmp_path_factory) -> str:
    """A folder where all elements are measured already."""
    folder = str(tmp_path_factory.mktemp("memory"))
    Remembered(folder).measure([c for task in tasks() for c in task.crystals], elastic=True, frames=True)
    return folder


def tasks(*symbols: str) -> list[Task]:
    return [Task(symbol, tuple(Tiny().cells(Candidate("fcc", (((symbol, 4),),))))) for symbol in symbols or ELEMENTS]


def errors(outcomes) -> dict[str, str]:
    found = {}
    for task, results in outcomes:
        assert task.key not in found and len(results) == len(task.crystals)
        assert all(isinstance(result, Result) for result in results)
        found[task.key] = next((result.error for result in results if result.error), "")
    return found


@dataclasses.dataclass(frozen=True)
class Counting:
    """Says how many crystals it was asked for at once."""

    inside: Remembered
    calls: ClassVar[list[int]] = []

    def measure(self, crystals, *, elastic=False, frames=False):
        self.calls.append(len(crystals))
        return self.inside.measure(crystals, elastic=elastic, frames=frames)


@pytest.mark.parametrize(("n_candidate", "calls"), [(64, [8]), (3, [6, 2])])
def test_inline_asks_for_many_at_once(memory, n_candidate, calls):
    Counting.calls.clear()
    with Inline(n_candidate).start() as pool:
        assert errors(pool.run(Counting(Remembered(memory)), tasks())) == dict.fromkeys(ELEMENTS, "")
    assert Counting.calls == calls


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise", "programming: RuntimeError: no such keyword"),
        ("unspeakable", "programming: Unspeakable: from somewhere"),
        ("memory", "transient: MemoryError: no room"),
        ("few", "programming: TypeError: the oracle returned 1 results for 2 crystals"),
        ("dict", "programming: TypeError: the oracle returned a dict for 2 crystals"),
    ],
)
def test_inline_finds_whose_fault_it_is(memory, how, said):
    with Inline().start() as pool:
        found = errors(pool.run(Unruly(memory, memory, (("Cu", how, 100),)), tasks()))
    assert found.pop("Cu").startswith(said)
    assert set(found.values()) == {""}


@pytest.mark.parametrize("executor", [Inline(1), Processes(1)])
def test_tasks_are_taken_one_by_one_so_that_the_rest_can_be_called_off(memory, executor):
    taken: list[str] = []

    def some() -> Iterator[Task]:
        for task in tasks():
            taken.append(task.key)
            yield task
            if len(taken) == 2:
                return

    with executor.start() as pool:
        assert list(errors(pool.run(Remembered(memory), some()))) == list(ELEMENTS[:2]) == taken


def test_settings_are_checked():
    for make in (lambda: Inline(0), lambda: Processes(0), lambda: Processes(1, 0.0), lambda: Processes(1, float("nan"))):
        with pytest.raises(ValueError, match="positive|at least 1"):
            make()


@pytest.mark.slow
def test_workers_that_die_or_hang_are_replaced_and_only_their_own_task_fails(memory):
    oracle = Unruly(memory, memory, (("Ag", "die", 1), ("Au", "hang", 1), ("Ni", "unspeakable", 1)))
    with Processes(2, time_limit=6.0).start() as pool:
        found = errors(pool.run(oracle, tasks()))
        assert found["Ag"].startswith("transient: the oracle's process died")
        assert found["Au"] == "numerical: no answer within 6 s; the process was killed"
        assert found["Ni"] == "programming: Unspeakable: from somewhere"
        assert found["Cu"] == ""
        assert errors(pool.run(oracle, tasks())) == dict.fromkeys(ELEMENTS, "")  # the same pool goes on


@pytest.mark.slow
def test_what_cannot_travel_is_a_failure(memory):
    @dataclasses.dataclass(frozen=True)
    class Local:
        def measure(self, crystals, *, elastic=False, frames=False):
            return []

    with Processes(1).start() as pool:
        (error,) = errors(pool.run(Local(), tasks("Ag"))).values()
        assert error.startswith("programming: ") and "pickle" in error
        (error,) = errors(pool.run(Unruly(memory, memory, (("Ag", "lambda", 1),)), tasks("Ag"))).values()
        assert error.startswith("programming: a result cannot be stored: TypeError")
        assert errors(pool.run(Remembered(memory), tasks("Ag"))) == {"Ag": ""}


@pytest.mark.slow
def test_workers_end_when_their_coordinator_is_killed(memory):
    code = f"""
import os, signal, threading, time
from matjax.campaign.executor import Processes
from tests.campaign.test_executor import tasks
from tests.campaign.tiny import Unruly
if __name__ == "__main__":
    with Processes(1).start() as pool:
        def kill():
            print(pool.workers[0].process.result(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Timer(1.0, kill).start()
        list(pool.run(Unruly({memory!r}, {memory!r}, (("Ag", "hang", 100),)), tasks("Ag")))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    worker = int(run.stdout)
    for _ in range(200):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"worker {worker} lives on")
