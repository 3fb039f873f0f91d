"""`matjax thermo diagram` and `equilibrium`: phases of a thermodynamic database, over temperature and composition."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from matjax.cli.temperatures import N_DEFAULT, parse_temperatures
from matjax.report.phase_diagram_figures import binary_diagram, ternary_diagram
from matjax.thermo.calphad import Database, TieLines, binary_section, equilibria, read_tdb, temperature_range, ternary_section

Row = dict[str, Any]


def read(path: Path, elements: str, phases: str | None) -> Database:
    """The phases of some elements in a TDB file; vacancies come along.

    Raises:
      ValueError: If no element or an unknown phase is asked for.
    """
    symbols = [word.strip().capitalize() for word in elements.replace(",", " ").split()]
    if len(set(symbols)) < len(symbols) or not symbols:
        raise ValueError(f"--elements {elements!r}: give each element once, such as 'Al Zn'")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    wanted = None if phases is None else [word.strip().upper() for word in phases.replace(",", " ").split()]
    return read_tdb(path, symbols, wanted)


def temperatures(text: str | None, database: Database) -> np.ndarray:
    """`800`, `500,800` or `low:high:count`; the whole range of the database if not given.

    Raises:
      ValueError: If the text is none of these, or leaves the range of the database.
    """
    low, high = temperature_range(database.system)
    if text is None:
        return np.linspace(np.ceil(low), min(high, 3000.0), N_DEFAULT)
    found = parse_temperatures(text)
    if not np.all((found >= low) & (found <= high)):
        raise ValueError(f"--temperature {text!r}: the database holds from {low:g} to {high:g} K")
    return found


def composition(text: str, database: Database) -> np.ndarray:
    """Atomic fractions from `Al 0.6 Zn 0.4`.

    Raises:
      ValueError: If it is no such text, an element is not in the database, or fractions do not sum to one.
    """
    words = text.replace(",", " ").replace("=", " ").split()
    try:
        given = {words[i].capitalize(): float(words[i + 1]) for i in range(0, len(words), 2)}
    except (ValueError, IndexError):
        raise ValueError(f"--composition {text!r}: give atomic fractions such as 'Al 0.6 Zn 0.4'") from None
    if unknown := set(given) - set(database.elements):
        raise ValueError(f"--composition {text!r}: {', '.join(sorted(unknown))} not among the elements {', '.join(database.elements)}")
    x = np.array([given.get(symbol, 0.0) for symbol in database.elements])
    if (x < 0).any() or abs(x.sum() - 1) > 1e-6:
        raise ValueError(f"--composition {text!r}: fractions are positive and sum to 1, these to {x.sum():g}")
    return x


def section(database: Database, at: np.ndarray) -> tuple[TieLines, TieLines | None]:
    """Tie lines of a binary over temperatures, or of a ternary at one, with its triangles.

    Raises:
      ValueError: If there are neither two elements nor three at one temperature.
    """
    n = len(database.elements)
    if n == 2:
        return binary_section(database, at), None
    if n == 3 and len(at) == 1:
        return ternary_section(database, float(at[0]))
    raise ValueError(
        f"{n} elements at {len(at)} temperatures: a diagram has two elements over temperature or three at one (--temperature 800); "
        "`matjax thermo equilibrium` takes any number at a composition"
    )


def draw(database: Database, at: np.ndarray, lines: TieLines, triangles: TieLines | None) -> Figure:
    """The section as the field draws it."""
    if triangles is None:
        return binary_diagram(database.elements, database.phases, lines, (float(at.min()), float(at.max())))
    return ternary_diagram(database.elements, database.phases, lines, triangles, float(at[0]))


def section_rows(database: Database, *found: TieLines | None) -> list[Row]:
    """One row per tie line or triangle: temperature, and name and composition of every phase."""
    rows: list[Row] = []
    for lines in (part for part in found if part is not None):
        for temperature, phases, x in zip(lines.temperature, lines.phase, lines.x, strict=True):
            row: Row = {"temperature": float(temperature)}
            for k, (phase, at) in enumerate(zip(phases, x, strict=True), start=1):
                row[f"phase_{k}"] = database.phases[int(phase)]
                row |= {f"x_{symbol}_{k}": float(value) for symbol, value in zip(database.elements, at, strict=True)}
            rows.append(row)
    return rows


def equilibrium_rows(database: Database, at: np.ndarray, x: np.ndarray) -> list[Row]:
    """One row per temperature and phase in equilibrium: share of the atoms, composition; and what all share."""
    found = equilibria(database, at, np.tile(x, (len(at), 1)))
    rows: list[Row] = []
    for i, temperature in enumerate(at):
        shared = {"temperature": float(temperature), "converged": bool(found.converged[i]), "gibbs_energy": float(found.energy[i])}
        for phase, share, inside in zip(found.phase[i], found.fractions[i], found.compositions[i], strict=True):
            if phase >= 0:
                inner = {f"x_{symbol}": float(v) for symbol, v in zip(database.elements, inside, strict=True)}
                rows.append({**shared, "phase": database.phases[int(phase)], "fraction": float(share), **inner})
        if not found.converged[i]:
            rows.append({**shared, "phase": "", "fraction": float("nan")})
    return rows


def write(path: Path, rows: Sequence[Row]) -> None:
    """As .json or .csv."""
    if path.suffix == ".json":
        known = [{k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()} for row in rows]  # NaN is no JSON
        path.write_text(json.dumps(known, indent=1), encoding="utf-8")
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def show_section(console: Console, database: Database, at: np.ndarray, *found: TieLines | None) -> None:
    """Which phases coexist, and from which to which temperature."""
    console.print(f"{'-'.join(database.elements)}: {len(database.phases)} phases, {at.min():g} to {at.max():g} K", highlight=False)
    _warn(console, database)
    table = Table("phases", "from K", "to K", "tie lines")
    fields: dict[tuple[str, ...], list[float]] = {}
    for lines in (part for part in found if part is not None):
        for temperature, phases in zip(lines.temperature, lines.phase, strict=True):
            fields.setdefault(tuple(sorted(database.phases[int(p)] for p in phases)), []).append(float(temperature))
    for phases, levels in sorted(fields.items(), key=lambda item: min(item[1])):
        table.add_row(" + ".join(phases), f"{min(levels):g}", f"{max(levels):g}", str(len(levels)))
    console.print(table)


def show_equilibrium(console: Console, database: Database, rows: Sequence[Row]) -> None:
    """The phases at each temperature."""
    _warn(console, database)
    table = Table("T (K)", "phase", "share of atoms", *(f"x({symbol})" for symbol in database.elements), "G (eV/atom)")
    for row in rows:
        inside = [f"{row.get(f'x_{symbol}', float('nan')):.5f}" for symbol in database.elements]
        name = row["phase"] or "not converged"
        table.add_row(f"{row['temperature']:g}", name, f"{row['fraction']:.5f}", *inside, f"{row['gibbs_energy']:.6f}")
    console.print(table)


def _warn(console: Console, database: Database) -> None:
    if absent := {phase: names for phase, names in database.missing.items() if names}:
        said = "; ".join(f"{phase} ({len(names)})" for phase, names in absent.items())
        console.print(f"end members without a parameter, taken as zero: {said}", highlight=False, soft_wrap=True)
