"""A stress test as a session at the terminal: plan, progress, rows as they come, files at the end."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

import matjax
from matjax.report import write_report
from matjax.stress_test import Report, StressTestConfig, stress_test
from matjax.toml import to_toml
from matjax.training.step import n_compiled
from matjax.training.supervision import default_label, supervision
from matjax.types import Dataset

PACKAGES = ("jax", "jaxlib", "flax", "optax", "e3nn-jax", "jraph", "numpy", "scikit-learn", "vesin", "spglib", "ase")


def run_stress_test(
    config: StressTestConfig,
    dataset: Dataset,
    out: Path,
    *,
    title: str,
    command: str,
    budget: str,
    fresh: bool = False,
    workers: int | None = None,
) -> Report:
    """Runs a stress test, shows it, and writes rows, report and figures to a folder.

    Args:
      config: What to run.
      dataset: The data.
      out: Folder of the run; rows that are there already are not run again.
      title: Title of the report.
      command: What the user typed.
      budget: What this run leaves out, in words.
      fresh: Delete what is in the folder first.
      workers: Jobs at the same time.

    Raises:
      ValueError: If the folder holds a run with other settings.
    """
    start, console = time.perf_counter(), Console()
    shifts, reason = config.resolved_shifts(dataset)
    settings = to_toml(config)
    claim_folder(out, settings, dataset.key, fresh)
    console.print(f"[bold]{title}[/]\n{len(dataset)} crystals ({dataset.metadata.name}); shifts {reason}")
    for shift in shifts:
        console.print(f"  · {shift.describe()}")
    console.print(f"{budget}\nRun folder: {out}")
    view = View(console, config.learner.n_epoch)
    with view:
        report = stress_test(
            config.learners(dataset), dataset, shifts, settings=config.test, run_dir=out, workers=workers, report=view, key=config.key()
        )
    _write(out / "stress_test.json", list(report.rows))
    record = _record(config, dataset, report, title=title, command=command, budget=budget, settings=settings)
    _write(out / "run.json", record | {"seconds": round(time.perf_counter() - start, 1), "compiles": n_compiled()})
    if report.rows:
        page = write_report(out)
        show_rows(console, report)
        console.print(f"[bold]Report[/]: {page}")
    for name, why in report.missing:
        console.print(f"[red]not finished[/] {name}: {why}")
    console.print(f"{time.perf_counter() - start:.0f} s, {n_compiled()} programs compiled or loaded, peak memory {peak_memory():.2f} GiB")
    return report


def claim_folder(out: Path, settings: str, data: str, fresh: bool) -> None:
    """Makes the folder, or goes on in it if it holds a run with the same settings and data.

    Raises:
      ValueError: If it holds another run, or files that are no run.
    """
    if fresh and out.exists():
        if any(out.iterdir()) and not (out / "config.toml").exists():
            raise ValueError(f"{out} holds files but no run of matjax; it will not be deleted. Choose another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    mark, wanted = out / "config.toml", f"# data {data}\n{settings}"
    if not mark.exists():
        if any(out.iterdir()):
            raise ValueError(f"{out} is not empty and holds no run of matjax; choose another --out")
        mark.write_text(wanted, encoding="utf-8")
    elif mark.read_text(encoding="utf-8") != wanted:
        raise ValueError(f"{out} holds a run with other settings or data; choose another --out, or start over with --fresh")


class View:
    """Progress of a stress test: one bar of epochs over all fits, and a line per finished row."""

    def __init__(self, console: Console, n_epoch: int) -> None:
        self.console, self.n_epoch, self.compiling = console, n_epoch, True
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f}%"))
        self.progress = Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console)
        self.task = self.progress.add_task("compiling the first programs", total=None)

    def __enter__(self) -> View:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Takes an event of the stress test."""
        if event["event"] == "plan":
            self.progress.update(self.task, total=event["fits"] * self.n_epoch)
            done = f", {event['done']} of them done before" if event["done"] else ""
            self.console.print(f"{event['jobs']} rows{done}; {event['fits']} fits of {self.n_epoch} epochs to do")
            if not event["fits"]:
                self.progress.update(self.task, visible=False)
        elif event["event"] == "epoch":
            unfinished = event["n_epoch"] - event["epoch"] if event.get("last") else 0
            self.progress.update(self.task, advance=1 + unfinished, description=f"training {event['job']}")
        elif event["event"] == "row":
            self.console.print(row_line(event["row"]))
        elif event["event"] == "failed":
            self.console.print(f"[red]failed[/] {event['job']}: {event['reason']}")


def row_line(row: dict[str, Any]) -> str:
    """A finished row in one line."""
    matched = f", matched ratio {row['matched_ratio']:.2f}" if row["matched_ratio"] is not None else ""
    return (
        f"[green]✓[/] {row['shift']} · {row['domain']} · {row['method']}: error {row['mae_in']:.3f} inside, {row['mae_out']:.3f} outside "
        f"{row['unit']}{matched}; {row['level']:.0%} intervals cover {row['coverage_in']:.0%} inside, {row['coverage_out']:.0%} outside"
    )


def show_rows(console: Console, report: Report) -> None:
    """The table of the report, short."""
    table = Table(title=f"Mean absolute error ({report.rows[0]['unit']}) and coverage of {report.rows[0]['level']:.0%} intervals")
    for head in ("left out", "method"):
        table.add_column(head, no_wrap=True)
    for head in ("error in", "out", "base in", "out", "cover in", "out", "LDO"):
        table.add_column(head, justify="right")
    number = lambda value, form=".3f": "—" if value is None else format(value, form)
    for r in report.rows:
        red = r["shift"] == "random" and r["mae_in"] > r["baseline_in"]
        error = f"[red]{number(r['mae_in'])}[/]" if red else number(r["mae_in"])
        errors = (error, number(r["mae_out"]), number(r["baseline_in"]), number(r["baseline_out"]))
        table.add_row(
            r["domain"], r["method"], *errors, *(number(r[k], ".0%") for k in ("coverage_in", "coverage_out", "coverage_out_ldo"))
        )
    console.print(table)


def peak_memory() -> float:
    """Peak resident memory of this process, GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _record(config: StressTestConfig, dataset: Dataset, report: Report, **texts: str) -> dict[str, Any]:
    meta, label = dataset.metadata, config.label or config.learner.label or default_label(dataset)
    taught = supervision(dataset, label)
    return {
        **texts,
        "dataset": {
            "name": meta.name,
            "n": len(dataset),
            "label": label,
            "unit": taught.unit,
            "citation": meta.citation,
            "license": meta.license,
            "notes": meta.notes,
            "functional": meta.functional,
            "reference": meta.reference,
            "structures": meta.structures,
            "key": dataset.key,
            "set_aside": len(meta.set_aside),
        },
        "versions": {"matjax": matjax.__version__} | {name: importlib.metadata.version(name) for name in PACKAGES},
        "hardware": {
            "machine": platform.machine(),
            "cores": os.cpu_count() or 0,
            "python": platform.python_version(),
            "peak_GiB": round(peak_memory(), 2),
        },
        "missing": [list(pair) for pair in report.missing],
        "supervised_by": f"{', '.join(taught.has)} of {meta.structures} structures; label {label} in {taught.unit}",
    }


def _write(path: Path, value: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1, allow_nan=False), encoding="utf-8")
    os.replace(partial, path)
