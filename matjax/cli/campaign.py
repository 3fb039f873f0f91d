"""`matjax campaign`: how a campaign stands, going on with it, and its results for other programs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

campaign = typer.Typer(no_args_is_help=True, help="Look at a campaign of `matjax discover`, go on with it, export it.")

Folder = Annotated[Path, typer.Argument(help="Folder of the campaign, as given to `matjax discover --out`.")]


@campaign.command("status")
def status(folder: Folder) -> None:
    """How a campaign stands: oracle calls spent, what is pending, what failed, the best so far.

    Changes nothing, and works while the campaign runs and after it was killed.

    Example: `matjax campaign status runs/discover`
    """
    from rich.console import Console

    from matjax.campaign import status
    from matjax.cli.discover_session import read_settings
    from matjax.cli.discover_view import best_table

    found, settings = status(folder), read_settings(folder)
    console = Console()
    for line in status_lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if found["best"]:
        console.print(best_table(found["best"], settings.oracle))


@campaign.command("resume")
def resume(
    folder: Folder,
    budget: Annotated[int | None, typer.Option(help="A larger budget of oracle calls.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes of an oracle other than the laboratory; by default one per core.")] = None,
) -> None:
    """Go on with a campaign where it stopped, with the settings in its folder.

    It comes to the same picks as one that was never interrupted.

    **Examples**

    `matjax campaign resume runs/discover`

    `matjax campaign resume runs/discover --budget 60`
    """
    import dataclasses

    from matjax.cli.discover_session import read_settings, run_discovery

    settings = read_settings(folder)
    settings = settings if budget is None else dataclasses.replace(settings, budget=budget)
    run_discovery(settings, folder, command=shlex.join(["matjax", *sys.argv[1:]]), workers=workers)


@campaign.command("export")
def export(
    folder: Folder,
    to: Annotated[str, typer.Option("--to", help="csv (candidates), json (the whole trace), extxyz or ase.db (relaxed crystals).")] = "csv",
    out: Annotated[Path | None, typer.Option(help="File to write; by default in the folder of the campaign.")] = None,
) -> None:
    """Write a campaign for other programs; it may still be running.

    **Examples**

    `matjax campaign export runs/discover --to csv`

    `matjax campaign export runs/discover --to ase.db --out alloys.db`
    """
    from matjax.campaign import export

    typer.echo(f"written: {export(folder, to, out)}")


def status_lines(found: Mapping[str, Any]) -> list[str]:
    """The status of a campaign (see `matjax.campaign.status`) in words."""
    kind, text = found["last_event"]["kind"], found["last_event"]["text"]
    state = f"running ({found['running']})" if found["running"] else {"ended": "ended", "stopped": "stopped"}.get(kind, "interrupted")
    said = f": {text}" if text and not found["running"] else ""
    n_round = 0 if found["round"] is None else found["round"] + 1
    statuses = ", ".join(f"{n} {name}" for name, n in sorted(found["statuses"].items()))
    lines = [
        f"{found['folder']}: {state}{said}",
        f"oracle: {found['oracle']}: {found['oracle_note']}",
        f"{found['spent']} of {found['budget']} oracle calls in {n_round} rounds{f' ({statuses})' if statuses else ''}; "
        f"known set of {found['n_known']}; {found['pending']} to be measured",
        *(f"  known, not converged: {formula}: {error}" for formula, error in found["known_failed"][:5]),
    ]
    if len(found["known_failed"]) > 5:
        lines.append(f"  and {len(found['known_failed']) - 5} more of the known set")
    if state in ("stopped", "interrupted"):
        lines.append(f"next: matjax campaign resume {shlex.quote(found['folder'])}")
    return lines
