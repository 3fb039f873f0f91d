"""`matjax doctor`: is this installation sound, and what is this data set?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matjax.cli.health import Finding

COLOURS = {"pass": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    file: Annotated[
        str | None, typer.Argument(help="A data set: embedded name, file or folder. Without it, the installation is examined.")
    ] = None,
    hull: Annotated[
        str | None,
        typer.Option(help="Data set that spans the hull (name or file), `flla` by default; not fitting a hull named here fails."),
    ] = None,
    format: Annotated[str | None, typer.Option(help="File format, where the name does not say.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Label to read; may be given again. By default all that are there.")] = None,
    targets: Annotated[Path | None, typer.Option(help="CSV with the targets of a folder of structures.")] = None,
    units: Annotated[list[str] | None, typer.Option(help="Unit of a label in the file, such as energy=Ha; may be given again.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of lines for people.")] = False,
) -> None:
    """Examine this installation, or a data set.

    Without FILE: versions and releases with known defects, devices, memory, disk, the cache of compiled programs, and, by computing
    them, a scatter, a compile, the forces of jit against eager and of vmapped against mapped members, scopes of float64. About
    fifteen seconds.

    With FILE: what the data are, what was set aside and why, duplicates, outliers, which shifts a stress test would pick and how
    large their parts are, and whether the energies can be put on a hull.

    Every line says pass, warn or fail; the exit code is 1 if something failed.

    For example:

    `matjax doctor`

    `matjax doctor --json > health.json`

    `matjax doctor frames.extxyz`

    `matjax doctor flla`

    `matjax doctor structures/ --targets energies.csv --units formation_energy_per_atom=kJ/mol/atom`

    `matjax doctor mine.json --hull reference.json` fails if the formation energies cannot be compared
    """
    text, findings = _examined(file, hull, format, label, targets, units) if file is not None else ("", _installation())
    shown = list(findings) if json_ else _printed(text, findings)
    status = _worst(shown)
    if json_:
        record = {"status": status, "findings": [dataclasses.asdict(f) for f in shown], **({"description": text} if text else {})}
        typer.echo(json.dumps(record, indent=1, ensure_ascii=False))
    raise typer.Exit(1 if status == "fail" else 0)


def _worst(findings: list[Finding]) -> str:
    from matjax.cli.health import worst

    return worst(findings)


def _installation() -> Iterable[Finding]:
    """Checks of the installation, the cheap ones first; nothing is computed with a release that aborts."""
    from matjax.cli.health import Finding, cache, installed, known_bad, machine, python, releases

    versions = installed()
    found = releases(versions)
    yield python()
    yield from found
    yield machine()
    bad = known_bad(versions["jax"])
    if "absent" in versions.values() or (bad is not None and bad.aborts):
        yield Finding("computation", "fail", "not tried with these packages", "install what is named above, and run this again")
        return
    import jax

    yield cache(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
    try:
        from matjax.cli.numerics import findings
    except (ImportError, AttributeError) as error:  # releases that do not fit each other fail at import
        yield Finding(
            "import", "fail", f"{type(error).__name__}: {error}", "the releases above do not fit each other: pip install -U matjax"
        )
        return
    yield from findings()


def _examined(
    file: str, hull: str | None, format: str | None, label: list[str] | None, targets: Path | None, units: list[str] | None
) -> tuple[str, Iterable[Finding]]:
    """A description of a data set, and the checks."""
    from matjax.cli.examine import examine
    from matjax.data import load
    from matjax.data.read import describe

    dataset = load(file, format=format, label=label or None, units=parse_units(units), targets=targets)
    return describe(dataset), examine(dataset, load(hull or "flla"), asked=hull is not None)


def parse_units(units: list[str] | None) -> dict[str, str] | None:
    """`["energy=Ha"]` -> `{"energy": "Ha"}`; None for none.

    Raises:
      ValueError: If there is no `=`.
    """
    for unit in units or ():
        if "=" not in unit:
            raise ValueError(f"--units {unit!r} names no unit; write LABEL=UNIT, such as energy=Ha")
    return {name: value for name, _, value in (unit.partition("=") for unit in units)} if units else None


def _printed(text: str, findings: Iterable[Finding]) -> list[Finding]:
    """Prints every finding as it comes, and the count at the end."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console, shown = Console(highlight=False), []
    if text:
        console.print(Text(text), end="\n\n")
    for finding in findings:
        shown.append(finding)
        console.print(_row(finding))
        if finding.advice:
            console.print(Padding(Text(f"→ {finding.advice}", style="italic"), (0, 0, 0, 21)))
    counts = {status: sum(f.status == status for f in shown) for status in COLOURS}
    console.print(Text.assemble("\n", *((f"{n} {status}  ", COLOURS[status]) for status, n in counts.items() if n)))
    return shown


def _row(finding: Finding) -> object:
    """Mark, name, and what was found, wrapped beside them."""
    from rich.table import Table
    from rich.text import Text

    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=4)
    row.add_column(width=13)
    row.add_column()
    row.add_row(Text(finding.status, style=COLOURS[finding.status]), finding.name, Text(finding.said))
    return row
