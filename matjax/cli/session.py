"""A stress test as a session at the terminal: plan, progress, rows as they come, files at the end."""

from __future__ import annotations

import dataclasses
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

import typer
from rich.console import Console

import matjax
from matjax.cli.train_run import label_to_learn
from matjax.cli.view import View, show_rows
from matjax.report import write_report
from matjax.stress_test import Report, StressTestConfig, stress_test
from matjax.stress_test.label_budget import unfolded
from matjax.stress_test.plan import labelled
from matjax.toml import to_toml
from matjax.training.learner import GraphLearner
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
    open_lockbox: str = "",
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
      open_lockbox: Why sealed domains are tested too; empty leaves them sealed.

    Raises:
      ValueError: If the folder holds a run with other settings.
    """
    start, console = time.perf_counter(), Console()
    label = _label(config, dataset)
    n_read, dataset = len(dataset), labelled(dataset, label)
    shifts, reason = config.resolved_shifts(dataset)
    contest, settings = dataclasses.replace(config, label=label).contest(dataset), to_toml(config)
    claim_folder(out, settings, dataset.key, fresh)
    without = f", {n_read - len(dataset)} without {label} left out" if n_read > len(dataset) else ""
    lines = [f"[bold]{title}[/]", f"{len(dataset)} crystals ({dataset.metadata.name}{without}); shifts {reason}"]
    console.print("\n".join([*lines, *(f"  · {shift.describe()}" for shift in shifts), budget, f"Run folder: {out}"]))
    view = View(console, getattr(config.learner, "n_epoch", 1))

    def save(report: Report) -> None:
        record = _record(config, dataset, report, title=title, command=command, budget=budget, settings=settings)
        spent = {"seconds": round(time.perf_counter() - start, 1), "compiles": n_compiled()}
        _write(out / "run.json", record | spent)
        _write(out / "stress_test.json", list(report.rows))

    try:
        with view:
            report = stress_test(
                contest.learners,
                contest.dataset,
                shifts,
                settings=config.test,
                run_dir=out,
                workers=workers,
                report=view,
                controls=contest.controls,
                open_lockbox=open_lockbox,
                key=config.key(),
            )
    except BaseException as error:
        kept = finished(out, view.jobs)
        save(kept)
        if isinstance(error, KeyboardInterrupt):
            done = f"{len(view.jobs) - len(kept.missing)} of {len(view.jobs)} rows"
            typer.echo(f"interrupted; {done} are kept in {out}, and the same command goes on from there", err=True)
            raise typer.Exit(130) from None
        raise
    save(report)
    _show(console, report, out, str(config.test.lockbox))
    console.print(f"{time.perf_counter() - start:.0f} s, {n_compiled()} programs compiled or loaded, peak memory {peak_memory():.2f} GiB")
    return report


def _show(console: Console, report: Report, out: Path, lockbox: str) -> None:
    """The rows, where the page is, and what was not tested or not finished."""
    if report.rows:
        page = write_report(out)
        show_rows(console, report)
        console.print(f"[bold]Report[/]: {page}")
    for shift, n in report.sealed.items():
        console.print(f"{n} of the domains of {shift} are sealed in {lockbox} and were not tested")
    for name, why in report.missing:
        console.print(f"[red]not finished[/] {name}: {why}")


def finished(out: Path, jobs: list[str]) -> Report:
    """The rows of an interrupted run that are on disk, and the names of those that are not."""
    rows = {name: json.loads(path.read_text(encoding="utf-8")) for name in jobs if (path := out / "rows" / f"{name}.json").exists()}
    return Report(
        tuple(row for kept in rows.values() for row in unfolded(kept)), tuple((name, "interrupted") for name in jobs if name not in rows)
    )


OWN = ("config.toml", "rows", "predictions", "figures", "stress_test.json", "run.json", "report.html")
OWN_OF_TRAIN = (
    *("ensemble", "leave-domain-out", "model.safetensors", "history.jsonl"),
    *("learning_curves.svg", "tensorboard", "wandb", "wandb.id"),
)
OWN_OF_DISCOVER = ("campaign.sqlite", "campaign.sqlite-journal", "trace.jsonl", "candidates.csv", "structures", "rounds", "discovery.json")
ALL_OWN = OWN + OWN_OF_TRAIN + OWN_OF_DISCOVER
"""What runs write: all that --fresh may delete."""

MARK = "# matjax "
"""How the settings of a run begin, by which its folder is known."""


def claim_folder(out: Path, settings: str, data: str, fresh: bool) -> None:
    """Makes the folder, or goes on in it if it holds a run with the same settings, data and version of matjax.

    Raises:
      ValueError: If it holds another run, or files that are no run.
    """
    wanted = f"{MARK}{matjax.__version__}, data {data}\n{settings}"
    found = enter_folder(out, fresh)
    if found and found != wanted and any((out / name).exists() for name in ALL_OWN[1:]):
        raise ValueError(f"{out} holds a run with other settings, data or version; choose another --out, or start over with --fresh")
    replace_text(out / "config.toml", wanted)


def enter_folder(out: Path, fresh: bool) -> str:
    """Makes the folder; deletes the run that it holds if `fresh`.

    Returns:
      The settings of the run that it holds, with their mark; empty if it holds none.

    Raises:
      ValueError: If it holds files that are no run.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = _settings_of(out)
    others = [path for path in out.iterdir() if not (path.name == "discovery" and _settings_of(path).startswith(MARK))]
    if others and not found.startswith(MARK):
        raise ValueError(f"{out} is not empty and holds no run of matjax; choose another --out")
    if not fresh:
        return found
    for name in ALL_OWN:
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return ""


def _settings_of(folder: Path) -> str:
    path = folder / "config.toml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def replace_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def peak_memory() -> float:
    """Peak resident memory of this process, GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _label(config: StressTestConfig, dataset: Dataset) -> str:
    learner = config.learner
    return (
        config.label or learner.label or (label_to_learn(dataset, learner) if isinstance(learner, GraphLearner) else default_label(dataset))
    )


def _record(config: StressTestConfig, dataset: Dataset, report: Report, **texts: str) -> dict[str, Any]:
    meta, label = dataset.metadata, _label(config, dataset)
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
        "sealed": dict(report.sealed),
        "supervised_by": f"{', '.join(taught.has)} of {meta.structures} structures; label {label} in {taught.unit}",
    }


def _write(path: Path, value: Any) -> None:
    replace_text(path, json.dumps(value, indent=1, allow_nan=False))
