"""PBE labels in, another level of theory or a measurement out, with 10, 100 and 1,000 labels of it: what transfers?

Band gaps from PBE to HSE, formation enthalpies from PBE to experiment; chemical systems of the tests are held out. Every method of
`_methods.py` on every draw of `config.toml`. A draw that is in the run folder is not computed again; `--budget` stops between draws
and `result.json` names those that are missing.

    python experiments/robustness/concept_shift/run.py
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from _methods import Said, audit, predictions
from _pages import write_pages
from _summary import markdown, result
from _tasks import UNION, Task, load
from _thermal import thermal_task

from matjax.keys import child

HERE = Path(__file__).resolve().parent
RUNS = HERE.parents[2] / "runs" / "robustness-concept-shift"
SMOKE: dict[str, Any] = {"tasks": ["gap", "structures_0K"], "draws": 1, "labels": [12], "bootstrap": 100, "folds": 2}
SMOKE_CRYSTALS = 300
THERMAL = {"structures_298K": False, "structures_0K": True}
"""Measured compounds with a structure, as measured and with the thermodynamic term taken off; the same draws of them."""


def main() -> None:
    """Reads the command line, computes what is missing and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RUNS, help="run folder with the predictions of every draw (default: runs/...)")
    parser.add_argument("--budget", type=float, default=float("inf"), metavar="MINUTES", help="start no further draw after so many minutes")
    parser.add_argument("--quick", action="store_true", help="one draw of each task, some minutes; result.json goes into the run folder")
    parser.add_argument(
        "--smoke", action="store_true", help="does it run and write a valid result? Few crystals, in a folder that is deleted"
    )
    parser.add_argument(
        "--tables", action="store_true", help="write the tables of result.json into README.md and docs/transfer.md, and stop"
    )
    given = parser.parse_args()
    if given.tables:
        write_pages(json.loads((HERE / "result.json").read_text(encoding="utf-8")))
        return
    settings = tomllib.loads((HERE / "config.toml").read_text(encoding="utf-8"))
    if not UNION.exists():
        print(f"skipped: {UNION} is not there; this experiment reads shared data")
        return
    if given.smoke:
        with tempfile.TemporaryDirectory() as folder:
            settings |= SMOKE | {
                "source": settings["source"] | {"steps": 50, "width": 16},
                "target": settings["target"] | {"checkpoints": [0, 5], "batch": 16},
            }
            compute(settings, Path(folder), given.budget, first=SMOKE_CRYSTALS)
            check(write(settings, Path(folder), Path(folder) / "result.json"))
        return
    settings = settings | ({"draws": 1} if given.quick else {})
    given.out.mkdir(parents=True, exist_ok=True)
    compute(settings, given.out, given.budget)
    path = write(settings, given.out, given.out / "result.json" if given.quick else HERE / "result.json")
    check(path)
    if not given.quick:
        write_pages(json.loads(path.read_text(encoding="utf-8")))
    print(markdown(json.loads(path.read_text(encoding="utf-8"))), f"\n\nresult: {path}")


def compute(settings: dict[str, Any], out: Path, budget: float, first: int | None = None) -> None:
    """Adds the draws that are missing, one file each."""
    begun, todo = time.perf_counter(), [(name, d) for name, d in blocks(settings) if not (out / f"{name}-{d}.npz").exists()]
    tasks: dict[str, Task] = {}
    for i, (name, number) in enumerate(todo):
        minutes = (time.perf_counter() - begun) / 60
        if minutes > budget:
            print(f"stopped after {minutes:.0f} min, {len(todo) - i} draws missing", file=sys.stderr, flush=True)
            return
        if name not in tasks:
            tasks[name] = task_of(name, first)
        task = tasks[name]
        used, key = time.process_time(), child(jax.random.key(0), name.split("_")[0], number)
        draw, said = predictions(task, settings, key, networks=name not in THERMAL)
        shared = {f"{s.source}|{s.k}": audit(task, draw, s.source, s.k) for s in said}
        save(out / f"{name}-{number}.npz", task, draw.test, said, shared)
        left = (time.perf_counter() - begun) / (i + 1) * (len(todo) - i - 1) / 60
        print(f"{name} draw {number}: {time.process_time() - used:.0f} CPU s, about {left:.0f} min left", file=sys.stderr, flush=True)


def task_of(name: str, first: int | None) -> Task:
    """The task of this name."""
    return thermal_task(load("enthalpy", first), subtract=THERMAL[name]) if name in THERMAL else load(name, first)


def blocks(settings: dict[str, Any]) -> list[tuple[str, int]]:
    """(task, draw), all that there is to compute."""
    return [(name, draw) for draw in range(settings["draws"]) for name in settings["tasks"]]


def save(path: Path, task: Task, test: np.ndarray, said: list[Said], shared: dict[str, dict[str, float]]) -> None:
    """Predictions of a draw, whole or not at all."""
    names = [[s.method, s.model, s.source, s.k] for s in said]
    width = np.stack([np.full(len(test), np.nan) if s.half_width is None else s.half_width for s in said])
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(
        partial,
        names=json.dumps(names),
        audit=json.dumps(shared),
        row=test,
        system=task.target.system[test],
        target=task.target.value[test],
        value=np.stack([s.value for s in said]),
        half_width=width,
    )
    partial.replace(path)


def write(settings: dict[str, Any], out: Path, path: Path) -> Path:
    """Rows and summary of what is there, and what is not."""
    found = {(name, d): out / f"{name}-{d}.npz" for name, d in blocks(settings)}
    there = {block: dict(np.load(file)) for block, file in found.items() if file.exists()}
    missing = [f"{name} draw {d}" for (name, d), file in found.items() if not file.exists()]
    path.write_text(json.dumps(result(settings, there, missing), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def check(path: Path) -> None:
    """Refuses a result that is not whole.

    Raises:
      ValueError: If a number is out of its range.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    bad = [row for row in found["rows"] if not row["mae"] > 0 or not (row["coverage"] is None or 0 <= row["coverage"] <= 1)]
    if bad or not found["summary"] or not all(line["low"] <= line["mae"] <= line["high"] for line in found["summary"]):
        raise ValueError(f"{path}: not a valid result: {bad[:1]}")
    print(f"valid: {len(found['rows'])} rows, {len(found['summary'])} lines, missing: {found['missing'] or 'none'}")


if __name__ == "__main__":
    main()
