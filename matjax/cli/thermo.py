"""`matjax thermo`: phase stability, of your energies, of a database's phases, of a network's crystals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

thermo = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Which phases are stable: convex hulls, free energies of mixing, phase diagrams, Gibbs energies of crystals.",
)

Out = Annotated[Path | None, typer.Option(help="Write all rows to this file, .csv or .json.")]
Plot = Annotated[Path | None, typer.Option(help="Draw to this .svg file.")]


@thermo.command("hull")
def hull(
    file: Annotated[
        Path, typer.Argument(help="CSV of phases: columns formula, energy_per_atom or formation_energy_per_atom, and id if you like.")
    ],
    unit: Annotated[str, typer.Option(help="Unit of the energies in the file, such as meV/atom or kJ/mol.")] = "eV/atom",
    out: Out = None,
    plot: Plot = None,
) -> None:
    """The convex hull of your energies: what is stable, by how much, and what the rest falls apart into.

    Each entry gets its energy above the hull, its energy against all other entries (negative: stable, by how much) and the
    mixture that it is held against. Every element needs its own entry as a reference, unless the energies are formation
    energies. Lines that start with # are comments. Hulls of two or three elements can be drawn.

    **Examples**

    `matjax thermo hull phases.csv --plot hull.svg`

    `matjax thermo hull mp-export.csv --out above_hull.csv`
    """
    from matjax.cli import thermo_hull as run
    from matjax.report.style import to_svg

    check_outputs(out, plot)
    entries = run.read_entries(file, unit)
    if plot is not None:
        run.check_drawable(entries)
    rows = run.hull_rows(entries)
    if out is not None:
        out.write_text(run.as_json(entries, rows) if out.suffix == ".json" else run.as_csv(rows), encoding="utf-8")
    if plot is not None:
        plot.write_text(to_svg(run.draw(entries, rows)), encoding="utf-8")
    run.show(wide_console(), entries, rows)


@thermo.command("mixing")
def mixing(
    elements: Annotated[str, typer.Argument(help="Two metals, such as 'Cu Ni'.")],
    lattice: Annotated[str, typer.Option(help="Lattice of the curves: fcc, bcc or hcp.")] = "fcc",
    temperature: Annotated[str, typer.Option(help="Temperatures of the curves in K, separated by commas.")] = "300,600,1000",
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Gibbs energies of mixing of two metals in the embedded laboratory, with the common tangents between stable phases.

    Random solutions and ordered compounds are measured in an embedded-atom model system of seventeen metals: for trying things
    out, not a claim about the real alloy.

    Example: `matjax thermo mixing "Cu Ni" --lattice fcc --temperature 300,600,1000 --plot mixing.svg`
    """
    from matjax.cli import thermo_mixing as run
    from matjax.report.style import to_svg
    from matjax.simulate.laboratory import Laboratory

    check_outputs(out, plot)
    oracle = Laboratory()
    found = run.curves(*run.parse(elements, lattice, temperature, oracle.elements), oracle)
    if out is not None:
        out.write_text(run.as_json(found) if out.suffix == ".json" else run.as_csv(found), encoding="utf-8")
    if plot is not None:
        plot.write_text(to_svg(run.draw(found)), encoding="utf-8")
    run.show(wide_console(), found)


Database = Annotated[Path, typer.Argument(help="A thermodynamic database, .tdb (pip install 'matjax\\[calphad]').")]
Elements = Annotated[str, typer.Option(help="Elements that are read, such as 'Al Zn'.")]
Phases = Annotated[str | None, typer.Option(help="Phases that may form, such as 'LIQUID FCC_A1'; all of them by default.")]


@thermo.command("diagram")
def diagram(
    file: Database,
    elements: Elements,
    phases: Phases = None,
    temperature: Annotated[
        str | None, typer.Option(help="K: low:high:count for two elements, one for three; the database's range by default.")
    ] = None,
    out: Out = None,
    plot: Plot = None,
) -> None:
    """A phase diagram from a TDB file: two elements over temperature, or three at one temperature.

    Lists which phases coexist and where; `--out` has every tie line, `--plot` the diagram.

    **Examples**

    `matjax thermo diagram alzn.tdb --elements "Al Zn" --temperature 300:950:66 --plot al-zn.svg`

    `matjax thermo diagram alcocrni.tdb --elements "Al Co Ni" --temperature 1173 --plot section.svg`
    """
    from matjax.cli import thermo_diagram as run
    from matjax.report.style import to_svg

    check_outputs(out, plot)
    database = run.read(file, elements, phases)
    at = run.temperatures(temperature, database)
    found = run.section(database, at)
    if out is not None:
        run.write(out, run.section_rows(database, *found))
    if plot is not None:
        plot.write_text(to_svg(run.draw(database, at, *found)), encoding="utf-8")
    run.show_section(wide_console(), database, at, *found)


