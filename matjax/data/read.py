"""One door for data sets on disk: `read` finds the format, `describe` says what came in."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from matjax.data.check import MAX_ATOMS, Policy, check_policy, outliers
from matjax.data.readers.ase_db import read_ase_db
from matjax.data.readers.assemble import assemble
from matjax.data.readers.columns import TENSORS
from matjax.data.readers.extxyz import read_extxyz
from matjax.data.readers.record import COMPRESSED, Record, bare, opened
from matjax.data.readers.structure_files import is_structure_file, read_structure_files
from matjax.data.readers.tables import read_csv, read_json
from matjax.data.readers.vasp import is_vasp_file, read_vasp
from matjax.types import Dataset

READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    "extxyz": read_extxyz,
    "ase_db": read_ase_db,
    "json": read_json,
    "csv": read_csv,
    "structures": read_structure_files,
    "vasp": read_vasp,
}
SUFFIXES = {".xyz": "extxyz", ".extxyz": "extxyz", ".db": "ase_db", ".csv": "csv"}


def read(
    path: str | Path,
    *,
    format: str | None = None,
    label: str | Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    targets: str | Path | None = None,
    policy: Policy = "set_aside",
    max_atoms: int = MAX_ATOMS,
    name: str | None = None,
) -> Dataset:
    """The data set in a file or folder.

    Formats: `extxyz`, `ase_db` (.db, or ASE's .json), `json` (Matbench-style or a list of records), `csv` (with a structure
    column), `structures` (CIF or POSCAR: a file, or a folder with a CSV of targets), `vasp` (OUTCAR or vasprun.xml: a file,
    or a folder of runs); text formats also compressed (.gz, .bz2, .xz).

    Args:
      path: File or folder.
      format: One of the above; by default guessed from the path.
      label: The target or targets; by default every column of fractional numbers (see `readers.assemble`). An empty tuple
        reads the crystals alone, whatever labels, domains or tables of targets are beside them.
      units: {label: unit in the file}, such as {"energy": "Ha", "stress": "GPa"}; converted to eV, eV/atom, eV/Å, eV/Å³.
      targets: CSV of targets for a folder of structures, where it is not the only CSV in the folder.
      policy: `set_aside` (a bad record is left out, with its reason in `metadata.set_aside`) or `raise`.
      max_atoms: Larger crystals are bad records.
      name: Of the data set; by default the name of the file.

    Returns:
      The data set, with at least one crystal.

    Raises:
      FileNotFoundError: If there is no such path.
      ValueError: If the file is empty, truncated or of another format, nothing in it is usable, or labels are in other units.

    Example:
      >>> import ase.build, ase.io, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     ase.io.write(f"{folder}/copper.extxyz", ase.build.bulk("Cu"))
      ...     read(f"{folder}/copper.extxyz").ids
      ('frame 0',)
    """
    path = Path(path)
    check_policy(policy)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    kind, why = (format, "") if format else guess(path)
    if kind not in READERS:
        raise ValueError(f"unknown format {kind!r}; allowed: {', '.join(READERS)}")
    alone = label == ()
    records = _records(kind, path, None if targets is None else Path(targets), max_atoms, alone)
    records = (dataclasses.replace(record, values={}) for record in records) if alone else records
    try:
        return assemble(records, source=str(path), label=label, units=units, policy=policy, max_atoms=max_atoms, name=name or _name(path))
    except ValueError as error:
        raise ValueError(f"{error} [read as {kind}{why and f', guessed from {why}'}]") from error


def _records(kind: str, path: Path, targets: Path | None, max_atoms: int, alone: bool) -> Iterator[Record]:
    if targets is not None:
        if kind != "structures":
            raise ValueError(f"targets= goes with CIF or POSCAR files, not with format {kind}")
        if not targets.exists():
            raise FileNotFoundError(f"{targets}: no such file (targets)")
        return read_structure_files(path, targets=targets)
    if kind == "structures":
        return read_structure_files(path, use_csv=not alone)
    return read_extxyz(path, max_atoms=max_atoms) if kind == "extxyz" else READERS[kind](path)


def guess(path: Path) -> tuple[str, str]:
    """The format of a path, and what gave it away.

    Raises:
      ValueError: If nothing does, with the allowed formats.
    """
    if path.is_dir():
        files = [f for f in path.rglob("*") if f.is_file()]
        if any(map(is_vasp_file, files)):
            return "vasp", "the OUTCAR or vasprun.xml files in the folder"
        return "structures", "its being a folder"
    plain = bare(path).lower()
    if is_vasp_file(path) or is_structure_file(path):
        return ("vasp" if is_vasp_file(path) else "structures"), f"the name {path.name}"
    if plain.endswith(".json"):
        with opened(path) as file:
            ase_style = re.match(r'\s*\{\s*"\d+"\s*:\s*\{', file.read(200)) and path.suffix not in COMPRESSED
        return ("ase_db" if ase_style else "json"), "the suffix .json and the first bytes"
    suffix = Path(plain).suffix
    if suffix in SUFFIXES:
        return SUFFIXES[suffix], f"the suffix {suffix}"
    raise ValueError(f"{path}: cannot tell the format from the name; say format= one of {', '.join(READERS)}")


def _name(path: Path) -> str:
    return path.name if path.is_dir() else bare(path).rsplit(".", 1)[0]


def describe(dataset: Dataset) -> str:
    """What a data set is, for people: size, elements, labels with units and ranges, domain columns, what was set aside."""
    meta = dataset.metadata
    sizes = np.array([len(c) for c in dataset.crystals])
    symbols = [chemical_symbols[z] for z in np.unique(np.concatenate([c.numbers for c in dataset.crystals]))]
    lines = [
        f"{meta.name}: {len(dataset):,} crystals, {len(symbols)} elements ({_shortened(symbols, 12)})",
        f"  atoms     {sizes.min()} to {sizes.max()}, median {np.median(sizes):g}, {sizes.sum():,} in all",
        *(f"  label     {_label_line(dataset, name)}" for name in dataset.labels),
        *(f"  domain    {_domain_line(name, column)}" for name, column in dataset.domains.items()),
        f"  origin    functional {meta.functional}; energies relative to {meta.reference}; structures {meta.structures}",
    ]
    lines += [f"  note      {meta.notes}"] if meta.notes else []
    return "\n".join(lines + _set_aside_lines(dataset))


def _label_line(dataset: Dataset, name: str) -> str:
    column = dataset.labels[name]
    unit = dataset.metadata.units.get(name) or "unit not stated"
    rows = np.array([np.isfinite(v).all() for v in column])
    if not rows.any():
        return f"{name}: no values"
    values = np.concatenate([np.ravel(column[i]) for i in np.flatnonzero(rows)])
    spread = "" if name in TENSORS else f", median {np.median(values):.4g}"
    line = f"{name} ({unit}): {rows.sum():,} crystals, {values.min() + 0.0:.4g} to {values.max() + 0.0:.4g}{spread}"
    far = [] if name in TENSORS else [dataset.ids[i] for i in outliers(dataset, name)]
    return line + (f"; {len(far)} far from the rest: {_shortened(far, 4)}" if far else "")


def _domain_line(name: str, column: np.ndarray) -> str:
    if column.dtype.kind == "f":
        finite = column[np.isfinite(column)]
        return f"{name}: {finite.min():.4g} to {finite.max():.4g}" if finite.size else f"{name}: no values"
    counts = Counter(column.tolist()).most_common()
    if len(counts) == len(column) > 1:
        return f"{name}: {len(counts):,} different values"
    return f"{name}: {len(counts):,} values ({_shortened([f'{v} {n:,}' for v, n in counts], 6)})"


def _set_aside_lines(dataset: Dataset) -> list[str]:
    """Count and reasons, alike reasons (numbers aside) together."""
    aside = dataset.metadata.set_aside
    groups: dict[str, list[tuple[str, str]]] = {}
    for record, reason in aside:
        groups.setdefault(re.sub(r"\d[\d.,e+-]*", "N", reason), []).append((record, reason))
    lines = [f"  set aside {len(aside):,} of {len(dataset) + len(aside):,} records"] if aside else []
    return lines + [f"    {len(g):,}: {g[0][1]} ({_shortened([record for record, _ in g], 3)})" for g in groups.values()]


def _shortened(items: Sequence[str], n: int) -> str:
    return ", ".join(items[:n]) + (f", ... {len(items) - n} more" if len(items) > n else "")
