"""`matjax campaign`: how a campaign stands, going on with it, and its results for other programs."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
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


@campaign.command("retry")
def retry(
    folder: Folder,
    candidate: Annotated[str | None, typer.Argument(help="Key or formula of a single candidate, whatever it failed of.")] = None,
    failure: Annotated[
        list[str] | None, typer.Option("--class", help="Class of failure, may be repeated; by default transient and numerical.")
    ] = None,
) -> None:
    """Have candidates that failed measured again when the campaign goes on; what they were charged stays charged.

    **Examples**

    `matjax campaign retry runs/discover`

    `matjax campaign retry runs/discover --class unlisted`

    `matjax campaign retry runs/discover "fcc Al2 Ni6"`
    """
    from matjax.campaign import retry
    from matjax.campaign.retry import AGAIN

    if candidate is not None and failure:
        raise ValueError("give either a candidate or --class")
    found = retry(folder, tuple(failure or AGAIN), candidate)
    for record in found:
        typer.echo(f"{record.candidate.key} {record.candidate.formula}: {record.error or record.status}")
    charged = sum(record.charged for record in found)
    typer.echo(f"{len(found)} candidates are to be measured again ({charged} oracle calls that they cost stay spent)")
    if found:
        typer.echo(f"next: matjax campaign resume {shlex.quote(str(folder))}")


@campaign.command("why")
def why(
    folder: Folder,
    candidate: Annotated[str, typer.Argument(help="Its key (or the beginning of it), or its formula.")],
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Everything known of a candidate: who picked it and why, what was predicted, each attempt, what came out.

    Example: `matjax campaign why runs/discover 3f9a`
    """
    import json

    from matjax.campaign import why

    found = why(folder, candidate)
    typer.echo(json.dumps(found, indent=1) if as_json else "\n".join(why_lines(found)))


