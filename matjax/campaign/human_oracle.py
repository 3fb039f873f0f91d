"""People as an oracle: a sheet of what should be measured, which they fill in while the campaign waits."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from ase.data import atomic_masses

from matjax.campaign.oracle import check_symbols, failed
from matjax.campaign.table_oracle import composition_key, read_row, read_units, result_of, structure_keys
from matjax.config import spec
from matjax.data.elements import SYMBOLS
from matjax.types import Crystal, Result

ASKED = ("id", "formula", "structure", "at.%", "wt.%")
TO_FILL = ("energy [kJ/mol/atom]", "volume [Å³/atom]", "bulk_modulus [GPa]", "shear_modulus [GPa]", "remark")
"""Enthalpy of formation per mole of atoms, and volume per atom; moduli where they are known."""


@spec
class Human:
    """Asks people: what should be measured is a row of a CSV, and the campaign ends its run until the row is filled.

    A filled row is read when the campaign goes on. Rows may be filled in any order; those that are still empty, or filled in
    part, are asked for again. Units may be changed in the head of a column.

    Attributes:
      sheet: The CSV; made where absent.
      known: Symbols of the elements they can get.
      title: What people call it.
      note: What a reader of its numbers must know.
    """

    kind: ClassVar[str] = "human"
    sheet: str
    known: tuple[str, ...]
    title: str = "measurements"
    note: str = "measured by people; energies are enthalpies of formation"

    gives: ClassVar[tuple[str, ...]] = ()
    max_force: ClassVar[None] = None
    version: ClassVar[str] = "1"

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
        return self.title

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal, "waiting" for those whose row is not filled; see `Oracle.measure`.

        Raises:
          ValueError: If the sheet holds a row that is twice there, was not asked for, or makes no sense.
        """
        wanted = [_asked(crystal) for crystal in crystals]
        with _locked(Path(self.sheet)):
            rows = _read(self.sheet)
            fresh = {row["id"]: row for row in wanted if row["id"] not in rows}
            if fresh or not Path(self.sheet).exists():
                _write(Path(self.sheet), [*rows.values(), *fresh.values()])
        return [self._answer(crystal, rows.get(row["id"], {}), row) for crystal, row in zip(crystals, wanted, strict=True)]

    def _answer(self, crystal: Crystal, row: Mapping[str, str], asked: Mapping[str, str]) -> Result:
        where = f"{self.sheet}, row {asked['id']} ({asked['formula']}, {asked['structure']})"
        columns = read_units(list(row), self.sheet) if row else {}
        empty = [name for name, (quantity, _) in columns.items() if quantity in ("energy", "volume") and not (row[name] or "").strip()]
        if not row or empty:
            return failed("waiting", f"{where} is to be filled: {', '.join(empty) or 'energy and volume'}")
        return result_of(crystal, read_row(row, columns, where))


def _asked(crystal: Crystal) -> dict[str, str]:
    """The row that asks for a crystal, its columns to fill empty."""
    formula, structure = composition_key(crystal.numbers), structure_keys(crystal)[-1]
    counts = {SYMBOLS[z]: int((crystal.numbers == z).sum()) for z in sorted(set(crystal.numbers.tolist()))}
    mass = {SYMBOLS[z]: counts[SYMBOLS[z]] * atomic_masses[z] for z in set(crystal.numbers.tolist())}
    percent = lambda parts: " ".join(f"{symbol} {100 * parts[symbol] / sum(parts.values()):.2f}" for symbol in counts)
    said = (_id(formula, structure), formula, structure, percent(counts), percent(mass))
    return {**dict(zip(ASKED, said, strict=True)), **dict.fromkeys(TO_FILL, "")}


def _id(formula: str, structure: str) -> str:
    return hashlib.sha256(f"{formula} {structure}".encode()).hexdigest()[:8]


def _read(sheet: str) -> dict[str, dict[str, str]]:
    """{id: row} of the sheet; empty where there is none."""
    if not Path(sheet).exists():
        return {}
    found: dict[str, dict[str, Any]] = {}
    for line, row in enumerate(csv.DictReader(Path(sheet).read_text(encoding="utf-8-sig").splitlines()), 2):
        if missing := [name for name in ASKED[:3] if not row.get(name)]:
            raise ValueError(
                f"{sheet}, line {line}: {', '.join(missing)} is empty; these columns say what was asked for, leave them as they are"
            )
        if row["id"] != _id(row["formula"], row["structure"]):
            raise ValueError(
                f"{sheet}, line {line}: {row['id']} is not what was asked for as {row['formula']} {row['structure']}; remove the line"
            )
        if row["id"] in found:
            raise ValueError(f"{sheet}, line {line}: a second row of {row['formula']} {row['structure']}; keep one")
        found[row["id"]] = {name: value for name, value in row.items() if name is not None}
    return found


def _write(sheet: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """The sheet anew, whole or not at all; columns as people left them."""
    names = list(rows[0]) if rows else [*ASKED, *TO_FILL]
    partial = sheet.with_suffix(".partial")
    with open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, sheet)


@contextmanager
def _locked(sheet: Path) -> Iterator[None]:
    """One process at a time."""
    sheet.parent.mkdir(parents=True, exist_ok=True)
    with open(sheet.with_suffix(".lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
