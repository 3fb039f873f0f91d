"""What `matjax train` shows: a bar while it trains (a line per epoch where there is no terminal), a summary at the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from matjax.cli.train_run import TrainConfig, Trained
from matjax.report.words import number, percent
from matjax.types import Dataset, Split


class TrainView:
    """Progress of the fits of one run.

    Args:
      console: Where to show it.
      fits: Number of fits.
      n_epoch: Epochs of each, at most.
    """

    def __init__(self, console: Console, fits: int, n_epoch: int) -> None:
        self.console, self.fits, self.n_epoch = console, fits, n_epoch
        self.names: list[str] = []
        self.seconds: list[float] = []
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task = self.progress.add_task("reading structures and compiling", total=fits * n_epoch)

    def __enter__(self) -> TrainView:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def __call__(self, row: dict[str, Any]) -> None:
        """Takes the record of an epoch."""
        self.names += [] if row["fit"] in self.names else [row["fit"]]
        self.seconds.append(row["seconds"])
        done = (len(self.names) - 1) * self.n_epoch + (self.n_epoch if row["last"] else row["epoch"])
        left = self._left(self.fits * self.n_epoch - done)
        line = (
            f"{row['fit']}: epoch {row['epoch']} of {row['n_epoch']}, risk {number(row['risk'])}, "
            f"validation error {number(row['validation'])} {row['unit']}, {row['crystals_per_second']:,.0f} crystals/s, {left} left"
        )
        if row["skipped"]:
            who = f" by {row['culprit']}" if row["culprit"] else ""
            self.console.print(
                f"{row['fit']}: {row['skipped']} updates of epoch {row['epoch']} were skipped{who}", markup=False, style="red"
            )
        self.progress.update(self.task, completed=done, description=line)
        if not self.console.is_terminal:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _left(self, epochs: int) -> str:
        """Time that so many epochs will take; the first one also compiled."""
        later = self.seconds[1:] or self.seconds
        seconds = epochs * sum(later) / len(later)
        bound = "at most " if len(self.seconds) == 1 else ""
        return bound + time.strftime("%H:%M:%S" if seconds >= 3600 else "%M:%S", time.gmtime(seconds))


def plan(config: TrainConfig, dataset: Dataset, label: str, split: Split, column: str | None, out: Path) -> list[str]:
    """What a run will do, in lines."""
    aside = len(dataset.metadata.set_aside)
    parts = {"train": split.train, "validate": split.validation, "calibrate": split.calibration, "test": split.test_outside}
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in parts.items())
    return [
        f"{dataset.metadata.name}: {len(dataset):,} crystals with {label}: {sizes}",
        *([f"{aside:,} bad records were set aside; `matjax doctor {config.data}` says why"] if aside else []),
        f"{config.learner.members} members, at most {config.learner.n_epoch} epochs; "
        + (f"a second fit leaves out domains ({column})" if column else "no second fit"),
        f"run folder: {out}",
    ]


def suspicious(found: list[tuple[str, str]], most: int = 5) -> list[str]:
    """Training labels that look wrong, in lines; nothing where there are none."""
    if not found:
        return []
    more = [f"  and {len(found) - most:,} more"] if len(found) > most else []
    head = f"{len(found):,} training labels look wrong; they are trained on, unless you take them out:"
    return [head, *(f"  {name}: {reason}" for name, reason in found[:most]), *more]


def show(console: Console, trained: Trained) -> None:
    """Errors beside the composition baseline, intervals, flags, and what to do next."""
    m, taught = trained.measured, trained.predictor.supervision
    console.print(f"Mean absolute error of {taught.label} ({m['unit']}), trained on {m['n_train']:,} crystals", soft_wrap=True)
    table = Table()
    for head in ("part", "crystals", "model", "composition alone"):
        table.add_column(head, justify="left" if head == "part" else "right")
    for part in ("validation", "calibration", "test"):
        table.add_row(part, f"{m[f'n_{part}']:,}", number(m[f"mae_{part}"]), number(m[f"baseline_mae_{part}"]))
    console.print(table)
    if m["mae_test"] > m["baseline_mae_test"]:
        console.print(
            "[bold red]On the test crystals a model of the composition alone is better: train longer or on more crystals.[/]",
            soft_wrap=True,
        )
    for line in _lines(trained):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _lines(trained: Trained) -> list[str]:
    m, taught = trained.measured, trained.predictor.supervision
    level, unit = percent(m["level"]), m["unit"]
    width = lambda value: "infinite" if value is None else f"{number(value)} {unit}"
    lines = [f"{level} intervals cover {percent(m['coverage'])} of the test crystals; median half-width {width(m['half_width'])}"]
    if "coverage_ldo" in m:
        lines.append(
            f"{level} intervals for new domains ({m['leave_out']} left out): they cover {percent(m['coverage_ldo'])} of the test "
            f"crystals; median half-width {width(m['half_width_ldo'])}\n  {m['guarantee_ldo']}"
        )
    else:
        lines.append("no intervals for new domains (no second fit): outside its training domains the model is not calibrated")
    if "mae_forces" in m:
        lines.append(f"force components: mean absolute error {number(m['mae_forces'])} eV/Å (mean size {number(m['size_forces'])})")
    lines.append(f"flagged as off-distribution: {percent(m['flagged'])} of the test crystals")
    lines.append("the test crystals are a random part of the data: `matjax stress-test` measures the error in new domains")
    lines.append(
        f"model: {trained.path}, supervised by {', '.join(taught.has)} ({taught.structures} structures, functional {taught.functional})"
    )
    return [*lines, f"next: matjax predict {trained.path} FILES"]
