"""A table of known answers as an oracle: rows by formula and structure, from a file."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import spglib
from pymatgen.core import Composition

from matjax.campaign.oracle import check_symbols, failed
from matjax.config import spec
from matjax.data.elements import SYMBOLS, number
from matjax.types import Crystal, Result
from matjax.units import ENERGY, PRESSURE

PARENTS = {225: "fcc", 229: "bcc", 194: "hcp"}
"""Lattices by the space group of their sites, whatever sits on them."""

UNITS: Mapping[str, Mapping[str, float]] = {
    "energy": {f"{unit}/atom": factor for unit, factor in ENERGY.items()},
    "volume": {"Å³/atom": 1.0, "A3/atom": 1.0, "nm³/atom": 1e3},
    "bulk_modulus": PRESSURE,
    "shear_modulus": PRESSURE,
}
"""Columns of numbers and their units; "kJ/mol/atom" is a kJ per mole of atoms."""

REQUIRED = ("energy", "volume")


class Row(NamedTuple):
    """What a table says of a crystal: eV/atom, Å³/atom; moduli in eV/Å³ or NaN."""

    energy: float
    volume: float
    bulk_modulus: float = math.nan
    shear_modulus: float = math.nan


def composition_key(numbers: Sequence[int] | np.ndarray) -> str:
    """The reduced formula, elements in alphabetical order: "Al1Ni3"."""
    symbols = [SYMBOLS[z] for z in numbers]
    counts = {symbol: symbols.count(symbol) for symbol in sorted(set(symbols))}
    divisor = reduce(math.gcd, counts.values())
    return "".join(f"{symbol}{n // divisor}" for symbol, n in counts.items())


def reduced(formula: str, where: str) -> str:
    """A formula as `composition_key` writes it.

    Raises:
      ValueError: If it is none, or has amounts that are not whole.
    """
    try:
        amounts = {number(symbol): n for symbol, n in Composition(formula).get_el_amt_dict().items()}
    except Exception as error:  # pymatgen raises its own kinds
        raise ValueError(f"{where}: {formula!r} is no chemical formula") from error
    if not amounts or any(n != round(n) for n in amounts.values()):
        raise ValueError(f"{where}: {formula!r} must have whole numbers of atoms, as in Al3Ni or Al25Ni75")
    return composition_key([z for z, n in amounts.items() for _ in range(round(n))])


def structure_keys(crystal: Crystal) -> tuple[str, ...]:
    """What a table may call a structure, the most particular first: its space group's number, its lattice ("fcc", "bcc", "hcp")."""
    group = _space_group(crystal, crystal.numbers)
    parent = PARENTS.get(_space_group(crystal, np.ones(len(crystal), int)))
    return (str(group),) if parent is None else (str(group), parent)


def _space_group(crystal: Crystal, numbers: np.ndarray) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        cell: Any = (crystal.lattice, crystal.positions @ np.linalg.inv(crystal.lattice), numbers)
        found: Any = spglib.get_symmetry_dataset(cell, symprec=1e-3)
    return 0 if found is None else int(found.number)


def read_units(names: Sequence[str], where: str) -> dict[str, tuple[str, float]]:
    """{column as written: (quantity, factor)} of the columns of numbers, written "energy [eV/atom]".

    Raises:
      ValueError: If a column is missing, twice there, not known, or has no unit or a wrong one.
    """
    found: dict[str, tuple[str, float]] = {}
    for name in names:
        quantity, _, unit = name.partition("[")
        quantity, unit = quantity.strip(), unit.strip().removesuffix("]").strip()
        if quantity in UNITS:
            if unit not in UNITS[quantity]:
                told = f"column {name!r} must say its unit in brackets, as in '{quantity} [{next(iter(UNITS[quantity]))}]'"
                raise ValueError(f"{where}: {told}; allowed: {', '.join(UNITS[quantity])}")
            if quantity in [q for q, _ in found.values()]:
                raise ValueError(f"{where}: two columns of {quantity}")
            found[name] = quantity, UNITS[quantity][unit]
    if missing := [q for q in REQUIRED if q not in [have for have, _ in found.values()]]:
        raise ValueError(f"{where}: no column of {', '.join(missing)}; columns: {', '.join(names)}")
    return found


def read_row(row: Mapping[str, Any], columns: Mapping[str, tuple[str, float]], where: str) -> Row:
    """The numbers of a row.

    Raises:
      ValueError: If one is no number, not finite, or makes no sense.
    """
    found: dict[str, float] = {}
    for name, (quantity, factor) in columns.items():
        text = str(row.get(name) if row.get(name) is not None else "").strip()
        if not text and quantity not in REQUIRED:
            continue
        try:
            found[quantity] = float(text) * factor
        except ValueError:
            raise ValueError(f"{where}: {name} is {text!r}, which is no number") from None
        if not math.isfinite(found[quantity]):
            raise ValueError(f"{where}: {name} is {text}; it must be finite")
    if not 3 < found["volume"] < 200:
        raise ValueError(f"{where}: the volume is {found['volume']:.4g} Å³/atom; is its unit right?")
    if not abs(found["energy"]) < 100:
        raise ValueError(f"{where}: the energy is {found['energy']:.4g} eV/atom; is its unit right?")
    return Row(**found)


