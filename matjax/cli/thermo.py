"""`matjax thermo`: a convex hull of your phases, or free energies of mixing from the embedded laboratory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console


def thermo(
    file: Annotated[
        Path | None,
        typer.Argument(help="CSV of phases: columns formula, energy_per_atom or formation_energy_per_atom, and id if you like."),
    ] = None,
    unit: Annotated[str, typer.Option(help="Unit of the energies in the file, such as meV/atom or kJ/mol.")] = "eV/atom",
    elements: Annotated[str | None, typer.Option(help="Instead of a file: two metals, such as 'Cu Ni', for G(x, T) curves.")] = None,
    lattice: Annotated[str, typer.Option(help="Lattice of the curves: fcc, bcc or hcp.")] = "fcc",
    temperature: Annotated[str, typer.Option(help="Temperatures of the curves in K, separated by commas.")] = "300,600,1000",
    out: Annotated[Path | None, typer.Option(help="Write all rows to this file, .csv or .json.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw to this .svg file (hulls: two or three elements).")] = None,
) -> None:
    """Which phases are stable: a convex hull of your energies, or free energies of mixing of two metals.

    With a FILE, each entry gets its energy above the hull, its energy against all other entries (negative: stable, by how much)
    and the mixture that it is held against. Every element needs its own entry as a reference, unless the energies are
    formation energies. Lines that start with # are comments.

    With `--elements`, random solutions and ordered compounds of two metals are measured in the embedded laboratory (an
    embedded-atom model system of sixteen metals: for trying things out, not a claim about the real alloy), and the free energy
    of mixing on a lattice is listed at each temperature, with the common tangents between the phases that are stable.

    **Examples**

    `matjax thermo phases.csv --plot hull.svg`

    `matjax thermo mp-export.csv --out above_hull.csv`

    `matjax thermo --elements "Cu Ni" --lattice fcc --temperature 300,600,1000 --plot mixing.svg`
    """
    from rich.console import Console

    from matjax.cli.predict_run import check_out

    check_out(out)
    if plot is not None and (plot.suffix != ".svg" or not plot.parent.is_dir()):
        raise ValueError(f"{plot}: the plot is an .svg file in a folder that exists; name it accordingly")
    if (file is None) == (elements is None):
        came = "neither came" if file is None else "both came"
        raise ValueError(f"a FILE of phases or --elements is needed, one of the two; {came} (matjax thermo --help)")
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    if file is not None:
        _hull(console, file, unit, out, plot)
    else:
        _curves(console, str(elements), lattice, temperature, out, plot)


def _hull(console: Console, file: Path, unit: str, out: Path | None, plot: Path | None) -> None:
    from matjax.cli import thermo_hull as run
    from matjax.report.style import to_svg

    entries = run.read_entries(file, unit)
    if plot is not None:
        run.check_drawable(entries)
    rows = run.hull_rows(entries)
    if out is not None:
        out.write_text(run.as_json(entries, rows) if out.suffix == ".json" else run.as_csv(rows), encoding="utf-8")
    if plot is not None:
        plot.write_text(to_svg(run.draw(entries, rows)), encoding="utf-8")
    run.show(console, entries, rows)


def _curves(console: Console, elements: str, lattice: str, temperature: str, out: Path | None, plot: Path | None) -> None:
    from matjax.cli import thermo_curves as run
    from matjax.report.style import to_svg
    from matjax.simulate.laboratory import Laboratory

    oracle = Laboratory()
    found = run.curves(*run.parse(elements, lattice, temperature, oracle.elements), oracle)
    if out is not None:
        out.write_text(run.as_json(found) if out.suffix == ".json" else run.as_csv(found), encoding="utf-8")
    if plot is not None:
        plot.write_text(to_svg(run.draw(found)), encoding="utf-8")
    run.show(console, found)
