"""CIF and POSCAR files: one, or a folder of them with a CSV of targets."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matjax.data.convert import from_ase
from matjax.data.readers.record import COMPRESSED, NamedText, Record, bare, opened, reason_of
from matjax.data.readers.structure_dict import crystals_of_cif
from matjax.data.readers.tables import number
from matjax.types import Crystal

POSCAR = ("POSCAR", "CONTCAR")


def is_structure_file(path: Path) -> bool:
    """Whether the name is that of a CIF (.cif) or POSCAR (.vasp, .poscar, POSCAR*, CONTCAR*) file, compressed or not."""
    name = bare(path)
    return name.lower().endswith((".cif", ".vasp", ".poscar")) or name.startswith(POSCAR)


def read_structure_files(path: Path, *, targets: Path | None = None, use_csv: bool = True) -> Iterator[Record]:
    """The crystals of a CIF or POSCAR file, or of a folder of them (searched to the bottom), with targets from a CSV.

    A file is named by its stem (`mp-10` for `mp-10.cif` or `POSCAR_mp-10`; the folder's name for `mp-10/POSCAR`); a CIF with
    several blocks gives `stem:0`, `stem:1`. The first column of the CSV holds these names (with or without the suffix), the
    others are values; without a header line the columns are called `target`, or `target_1`, `target_2`.

    Args:
      path: A file or a folder.
      targets: The CSV; by default the only one in the folder, if there is one.
      use_csv: Look for a CSV where `targets` names none.

    Yields:
      One record per structure. A file without a row, and a row without a file, are records with that reason.

    Raises:
      ValueError: If the folder has no structure file or several CSVs, or the CSV names a structure twice.
    """
    files = sorted(f for f in path.rglob("*") if f.is_file() and is_structure_file(f)) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path}: has no CIF or POSCAR file (.cif, .vasp, .poscar, POSCAR*, CONTCAR*, also compressed)")
    targets = targets or (_only_csv(path) if use_csv and path.is_dir() else None)
    rows = None if targets is None else _targets(targets)
    for file in files:
        name = stem(file)
        if rows is not None and name not in rows:
            yield Record(name, None, reason=f"{file.name} has no row in {targets.name if targets else ''}")
            continue
        yield from _records(file, name, rows[name] if rows else {})
    found = {stem(file) for file in files}
    for name in rows or {}:
        if name not in found:
            yield Record(name, None, reason=f"{targets.name if targets else ''} names it, but there is no such file")


def stem(path: Path) -> str:
    """What a structure file is called: its name without suffixes, or its folder's where the name is just POSCAR."""
    name = bare(path)
    for prefix in POSCAR:
        if name == prefix:
            return path.parent.name
        if name.startswith((f"{prefix}_", f"{prefix}-", f"{prefix}.")):
            name = name[len(prefix) + 1 :]
    return _unsuffixed(name)


def _unsuffixed(name: str) -> str:
    for suffix in (*COMPRESSED, ".cif", ".vasp", ".poscar", ".POSCAR"):
        name = name.removesuffix(suffix)
    return name


def _records(file: Path, name: str, values: Mapping[str, Any]) -> Iterator[Record]:
    try:
        with opened(file, errors="replace") as stream:
            text = stream.read()
        if not text.strip():
            raise ValueError("the file is empty")
        crystals = crystals_of_cif(text) if bare(file).lower().endswith(".cif") else [_from_poscar(NamedText(text, file))]
    except Exception as error:  # parsers of foreign formats raise anything; the reason is kept and counted
        yield Record(name, None, values, f"{file.name}: {reason_of(error)}")
        return
    for k, crystal in enumerate(crystals):
        yield Record(name if len(crystals) == 1 else f"{name}:{k}", crystal, values)


def _from_poscar(file: NamedText) -> Crystal:
    from ase.io.vasp import read_vasp

    return from_ase(read_vasp(file))


def _only_csv(folder: Path) -> Path | None:
    tables = sorted(f for f in folder.iterdir() if bare(f).lower().endswith(".csv"))
    if len(tables) > 1:
        raise ValueError(f"{folder}: has several CSV files ({', '.join(f.name for f in tables)}); say which with targets=")
    return tables[0] if tables else None


def _targets(path: Path) -> dict[str, dict[str, Any]]:
    """{name: {column: value}} of a CSV of targets."""
    with opened(path) as file:
        lines = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
    if not lines or len(lines[0]) < 2:
        raise ValueError(f"{path}: should have a name and at least one target in each row")
    headless = isinstance(number(lines[0][1]), (int, float))
    n_column = len(lines[0]) - 1
    header = lines.pop(0)[1:] if not headless else ["target"] if n_column == 1 else [f"target_{k + 1}" for k in range(n_column)]
    rows: dict[str, dict[str, Any]] = {}
    for row in lines:
        name = _unsuffixed(row[0].strip())
        if name in rows:
            raise ValueError(f"{path}: names {name!r} twice; which target is meant?")
        if len(row) != n_column + 1:
            raise ValueError(f"{path}: the row of {name!r} has {len(row)} fields, not {n_column + 1}; truncated?")
        rows[name] = dict(zip(header, map(number, row[1:]), strict=True))
    return rows