def elastic_of(row: Row) -> np.ndarray | None:
    """Elastic constants [6, 6] of an isotropic solid with these moduli, eV/Å³; None where they are not known."""
    bulk, shear = row.bulk_modulus, row.shear_modulus
    if not (math.isfinite(bulk) and math.isfinite(shear)):
        return None
    constants = np.diag([2 * shear] * 3 + [shear] * 3)
    constants[:3, :3] += bulk - 2 * shear / 3
    return constants


def result_of(crystal: Crystal, row: Row) -> Result:
    """What a row says of a crystal, which is scaled to the row's volume on its ideal sites."""
    scale = (row.volume * len(crystal) / crystal.volume) ** (1 / 3)
    scaled = Crystal(crystal.lattice * scale, crystal.positions * scale, crystal.numbers, crystal.pbc)
    labels = {"energy_per_atom": row.energy, "volume_per_atom": row.volume}
    return Result("converged", scaled, labels, elastic_of(row), evidence={"relaxed": 0.0, "volume_ratio": scale**3, "from_table": 1.0})


@spec
class Table:
    """Answers from a file: a CSV, or a JSON list of objects.

    Columns: `formula`; `structure`, the number of a space group or a lattice (fcc, bcc, hcp: any decoration of it);
    `energy [eV/atom]` and `volume [Å³/atom]`, in any unit that they name; `bulk_modulus [GPa]` and `shear_modulus [GPa]` where
    known. A crystal that is in no row fails as "unlisted": it is charged, never learned from, and says nothing of the crystal.

    Attributes:
      path: The file; read once, and again where it changes.
      known: Symbols of its elements.
      title: What people call it.
      note: What a reader of its numbers must know.
    """

    kind: ClassVar[str] = "table"
    path: str
    known: tuple[str, ...]
    title: str = ""
    note: str = ""

    gives: ClassVar[tuple[str, ...]] = ()
    max_force: ClassVar[None] = None

    def __post_init__(self) -> None:
        """Refuses what is no element."""
        check_symbols(self.known)

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements it knows."""
        return self.known

    @property
    def name(self) -> str:
        """What people call it."""
        return self.title or f"table {Path(self.path).name}"

    @property
    def version(self) -> str:
        """Of the file: a hash of what is in it; another table does not resume a campaign.

        Raises:
          ValueError: If the file is absent, or something in it is wrong.
        """
        self.rows()
        return _digest(self.path)

    def rows(self) -> dict[tuple[str, str], Row]:
        """{(reduced formula, structure): row}.

        Raises:
          ValueError: If the file is absent, or a row is twice there, not finite, or in units that cannot be.
        """
        return _read(self.path, _digest(self.path))

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal; see `Oracle.measure`. Moduli become the elastic constants of an isotropic solid.

        Raises:
          ValueError: If the file cannot be used.
        """
        rows = self.rows()
        return [self._find(rows, crystal) for crystal in crystals]

    def _find(self, rows: Mapping[tuple[str, str], Row], crystal: Crystal) -> Result:
        formula, structures = composition_key(crystal.numbers), structure_keys(crystal)
        row = next((rows[formula, name] for name in structures if (formula, name) in rows), None)
        if row is None:
            return failed("unlisted", f"{self.name} has no row of {formula} with structure {' or '.join(structures)}")
        return result_of(crystal, row)


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise ValueError(f"the table {path} cannot be read: {error.strerror}") from None


@cache
def _read(path: str, digest: str) -> dict[tuple[str, str], Row]:
    """{(formula, structure): row} of a file."""
    text = Path(path).read_text(encoding="utf-8-sig")
    rows = json.loads(text) if path.endswith(".json") else list(csv.DictReader(text.splitlines()))
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} holds no rows")
    names = list(rows[0])
    if missing := {"formula", "structure"} - set(names):
        raise ValueError(f"{path}: no column {', '.join(sorted(missing))}; columns: {', '.join(names)}")
    columns, table = read_units(names, path), dict[tuple[str, str], Row]()
    for line, row in enumerate(rows, 2):
        where = f"{path}, line {line} ({row['formula']})"
        key = reduced(str(row["formula"]), where), str(row["structure"]).strip()
        if key in table:
            raise ValueError(f"{where}: a second row of {key[0]} {key[1]}; one per formula and structure is allowed")
        table[key] = read_row(row, columns, where)
    return table