@campaign.command("confirm")
def confirm(
    folder: Folder,
    oracle: Annotated[str, typer.Option(help="What confirms: laboratory, lammps, emt, or a settings file with an [oracle] of its own.")],
    top: Annotated[int, typer.Option(help="Best candidates to confirm.")] = 5,
    others: Annotated[int, typer.Option(help="Candidates spread over the rest of the ranking, to see whether it holds.")] = 5,
    workers: Annotated[int | None, typer.Option(help="Processes of an oracle other than the laboratory; by default one per core.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Have the best candidates of a campaign measured by a dearer oracle, against its own known set.

    What the dear oracle says lies in `confirmed/` in the campaign's folder; after an interruption the same command goes on there. Nothing
    of it flows back into the campaign.

    **Examples**

    `matjax campaign confirm runs/discover --oracle lammps --top 3`

    `matjax campaign confirm runs/discover --oracle gpaw.toml`
    """
    import dataclasses
    import json

    from matjax.campaign import confirm
    from matjax.cli.discover_presets import resolve
    from matjax.cli.discover_session import executor_for, read_settings

    settings = read_settings(folder)
    path = Path(oracle)
    dear = resolve(path, None, False, None, None, []) if path.suffix == ".toml" else resolve(None, oracle, False, None, None, [])
    settings = dataclasses.replace(settings, oracle=dear.oracle)
    executor = executor_for(settings, workers)

    def tell(event: dict[str, Any]) -> None:
        if event["kind"] == "known":
            typer.echo(f"measuring the known set with {settings.oracle.name}: {event['pending']} of {event['n']} to do", err=True)
        elif event["kind"] == "picks":
            typer.echo(f"measuring {len(event['candidates'])} candidates", err=True)

    found = confirm(folder, settings.problem(), settings.oracle, n=top, others=others, executor=executor, report=tell)
    if as_json:
        typer.echo(json.dumps({"rank_correlation": _finite(found.rank_correlation), "rows": found.rows}, indent=1))
        return
    for line in confirmed_lines(found):
        typer.echo(line)


def confirmed_lines(found: Any) -> list[str]:
    """A confirmation in lines: both utilities and stabilities (meV/atom), and whether the ranking holds."""
    number = lambda value, digits: "-" if value is None else f"{value:.{digits}f}"
    lines = [f"{'candidate':44} {'chosen':7} {'utility':>8} {'there':>7} {'meV/atom':>9} {'there':>8}"]
    for row in found.rows:
        milli = [None if row[f"{w}_stability"] is None else 1000 * row[f"{w}_stability"] for w in ("cheap", "dear")]
        told = f"{number(row['cheap_utility'], 3):>8} {number(row['dear_utility'], 3):>7} {number(milli[0], 1):>9} {number(milli[1], 1):>8}"
        note = "" if row["dear_status"] in ("converged", None) else f"  {row['dear_status']}"
        lines.append(f"{row['candidate']:44} {row['chosen']:7} {told}{note}")
    rank = "too few to compare ranks" if found.rank_correlation != found.rank_correlation else f"{found.rank_correlation:.2f}"
    return [*lines, f"rank correlation of the utilities: {rank}; measurements: {found.folder}"]


def _finite(value: float) -> float | None:
    return None if value != value else value


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


@campaign.command("import")
def import_(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help=".extxyz or .db as `export` writes them, or .csv with units in its columns.")],
) -> None:
    """Take in results of the same oracle that were measured elsewhere: all of a file or nothing, once, not charged.

    The campaign learns from them when it goes on; its earlier picks stand.

    **Examples**

    `matjax campaign import runs/discover alloys.db`

    `matjax campaign import runs/discover measured.csv`
    """
    from matjax.campaign import import_results
    from matjax.cli.discover_session import read_settings

    settings = read_settings(folder)
    new, skipped = import_results(folder, file, settings.problem(), settings.oracle)
    for measured in new:
        typer.echo(f"imported: {measured.candidate.formula}")
    for why, n in Counter(why for _, why in skipped).items():
        typer.echo(f"skipped: {n} candidates, such as {next(name for name, said in skipped if said == why)}: {why}")
    typer.echo(f"{len(new)} candidates are imported; no oracle call is charged for them")
    if new:
        typer.echo(f"next: matjax campaign resume {shlex.quote(str(folder))}")


def status_lines(found: Mapping[str, Any]) -> list[str]:
    """The status of a campaign (see `matjax.campaign.status`) in words."""
    kind, text = found["last_event"]["kind"], found["last_event"]["text"]
    state = f"running ({found['running']})" if found["running"] else {"ended": "ended", "stopped": "stopped"}.get(kind, "interrupted")
    said = f": {text}" if text and not found["running"] else ""
    n_round = 0 if found["round"] is None else found["round"] + 1
    statuses = ", ".join(f"{n} {name}" for name, n in sorted(found["statuses"].items()))
    imported = f"{n} imported; " if (n := found.get("n_imported", 0)) else ""
    lines = [
        f"{found['folder']}: {state}{said}",
        f"oracle: {found['oracle']}: {found['oracle_note']}",
        f"{found['spent']} of {found['budget']} oracle calls in {n_round} rounds{f' ({statuses})' if statuses else ''}; "
        f"known set of {found['n_known']}; {imported}{found['pending']} to be measured",
        *(f"  known, not converged: {formula}: {error}" for formula, error in found["known_failed"][:5]),
    ]
    if len(found["known_failed"]) > 5:
        lines.append(f"  and {len(found['known_failed']) - 5} more of the known set")
    if state in ("stopped", "interrupted"):
        lines.append(f"next: matjax campaign resume {shlex.quote(found['folder'])}")
    return lines


def why_lines(found: Mapping[str, Any]) -> list[str]:
    """What is known of a candidate (see `matjax.campaign.why`) in words."""
    where = "the known set" if found["round"] < 0 else f"round {found['round']}, pick {found['slot'] + 1} of {found['of']}"
    how = "measured elsewhere, imported" if found["why"] == "imported" else f"{where}, picked as {found['why']}"
    lines = [f"{found['candidate']} ({found['key']}): {how}"]
    lines += [f"  {name}: {found[name]}" for name in ("proposer", "acquisition", "oracle") if found[name]]
    for title, facts in (("model", found["model"]), ("predicted", found["predicted"]), ("worth", found["truth"] or {})):
        lines += [f"  {title} {name}: {_shown(value)}" for name, value in facts.items() if value is not None]
    told = lambda row: f" ({row['error']})" if row["error"] else ""
    for row in found["attempts"]:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["submitted"]))
        took = "" if row["seconds"] is None else f", {row['seconds']:.1f} s"
        lines.append(f"  attempt {row['attempt'] + 1}, {when}{took}: {row['state']}{told(row)}")
    lines += [f"  set aside: {row['status']}: {row['error']}" for row in found["set_aside"]]
    for i, row in enumerate(found["crystals"]):
        numbers = ", ".join(f"{name} {_shown(value)}" for name, value in {**row["labels"], **row["evidence"]}.items())
        lines.append(f"  crystal {i + 1}: {row['status']}{told(row)}{f'; {numbers}' if numbers else ''}")
    return [*lines, f"  oracle calls: {found['charged']}"]


def _shown(value: Any) -> str:
    """A number with four digits; of a table, its entries."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(entry)}" for name, entry in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
