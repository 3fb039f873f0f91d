"""Do robust risks lose less than plain training when the crystals change? Measured on the crystals that ship.

The stress test of `config.toml`, and from its rows one number per kind of shift and method: the error outside over that of the
first method on the same split, a geometric mean over domains. The domain is what is drawn again for the interval. A run that
was interrupted goes on with the rows that are missing.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import typer

from matjax.cli.session import run_stress_test
from matjax.data import load
from matjax.keys import child
from matjax.override import override
from matjax.stress_test import StressTestConfig
from matjax.stress_test.metrics import bootstrap_ratio
from matjax.toml import from_toml

HERE = Path(__file__).resolve().parent
TITLE = "Robust risks on 3,938 DFT crystals"
QUICK = ("sizes.max_train=300", "learner.n_epoch=6")
SMOKE = (
    'shifts=[{kind="random"}, {kind="leave_out", column="anion", only="nitride", min_size=20}]',
    'methods=[{title="ERM"}, {title="GroupDRO", risk={base={kind="group_dro"}}}]',
    "sizes={max_train=60, validation=20, calibration=30, test_inside=20, target=0.1, max_test=20}",
    'learner={kind="graph_learner", model={kind="equivariant", irreps="8x0e+8x1o", n_layer=1}, members=2, n_epoch=1}',
    "test={matched=0, leave_domain_out=0}",
)
SMOKE_CRYSTALS = 600
COMPARED = ("mae_out", "rmse_out")


def measure(
    settings: StressTestConfig,
    out: Path,
    note: str,
    *,
    first: int | None = None,
    workers: int | None = None,
    minutes: float | None = None,
) -> dict[str, Any]:
    """Runs the stress test, for so many minutes at most, and returns what goes into `result.json`; it names the rows that are missing.

    Raises:
      ValueError: If a row failed, or none was finished.
    """
    dataset = load(settings.data)
    dataset = dataset if first is None else dataset.select(range(first))
    command = " ".join(["python", *sys.argv])
    try:
        with stopped_after(minutes):
            report = run_stress_test(settings, dataset, out, title=TITLE, command=command, budget=note, workers=workers)
        rows, missing = list(report.rows), report.missing
    except (typer.Exit, KeyboardInterrupt):  # the minutes are over, or somebody said so: the rows so far are in the folder
        rows = json.loads((out / "stress_test.json").read_text(encoding="utf-8"))
        missing = [tuple(pair) for pair in json.loads((out / "run.json").read_text(encoding="utf-8"))["missing"]]
    if failed := [f"{name} was not finished: {reason}" for name, reason in missing if reason != "interrupted"]:
        raise ValueError("; ".join(failed))
    if not rows:
        raise ValueError("no row was finished; give it more minutes")
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    kept = {name: run[name] for name in ("command", "budget", "settings", "dataset", "versions", "hardware", "seconds")}
    lines = [line for column in COMPARED for line in summary(rows, column, settings.key())]
    return {**kept, "missing": [name for name, _ in missing], "summary": lines, "rows": rows}


@contextmanager
def stopped_after(minutes: float | None) -> Iterator[None]:
    """Interrupts what runs inside, as Ctrl-C does, when the minutes are over."""

    def over(*_: object) -> None:
        raise KeyboardInterrupt

    if minutes is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def summary(rows: list[dict[str, Any]], column: str, key: jax.Array) -> list[dict[str, Any]]:
    """Per kind of shift and method: ratio to the first method on the same split and seed, over domains."""
    first = rows[0]["method"]
    value = {(r["shift"], r["domain"], r["seed"], r["method"]): r[column] for r in rows}
    ratios: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (shift, domain, seed, method), error in value.items():
        if method != first and (shift, domain, seed, first) in value:
            ratios[shift, method][domain].append(math.log(error / value[shift, domain, seed, first]))
    lines = []
    for (shift, method), domains in ratios.items():
        over_seeds = [sum(logs) / len(logs) for logs in domains.values()]
        ratio, low, high = bootstrap_ratio(np.array(over_seeds), key=child(key, "summary", shift, method))
        lines.append(
            {"column": column, "shift": shift, "method": method, "over": first, "ratio": ratio, "low": low, "high": high}
            | {"n_domain": len(over_seeds)}
        )
    return lines


def main() -> None:
    """Reads the command line, runs and writes `result.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="run folder; by default runs/robustness-flla")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="stop after so many minutes; the same command goes on from there")
    parser.add_argument("--workers", type=int, help="rows at the same time; by default one per core")
    parser.add_argument("--quick", action="store_true", help="300 training crystals, 6 epochs; result.json goes into the run folder")
    parser.add_argument("--smoke", action="store_true", help="does it run and write a valid result? In a folder that is deleted")
    given = parser.parse_args()
    settings = from_toml(HERE / "config.toml", StressTestConfig)
    if given.smoke:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            write(measure(override(settings, SMOKE), out, "Smoke: does it run?", first=SMOKE_CRYSTALS), out / "result.json")
            check(out / "result.json")
        return
    settings = override(settings, QUICK) if given.quick else settings
    out = given.out or HERE.parents[2] / "runs" / ("robustness-flla-quick" if given.quick else "robustness-flla")
    note = "Quick: 300 training crystals, 6 epochs. For a look, not for a claim." if given.quick else "Sizes as config.toml says."
    path = out / "result.json" if given.quick else HERE / "result.json"
    write(measure(settings, out, note, workers=given.workers, minutes=given.budget), path)
    print(f"result: {path}")


def write(result: dict[str, Any], path: Path) -> None:
    """Writes the result."""
    path.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def check(path: Path) -> None:
    """Refuses a result that is not whole.

    Raises:
      ValueError: If a number is missing or out of its range.
    """
    result = json.loads(path.read_text(encoding="utf-8"))
    for row in result["rows"]:
        if not (row["mae_in"] > 0 and row["mae_out"] > 0 and 0 <= row["coverage_out"] <= 1 and row["baseline_out"] > 0):
            raise ValueError(f"{path}: not a valid row: {row}")
    if not result["summary"] or any(not line["ratio"] > 0 for line in result["summary"]):
        raise ValueError(f"{path}: not a valid summary: {result['summary']}")
    if result["missing"]:
        raise ValueError(f"{path}: rows are missing: {result['missing']}")
    print(f"valid: {len(result['rows'])} rows, {len(result['summary'])} ratios")


if __name__ == "__main__":
    main()
