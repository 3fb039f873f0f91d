"""A campaign as a session at the terminal: plan, progress, the best so far, files at the end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w
import typer
from rich.console import Console

import matjax
from matjax.campaign import CampaignStopped, Executor, Inline, Potential, Processes, Trace, discover
from matjax.campaign.config import DiscoverConfig
from matjax.campaign.lock import holder
from matjax.campaign.store import FILE
from matjax.campaign.summary import write_summary
from matjax.cli.discover_view import DiscoverView, plan, show_best
from matjax.cli.session import MARK, OWN, OWN_OF_TRAIN, enter_folder, peak_memory, replace_text
from matjax.report import write_report
from matjax.simulate.laboratory import Laboratory
from matjax.toml import from_toml, to_dict, to_toml

MAY_CHANGE = ("budget", "comparison", "limits")
"""Settings that may differ when a campaign goes on: nothing is learned from them."""


def run_discovery(
    config: DiscoverConfig,
    out: Path,
    *,
    command: str,
    note: str = "",
    fresh: bool = False,
    workers: int | None = None,
    page: Path | None = None,
) -> Trace:
    """Runs a campaign to its end, shows it, and writes its record and its report.

    Args:
      config: What to seek, and how.
      out: Folder of the campaign; one that was interrupted goes on.
      command: What the user typed.
      note: What this run leaves out, in words.
      fresh: Delete the campaign in the folder first.
      workers: Processes of an oracle other than the laboratory.
      page: Folder of the report; that of the campaign where left out.

    Returns:
      Its trace.

    Raises:
      ValueError: If settings contradict each other, or the folder holds something else.
      Exit: With code 130 after ctrl-C, 3 if the campaign cannot go on for now; all that was measured is kept.
    """
    start, console = time.perf_counter(), Console()
    check_counts(config)
    executor = executor_for(config, workers)
    lines = plan(config, out, note)
    claim_campaign(out, config, fresh)
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    try:
        with DiscoverView(console, config, out) as view:
            trace = _search(config, out, executor, view)
            if not _is_summarised(out, config, trace):
                write_summary(out, config, command=command, seconds=time.perf_counter() - start, report=view)
    except KeyboardInterrupt as error:
        typer.echo(str(error) or f"interrupted; what was measured is kept in {out}, and the same command goes on from there", err=True)
        raise typer.Exit(130) from None
    except CampaignStopped as error:
        typer.echo(f"matjax: {error}", err=True)
        raise typer.Exit(3) from None
    report = write_report(page or out)
    show_best(console, trace.best, config.oracle)
    console.print(f"{trace.reason}\n[bold]Report[/]: {report}", highlight=False, soft_wrap=True)
    console.print(f"{time.perf_counter() - start:.0f} s, peak memory {peak_memory():.2f} GiB", highlight=False)
    return trace


def _search(config: DiscoverConfig, out: Path, executor: Executor, view: DiscoverView) -> Trace:
    return discover(
        config.problem(),
        config.oracle,
        config.proposer,
        config.acquisition,
        budget=config.budget,
        batch=config.batch,
        pool=config.pool,
        run_dir=out,
        key=config.key(),
        executor=executor,
        report=view,
        settings_text=tomli_w.dumps(identity(config)),
        brake=config.brake,
        limits=config.limits,
    )


def check_counts(config: DiscoverConfig) -> None:
    """Refuses numbers with which no campaign can begin, before they are written down.

    Raises:
      ValueError: If budget, batch or pool is below 1, or the pool is smaller than the batch.
    """
    for name in ("budget", "batch", "pool"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} is {getattr(config, name)}; it must be at least 1")
    if config.pool < config.batch:
        raise ValueError(f"pool is {config.pool}, smaller than the batch of {config.batch} that is picked from it; make it larger")


def executor_for(config: DiscoverConfig, workers: int | None) -> Executor:
    """Where the oracle runs: the laboratory and potentials in this process, which they fill alone; any other in processes.

    Raises:
      ValueError: If workers are asked for by an oracle that has no use for them, or fewer than one.
    """
    if not isinstance(config.oracle, Laboratory | Potential):
        return Processes(workers if workers is not None else os.cpu_count() or 1)
    if workers is not None:
        raise ValueError(
            f"--workers is for oracles of single crystals; the {config.oracle.name} measures all crystals at once in this process"
        )
    return Inline()


def identity(config: DiscoverConfig) -> dict[str, Any]:
    """The settings that must be the same when a campaign goes on, as plain values."""
    return {name: value for name, value in to_dict(config).items() if name not in MAY_CHANGE}


def claim_campaign(out: Path, config: DiscoverConfig, fresh: bool) -> None:
    """Makes the folder and writes the settings into it, or goes on in one that holds the same campaign.

    Raises:
      ValueError: If another process works on it, or it holds another campaign, another run, or files that are no run.
    """
    if who := holder(out):
        raise ValueError(f"{out} is being worked on by {who}; wait for it, stop it, or choose another --out")
    found = enter_folder(out, fresh)
    if (out / FILE).exists():
        if difference := next(_differences(identity(from_toml(found, DiscoverConfig)), identity(config)), None):
            raise ValueError(f"{out} holds another campaign: {difference}; choose another --out, or start over with --fresh")
    elif any((out / name).exists() for name in (*OWN[1:], *OWN_OF_TRAIN)):
        raise ValueError(f"{out} holds a run that is no campaign; choose another --out, or start over with --fresh")
    replace_text(out / "config.toml", f"{MARK}{matjax.__version__}, campaign\n{to_toml(config)}")


def read_settings(folder: Path) -> DiscoverConfig:
    """The settings of a campaign's folder.

    Raises:
      ValueError: If it holds no campaign, or its settings cannot be read.
    """
    if not (folder / FILE).exists():
        raise ValueError(f"{folder} holds no campaign ({FILE} is absent); `matjax discover --out {folder}` starts one")
    return from_toml(folder / "config.toml", DiscoverConfig)


def _differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """Where plain settings differ, in words."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(name), now.get(name), f"{where}.{name}" if where else name)
    elif before != now:
        yield f"its {where} is {before!r}, this run's is {now!r}"


def _is_summarised(out: Path, config: DiscoverConfig, trace: Trace) -> bool:
    """Whether the record of this campaign, as long as it is now, was written before."""
    path = out / "discovery.json"
    if not path.exists():
        return False
    record = json.loads(path.read_text(encoding="utf-8"))
    return record.get("settings") == to_toml(config) and record["curves"][0]["utility"] == trace.utility
