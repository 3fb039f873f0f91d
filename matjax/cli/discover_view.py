"""What a campaign shows at the terminal: the plan, the stage it is in, a line per round, the best so far."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from matjax.campaign.config import DiscoverConfig
from matjax.campaign.limits import Limits
from matjax.campaign.oracle import Oracle
from matjax.campaign.records import read_rounds
from matjax.campaign.store import KNOWN
from matjax.campaign.trace import open_read_only
from matjax.thermo import not_considered
from matjax.value import ValueGuided

N_BEST = 5
"""Alloys in the table."""


def plan(config: DiscoverConfig, out: Path, note: str = "") -> list[str]:
    """What a campaign will do, in lines.

    Raises:
      ValueError: If settings contradict each other.
    """
    config.check()
    space, oracle, n_known = config.space, config.oracle, len(config.problem().known())
    absent = not_considered(space.available, config.known.compounds, temperature=config.temperature)
    return [
        f"[bold]Which {space.what} of {' '.join(space.available)} are worth making?[/]",
        f"space: {space.describe()}",
        f"goals at {config.temperature:g} K:",
        *(f"  · {kind}: {text}" for kind, text in config.utility.describe().items()),
        f"oracle: [bold]{oracle.name}[/] ({oracle.version}): {oracle.note}",
        f"known set: {n_known} elements, binaries, ternaries and ordered compounds, not charged; "
        f"budget: {config.budget} oracle calls{_hours(config.limits)}, {config.batch} a round",
        f"free energy: {', '.join(config.terms.names)}; not considered: {', '.join(absent)}",
        *([note] if note else []),
        f"campaign folder: {out}",
    ]


def _hours(limits: Limits) -> str:
    """What limits a campaign beside its calls, in words."""
    if limits.hours_in_all == math.inf:
        return ""
    return f" or {limits.hours_in_all:.4g} hours of the oracle" + (f" (for {limits.money:g})" if limits.money < math.inf else "")


class DiscoverView:
    """Progress of a campaign: a bar for the stage below the best so far; where there is no terminal, a line per stage.

    Args:
      console: Where to show it.
      config: Settings of the campaign.
      out: Its folder.
    """

    def __init__(self, console: Console, config: DiscoverConfig, out: Path) -> None:
        self.console, self.config, self.out = console, config, out
        self.best: list[dict[str, Any]] = read_best(out)
        self.fit: Path | None = None
        self.n_failed = 0
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), MofNCompleteColumn())
        self.progress = Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console)
        self.task = self.progress.add_task("starting", total=None)
        self.live = Live(get_renderable=self.render, console=console, transient=True, refresh_per_second=4)

    def __enter__(self) -> DiscoverView:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def render(self) -> Group:
        """The best so far and the stage."""
        if self.fit is not None:
            self.progress.update(self.task, completed=epochs_done(self.fit))
        table = [best_table(self.best[:N_BEST], self.config.oracle)] if self.best else []
        return Group(*table, self.progress)

    def __call__(self, event: dict[str, Any]) -> None:
        """Takes an event of the campaign, of its comparisons or of its summary."""
        match event["kind"]:
            case "known":
                self.stage("measuring the known set", event["n"], event["n"] - event["pending"])
            case "learn":
                n_epoch = self.config.n_epoch_more if event["round"] else self.config.learner.n_epoch
                self.stage(f"round {event['round'] + 1}: learning from {event['n']} measured crystals, {n_epoch} epochs", n_epoch)
                self.fit = self.out / "rounds" / f"{event['round']:03d}" / "fit"
            case "propose":
                self.stage(f"round {event['round'] + 1}: proposing{self._reward_calls()}")
            case "picks":
                self.stage(f"round {event['round'] + 1}: measuring {len(event['candidates'])} picks", len(event["candidates"]))
            case "result":
                self._result(event)
            case "round":
                self._round(event["round"])
            case "baseline":
                self.stage(f"{event['proposer']} search beside it, calls", event["of"], min(event["calls"], event["of"]), say=False)
            case "summary":
                self.stage(f"summary: {event['stage']}")

    def stage(self, text: str, total: int | None = None, completed: int = 0, *, say: bool = True) -> None:
        """Begins a stage."""
        self.fit = None
        self.progress.remove_task(self.task)
        self.task = self.progress.add_task(text, total=total, completed=completed)
        if say and not self.console.is_terminal:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _reward_calls(self) -> str:
        if not isinstance(self.config.proposer, ValueGuided):
            return ""
        learner = self.config.proposer.learner
        return f", {learner.batch * learner.n_iteration:,} reward calls at most"

    def _result(self, event: Mapping[str, Any]) -> None:
        self.progress.advance(self.task)
        if event["status"] != "converged":
            self.n_failed += 1
            if self.n_failed <= 3:
                text = f"{event['candidate']}: {event['error'] or event['status']}"
                self.console.print(f"not converged: {text}", markup=False, highlight=False, soft_wrap=True)

    def _round(self, i: int) -> None:
        """A line for a round that is over, from what the campaign wrote down."""
        with open_read_only(self.out) as connection:
            facts = next(row for row in read_rounds(connection) if row["round"] == i)
        failed, self.n_failed = f"; {self.n_failed} did not converge" if self.n_failed else "", 0
        self.best = read_best(self.out)
        if i == KNOWN:
            line = f"known set measured in {_seconds(facts['seconds_oracle'])}{failed}"
        else:
            line = round_line(facts, self.best[0] if self.best else None) + failed
        self.console.print(f"[green]✓[/] {line}", highlight=False, soft_wrap=True)


def round_line(facts: Mapping[str, Any], best: Mapping[str, Any] | None) -> str:
    """A finished round in one line: the best so far, how the predictions did, where the time went."""
    error, covered = facts.get("mae_stability"), facts.get("coverage_90")
    parts = [f"round {facts['round'] + 1}"]
    parts += [f"best utility {best['utility']:.3f} ({best['candidate']})"] if best else ["nothing with a utility yet"]
    parts += [f"stability predicted to {1000 * error:.0f} meV/atom"] if error is not None else []
    parts += [f"90% intervals cover {covered:.0%}"] if covered is not None else []
    calls = f" ({facts['n_reward_calls']:,} reward calls)" if facts.get("n_reward_calls") else ""
    spent = [
        f"{word} {_seconds(facts[f'seconds_{name}'])}" for word, name in (("learn", "learn"), ("propose", "propose"), ("measure", "oracle"))
    ]
    spent[1] += calls
    return "; ".join([*parts, ", ".join(spent)])


def best_table(rows: Sequence[Mapping[str, Any]], oracle: Oracle) -> Table:
    """Alloys with what the oracle says of them, and what was predicted before it was asked."""
    table = Table(title=f"Best so far, relative to the oracle {oracle.name}", title_justify="left")
    table.add_column("candidate (at.%)", overflow="fold")
    for head in ("utility", "stability\nmeV/atom", "predicted\n90%", "Pugh\nratio", "price\nUSD/kg", "round"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        low, high = row["predicted_stability_low"], row["predicted_stability_high"]
        interval = "—" if low is None or high is None else f"{1000 * low:.0f} to {1000 * high:.0f}"
        stability = None if row["stability"] is None else 1000 * row["stability"]
        numbers = [_number(row["utility"], ".3f"), _number(stability, ".0f"), interval]
        numbers += [_number(row["pugh_ratio"], ".2f"), _number(row["price"], ".1f"), str(row["round"] + 1)]
        table.add_row(row["candidate"] + (" *" if row["flagged"] else ""), *numbers)
    if any(row["flagged"] for row in rows):
        table.caption = "* was outside the training density when it was picked"
    return table


def show_best(console: Console, rows: Sequence[Mapping[str, Any]], oracle: Oracle) -> None:
    """The table at the end, and what the oracle's numbers are worth."""
    if not rows:
        console.print("[bold red]Nothing was measured to the end: there is nothing to rank.[/]")
        return
    console.print(best_table(rows[:N_BEST], oracle))
    console.print(oracle.note, markup=False, highlight=False, soft_wrap=True)


def read_best(run_dir: Path) -> list[dict[str, Any]]:
    """Rows of `trace.jsonl` that have a true utility, highest first; none where it is absent."""
    path = run_dir / "trace.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [row for row in map(json.loads, lines) if row["utility"] is not None]
    return sorted(rows, key=lambda row: -row["utility"])


def epochs_done(fit: Path) -> int:
    """Epochs that the state of a fit holds: it is kept in folders that are named by their number."""
    return max((int(path.name) for path in fit.glob("*") if path.name.isdigit()), default=0)


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else format(value, form)


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value < 600 else time.strftime("%H:%M:%S", time.gmtime(value))