@thermo.command("equilibrium")
def equilibrium(
    file: Database,
    elements: Elements,
    composition: Annotated[str, typer.Option(help="Atomic fractions, such as 'Al 0.6 Zn 0.4'.")],
    temperature: Annotated[str | None, typer.Option(help="K: 800, 500,800 or low:high:count.")] = None,
    phases: Phases = None,
    out: Out = None,
) -> None:
    """The phases in equilibrium at a composition, by a TDB file: shares, compositions, Gibbs energy.

    Example: `matjax thermo equilibrium alzn.tdb --elements "Al Zn" --composition "Al 0.6 Zn 0.4" --temperature 500,600,700`
    """
    from matjax.cli import thermo_diagram as run

    check_outputs(out, None)
    database = run.read(file, elements, phases)
    rows = run.equilibrium_rows(database, run.temperatures(temperature, database), run.composition(composition, database))
    if out is not None:
        run.write(out, rows)
    run.show_equilibrium(wide_console(), database, rows)


@thermo.command("gibbs")
def gibbs(
    files: Annotated[list[str], typer.Argument(metavar="FILES", help="Crystals: CIF, POSCAR, extxyz, ASE db, json, or folders of them.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A named potential or a model file trained on energies and forces.")],
    temperature: Annotated[str, typer.Option(help="K: 300,600 or low:high:count.")] = "0:1200:13",
    vibrations: Annotated[
        str, typer.Option(help="debye (cheap, for metals), harmonic (phonons), quasi-harmonic (with expansion).")
    ] = "harmonic",
    relax: Annotated[bool, typer.Option(help="Relax positions and cell first.")] = True,
    format: Annotated[str | None, typer.Option(help="File format, where the names do not say.")] = None,
    out: Out = None,
    plot: Plot = None,
) -> None:
    """Gibbs energies of crystals over temperature by a potential: G, H, S, heat capacity, volume, expansion.

    Each crystal is reduced to its primitive cell and relaxed. Phonons are exact second derivatives in a supercell with at least 10 Å
    between images; a crystal with imaginary modes is not at a minimum and has no free energy, which is said.

    **Examples**

    `matjax thermo gibbs POSCAR --model nequix-oam-1-pft --temperature 0:1200:25 --plot g.svg`

    `matjax thermo gibbs cifs/ --model nequix-oam-1-pft --vibrations quasi-harmonic --out g.csv`
    """
    from matjax.cli import thermo_gibbs as run
    from matjax.cli.temperatures import parse_temperatures
    from matjax.cli.thermo_diagram import write
    from matjax.report.style import to_svg

    check_outputs(out, plot)
    at = parse_temperatures(temperature)
    rows, given = run.run(files, model, vibrations, at, relax, format)
    if out is not None:
        write(out, rows)
    if plot is not None:
        plot.write_text(to_svg(run.draw(rows)), encoding="utf-8")
    run.show(wide_console(), rows, model, vibrations)
    for file, record, reason in given.set_aside:
        typer.echo(f"set aside: {file}{': ' * bool(record)}{record}: {reason}", err=True)


def check_outputs(out: Path | None, plot: Path | None) -> None:
    """Refuses files that could not be written in the end, before anything is computed.

    Raises:
      ValueError: If a suffix is unknown or a folder does not exist.
    """
    from matjax.cli.predict_run import check_out

    check_out(out)
    if plot is not None and (plot.suffix != ".svg" or not plot.parent.is_dir()):
        raise ValueError(f"{plot}: the plot is an .svg file in a folder that exists; name it accordingly")


def wide_console() -> Console:
    """A terminal as it is, a pipe 140 columns wide."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=140)
