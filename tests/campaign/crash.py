"""Campaigns in processes that are killed: forked from one that has imported everything and started nothing.

`python -m tests.campaign.crash FOLDER PLAN.json` runs every sequence of kills of the plan, two at a time. A kill is "at line n":
the n-th line that the process executes of the code that acts (what only reads is left out), whichever it is; or "after s
seconds"; None lets it finish.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import jax

import matjax.campaign
from matjax.campaign import Inline, discover
from matjax.value.acquisition import Thompson
from matjax.value.proposers import Genetic
from tests.campaign.tiny import Tiny, Unruly

CODE = {str(Path(matjax.campaign.__file__).parent / f"{name}.py") for name in ("executor", "export", "lock", "loop", "measure", "store")}
BUDGET, BATCH = 8, 3


def campaign(folder: Path, name: str) -> None:
    """Runs or resumes the campaign of a name: a failure of the machine that is repeated, a crystal that transforms, three rounds."""
    state = folder / name
    state.mkdir(exist_ok=True)
    oracle = Unruly(str(folder / "memory"), str(state), (("Ni", "memory", 2), ("Ag Cu", "transform", 1000)))
    proposer = Genetic(population=16, n_generation=2)
    limits = {"budget": BUDGET, "batch": BATCH, "pool": 12}
    discover(Tiny(), oracle, proposer, Thompson(), **limits, run_dir=state / "run", key=jax.random.key(7), executor=Inline(1))


def run_and_die(folder: Path, name: str, at_line: int | None) -> None:
    """In a child: the campaign, until the given line of its code; says in `lines` how many there were."""
    n = 0

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal n
        if event == "line":
            n += 1
            if n == at_line:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    sys.settrace(lambda frame, event, argument: local if frame.f_code.co_filename in CODE else None)
    campaign(folder, name)
    sys.settrace(None)
    (folder / name / "lines").write_text(str(n))


def fork(folder: Path, name: str, kill: dict[str, float] | None) -> int:
    """Starts a child; returns its process."""
    if process := os.fork():
        return process
    kill = kill or {}
    try:
        run_and_die(folder, name, int(kill["at_line"]) if "at_line" in kill else None)
        os._exit(0)
    except BaseException as error:
        (folder / name / "error").write_text(repr(error))
        os._exit(1)


def main(folder: Path, plan: dict[str, list[dict[str, float] | None]]) -> None:
    """Runs each sequence of kills to its end; prints {name: [how each process ended]}."""
    waiting, running = list(plan.items()), dict[int, tuple[str, list[Any], float | None]]()
    ended: dict[str, list[int]] = {name: [] for name in plan}
    while waiting or running:
        while waiting and len(running) < 2:
            name, (kill, *rest) = waiting.pop(0)
            seconds = (kill or {}).get("after_seconds")
            running[fork(folder, name, kill)] = name, rest, None if seconds is None else time.monotonic() + seconds
        for process, (name, rest, deadline) in list(running.items()):
            if deadline is not None and time.monotonic() > deadline:
                os.kill(process, signal.SIGKILL)
            found, code = os.waitpid(process, os.WNOHANG)
            if found:
                del running[process]
                ended[name].append(os.waitstatus_to_exitcode(code))
                if rest and ended[name][-1] in (0, -9):
                    waiting.insert(0, (name, rest))
        time.sleep(0.01)
    print(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
