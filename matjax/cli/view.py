"""What a stress test shows at the terminal: one bar for all fits, a line per finished row, a table at the end."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from matjax.stress_test import Report


class View:
    """Progress of a stress test: one bar of epochs over all fits, and a line per finished row."""

    def __init__(self, console: Console, n_epoch: int) -> None:
        self.console, self.n_epoch = console, n_epoch
        self.jobs: list[str] = []
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
            self.jobs = event["jobs"]
            done = f", {event['done']} of them done before" if event["done"] else ""
            self.console.print(f"{len(self.jobs)} rows{done}; {event['fits']} fits of {self.n_epoch} epochs to do")
            if not event["fits"]:
                self.progress.update(self.task, visible=False)
        elif event["event"] == "epoch":
            unfinished = event["n_epoch"] - event["epoch"] if event.get("last") and "n_epoch" in event else 0
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
        table.add_column(head, overflow="fold")
    for head in ("error\nin → out", "baseline\nin → out", "coverage\nin → out", "LDO\nout"):
        table.add_column(head, justify="right", no_wrap=True)
    number = lambda value, form=".3f": "—" if value is None else format(value, form)
    pair = lambda r, name, form=".3f": f"{number(r[f'{name}_in'], form)} → {number(r[f'{name}_out'], form)}"
    for r in (r for r in report.rows if r["mae_in"] is not None):
        error = pair(r, "mae")
        if r["shift"] == "random" and r["mae_in"] > r["baseline_in"]:
            error = f"[red]{error}[/]"
        table.add_row(
            r["domain"], r["method"], error, pair(r, "baseline"), pair(r, "coverage", ".0%"), number(r["coverage_out_ldo"], ".0%")
        )
    console.print(table)
