"""What `matjax thermo FILE.csv` does: a table of phases to their convex hull, and the hull to text and files."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from pymatgen.core import Composition
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from matjax.data.elements import number
from matjax.report.thermo_figures import binary_hull, ternary_hull
from matjax.thermo.host import float64
from matjax.thermo.hull.lower_hull import NO_PHASE, lower_hull
from matjax.units import energy_to_ev

MOST_ROWS = 50
CHUNK = 64
FORMULA, ENERGY, FORMATION = ("formula", "composition"), "energy_per_atom", "formation_energy_per_atom"
REFERENCE = "reference"  # id of an element that a table of formation energies leaves out, at 0 by definition

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Entries:
    """Phases with their formation energies.

    Attributes:
      ids: From the table's `id` column; empty strings without one.
      formulas: Reduced formulas.
      lines: Line of the file [n]; 0 for a reference that was added.
      elements: Symbols, sorted.
      x: Atomic fractions [n, n_element].
      energies: Relative to the lowest entry of each element, eV/atom [n].
    """

    ids: tuple[str, ...]
    formulas: tuple[str, ...]
    lines: tuple[int, ...]
    elements: tuple[str, ...]
    x: np.ndarray
    energies: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """What a reader calls each entry: the formula, with its id where there is one."""
        return tuple(f"{f} ({i})" if i and i != REFERENCE else f for f, i in zip(self.formulas, self.ids, strict=True))


def read_entries(path: Path, unit: str = "eV/atom") -> Entries:
    """The phases of a CSV table.

    Args:
      path: Columns `formula` (or `composition`), `energy_per_atom` or `formation_energy_per_atom` (which is taken if both are
        there), and optionally `id`. Lines that start with # are comments.
      unit: Of the energies.

    Raises:
      FileNotFoundError: If there is no such file.
      ValueError: If a column is missing, a cell cannot be used (naming its line), an entry occurs twice, or an element has no
        entry to be its reference.
    """
    lines, columns = _read(path)
    formula = next((name for name in FORMULA if name in columns), None)
    energy = next((name for name in (FORMATION, ENERGY) if name in columns), None)
    if formula is None or energy is None:
        raise ValueError(f"{path}: needs a column {' or '.join(FORMULA)} and a column {ENERGY} or {FORMATION}; found {', '.join(columns)}")
    compositions = [_composition(text, f"{path}, line {line}") for text, line in zip(columns[formula], lines, strict=True)]
    energies = [_number(text, f"{path}, line {line}: {energy}") for text, line in zip(columns[energy], lines, strict=True)]
    ids = [text.strip() for text in columns.get("id", [""] * len(lines))]
    elements = tuple(sorted({str(e) for c in compositions for e in c.elements}))
    x = np.array([[c.get_atomic_fraction(e) for e in elements] for c in compositions])
    found = Entries(
        tuple(ids), tuple(c.reduced_formula for c in compositions), tuple(lines), elements, x, np.array(energies) * energy_to_ev(unit)
    )
    _refuse_duplicates(found, path)
    return _with_zero_references(found, path) if energy == FORMATION else _relative(found, path)


def hull_rows(entries: Entries) -> tuple[Row, ...]:
    """Every entry against all others, in the order of the file.

    `stability` is the energy minus that of the lowest mixture of other entries, eV/atom: negative on the hull (by how much),
    None where there is no competitor; `energy_above_hull` is the same where it is positive, else 0; `decomposition` lists that
    mixture as {phase: share of the atoms}.
    """
    values, indices, fractions = _against_others(entries.x, entries.energies)
    return tuple(_row(entries, i, values[i], indices[i], fractions[i]) for i in range(len(entries.ids)))


def draw(entries: Entries, rows: Sequence[Row]) -> Figure:
    """The hull of two or three elements."""
    above, energies = np.array([row["energy_above_hull"] for row in rows]), entries.energies
    if len(entries.elements) == 2:
        return binary_hull(entries.elements, entries.x[:, 1], energies, above, entries.formulas)
    return ternary_hull(entries.elements, entries.x, energies, above, entries.formulas)


def check_drawable(entries: Entries) -> None:
    """Refuses, before any work, a plot of other than two or three elements.

    Raises:
      ValueError: Naming the elements.
    """
    n = len(entries.elements)
    if n not in (2, 3):
        raise ValueError(f"--plot draws hulls of two or three elements; the file has {n}: {' '.join(entries.elements)}")


def as_json(entries: Entries, rows: Sequence[Row]) -> str:
    """Everything."""
    return (
        json.dumps({"elements": entries.elements, "unit": "eV/atom", "entries": rows}, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    )


def as_csv(rows: Sequence[Row]) -> str:
    """One line per entry; the decomposition as text."""
    text = io.StringIO()
    names = [name for name in rows[0] if name != "composition"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row[name]) for name in names] for row in rows)
    return text.getvalue()


def mixture(phases: Mapping[str, float]) -> str:
    """A mixture in words: `0.75 NiAl + 0.25 Ni`, shares of the atoms."""
    return " + ".join(name if f > 1 - 1e-9 else f"{f:.3g} {name}" for name, f in phases.items())


def show(console: Console, entries: Entries, rows: Sequence[Row]) -> None:
    """The lowest entries as a table, and what the columns mean."""
    on_hull = sum(row["energy_above_hull"] == 0 for row in rows)
    table = Table(title=f"Convex hull of {'-'.join(entries.elements)}: {len(rows):,} entries, {on_hull:,} on it")
    several_ids = any(row["id"] for row in rows)
    for head in (*(["id"] if several_ids else []), "formula"):
        table.add_column(head, overflow="fold")
    for head in ("formation\neV/atom", "above hull\nmeV/atom", "against others\nmeV/atom"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("lowest mixture of others (shares of the atoms)", overflow="fold")
    ordered = sorted(rows, key=lambda row: (row["energy_above_hull"], -1 if row["stability"] is None else row["stability"]))
    for row in ordered[:MOST_ROWS]:
        against = "—" if row["stability"] is None else f"{1e3 * row['stability']:+.1f}"
        above = "[green]on it[/]" if row["energy_above_hull"] == 0 else f"{1e3 * row['energy_above_hull']:.1f}"
        cells = [
            *([escape(row["id"])] if several_ids else []),
            escape(row["formula"]),
            f"{row['formation_energy_per_atom']:.4f}",
            above,
            against,
        ]
        table.add_row(*cells, escape(mixture(row["decomposition"])) or "—")
    console.print(table)
    if len(rows) > MOST_ROWS:
        console.print(f"... {len(rows) - MOST_ROWS:,} more; --out FILE.csv writes all", highlight=False)
    console.print("Energies as given: no temperature, no zero-point energy, and no phase that is not in the file.", highlight=False)


def _against_others(x: np.ndarray, energies: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per entry: energy minus the hull of the others [n], and that mixture (indices, fractions [n, n_element])."""
    n = len(x)
    rows = 64 * -(-n // 64)  # few shapes, few compilations
    points = np.vstack([x, np.tile(x[:1], (rows - n, 1))])
    levels = np.concatenate([energies, np.full(rows - n, NO_PHASE)])
    values, indices, fractions = [], [], []
    for first in range(0, n, CHUNK):
        own = np.minimum(np.arange(first, first + CHUNK), n - 1)
        with float64():
            hull = _hulls(points[own], points, levels, np.arange(rows) != own[:, None])
        values.append(levels[own] - np.asarray(hull.energy))
        indices.append(np.asarray(hull.indices))
        fractions.append(np.asarray(hull.fractions))
    return np.concatenate(values)[:n], np.concatenate(indices)[:n], np.concatenate(fractions)[:n]


_hulls = jax.jit(jax.vmap(lower_hull, in_axes=(0, None, None, 0)))


def _row(entries: Entries, i: int, value: float, indices: np.ndarray, fractions: np.ndarray) -> Row:
    alone = not math.isfinite(value)
    parts = sorted(((float(f), entries.names[j]) for j, f in zip(indices, fractions, strict=True) if f > 0), reverse=True)
    return {
        "line": entries.lines[i] or None,
        "id": entries.ids[i],
        "formula": entries.formulas[i],
        "composition": {s: float(f) for s, f in zip(entries.elements, entries.x[i], strict=True) if f > 0},
        "formation_energy_per_atom": float(entries.energies[i]),
        "energy_above_hull": 0.0 if alone or value <= 1e-9 else float(value),
        "stability": None if alone else float(value),
        "decomposition": {} if alone else {name: f for f, name in parts},
    }


def _cell(value: Any) -> Any:
    """A value in a CSV file: mixtures in words, None as nothing, floats to 1e-9."""
    if isinstance(value, dict):
        return mixture(value)
    return "" if value is None else round(value, 9) if isinstance(value, float) else value


def _read(path: Path) -> tuple[list[int], dict[str, list[str]]]:
    """Line numbers and {column: cells} of a CSV table."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no UTF-8 text ({error.reason}); save it as CSV in UTF-8") from error
    kept = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip() and not line.lstrip().startswith("#")]
    if len(kept) < 2:
        raise ValueError(f"{path}: needs a line of column names and at least one entry; found {len(kept)} lines")
    delimiter = ";" if ";" in kept[0][1] and "," not in kept[0][1] else ","
    table = list(csv.reader([line for _, line in kept], delimiter=delimiter))
    head = [name.strip().lower() for name in table[0]]
    for (n, _), cells in zip(kept[1:], table[1:], strict=True):
        if len(cells) != len(head):
            raise ValueError(f"{path}, line {n}: {len(cells)} cells for {len(head)} columns ({', '.join(head)})")
    return [n for n, _ in kept[1:]], {name: [cells[i] for cells in table[1:]] for i, name in enumerate(head)}


def _composition(text: str, where: str) -> Composition:
    """The composition of a formula.

    Raises:
      ValueError: If a symbol is no element or the text no formula.
    """
    try:
        for symbol in re.findall(r"[A-Z][a-z]?", text):
            number(symbol)
        found = Composition("".join(text.split()), strict=True)
    except ValueError as error:
        raise ValueError(f"{where}: {text!r} is no formula: {error}") from error
    if found.num_atoms <= 0:
        raise ValueError(f"{where}: {text!r} is no formula: it has no atoms")
    return found


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where} is {text.strip()!r}, not a finite number; correct the line or comment it out with #")
    return value


def _refuse_duplicates(entries: Entries, path: Path) -> None:
    """Polymorphs are welcome; the same id, or the same phase with the same energy, twice is a mistake."""
    seen: dict[Any, int] = {}
    for i, line in enumerate(entries.lines):
        content = (entries.ids[i], entries.formulas[i], *np.round(entries.x[i], 9), entries.energies[i])
        for key, what in ((entries.ids[i], f"id {entries.ids[i]!r}"), (content, f"{entries.formulas[i]} with the same energy")):
            if key and key in seen:
                raise ValueError(f"{path}: {what} stands in line {seen[key]} and again in line {line}; keep one")
            seen[key] = line


def _with_zero_references(entries: Entries, path: Path) -> Entries:
    """Formation energies, with the elements that are not listed at 0."""
    absent = []
    for i, symbol in enumerate(entries.elements):
        own = entries.x[:, i] > 1 - 1e-9
        lowest = entries.energies[own].min() if own.any() else math.inf
        if lowest < -1e-3:
            line = entries.lines[int(np.argmin(np.where(own, entries.energies, np.inf)))]
            raise ValueError(
                f"{path}, line {line}: {symbol} has a formation energy of {lowest:g} eV/atom, but an element's lowest is 0 by definition; "
                f"total energies belong in a column {ENERGY}"
            )
        absent += [i] if lowest > 1e-3 else []
    n = len(absent)
    return dataclasses.replace(
        entries,
        ids=entries.ids + (REFERENCE,) * n,
        formulas=entries.formulas + tuple(entries.elements[i] for i in absent),
        lines=entries.lines + (0,) * n,
        x=np.vstack([entries.x, np.eye(len(entries.elements))[absent]]),
        energies=np.concatenate([entries.energies, np.zeros(n)]),
    )


def _relative(entries: Entries, path: Path) -> Entries:
    """Energies relative to the lowest entry of each element.

    Raises:
      ValueError: If an element has none; the message names it and an entry that needs it.
    """
    pure = entries.x.T > 1 - 1e-9
    for i, symbol in enumerate(entries.elements):
        if not pure[i].any():
            needs = int(np.argmax(entries.x[:, i] > 0))
            raise ValueError(
                f"{path}: no entry of pure {symbol}, which {entries.formulas[needs]} in line {entries.lines[needs]} needs as a reference; "
                f"add a line for {symbol}, or give {FORMATION}"
            )
    references = np.where(pure, entries.energies, np.inf).min(1)
    return dataclasses.replace(entries, energies=entries.energies - entries.x @ references)
