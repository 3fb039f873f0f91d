"""Results in the files that campaigns export, crystal by crystal: extended XYZ, a database of ASE, a table of candidates."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ase.db
import ase.io
import numpy as np
from ase import Atoms

from matjax.campaign.oracle import failed
from matjax.campaign.table_oracle import read_row, read_units, result_of
from matjax.data.convert import from_ase
from matjax.types import Crystal, Result


class Entry(NamedTuple):
    """One crystal of a file.

    name: of its candidate, as exported; key: of its candidate, or empty; oracle: name and version; result: what is said of it, once the
    undistorted crystal is known; stands_for_all: whether, alone, it is the result of every crystal of its candidate.
    """

    name: str
    key: str
    oracle: str
    result: Callable[[Crystal], Result]
    stands_for_all: bool = False


def read_exported(path: Path) -> list[Entry]:
    """The crystals of a file, in its order.

    Raises:
      ValueError: If it is no such file, holds nothing, or a row lacks what it must have.
    """
    readers = {".extxyz": _from_extxyz, ".db": _from_database, ".csv": _from_table}
    if path.suffix not in readers:
        raise ValueError(f"{path} must end in {', '.join(readers)}, as exports do")
    if not path.is_file():
        raise ValueError(f"{path} is no file")
    entries = list(readers[path.suffix](path))
    if not entries:
        raise ValueError(f"{path} holds nothing")
    return entries


def _from_extxyz(path: Path) -> Iterator[Entry]:
    try:
        frames: Any = ase.io.read(path, ":", format="extxyz")
    except Exception as error:  # a reader of another project raises what it likes
        raise ValueError(f"{path} cannot be read as extxyz: {error}") from error
    for i, atoms in enumerate(frames, 1):
        yield _of_atoms(atoms, atoms.info, f"{path}, frame {i}")


def _from_database(path: Path) -> Iterator[Entry]:
    database: Any = ase.db.connect(path, type="db")
    for row in database.select():
        yield _of_atoms(row.toatoms(), {**row.data, **row.key_value_pairs}, f"{path}, row {row.id}")


def _of_atoms(atoms: Atoms, info: Mapping[str, Any], where: str) -> Entry:
    """A relaxed crystal with its energy."""
    energy = atoms.calc.results.get("energy") if atoms.calc is not None else None
    if missing := [name for name in ("candidate", "oracle") if not info.get(name)] + ["energy"] * (energy is None):
        raise ValueError(f"{where} has no {', '.join(missing)}")
    crystal = from_ase(atoms)
    labels = {"energy_per_atom": float(energy) / len(atoms), "volume_per_atom": crystal.volume / len(atoms)}  # type: ignore[arg-type]
    proof = {"max_force": float(info["max_force"])} if info.get("max_force") is not None else {}
    elastic = None if info.get("elastic") is None else np.asarray(info["elastic"], float)
    status = str(info.get("status") or "converged")
    result = Result("converged", crystal, labels, elastic, evidence=proof) if status == "converged" else _unsettled(status)
    return Entry(_word(info["candidate"]), str(info.get("candidate_key", "")).removeprefix("key-"), str(info["oracle"]), lambda _: result)


def _from_table(path: Path) -> Iterator[Entry]:
    rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    names = list(rows[0]) if rows else []
    if missing := [name for name in ("candidate", "oracle") if name not in names]:
        raise ValueError(f"{path}: no column {', '.join(missing)}; columns: {', '.join(names)}")
    columns = read_units([name for name in names if "[" in name], str(path))
    for line, row in enumerate(rows, 2):
        where = f"{path}, line {line} ({row['candidate']})"
        yield Entry(_word(row["candidate"]), row.get("key") or "", row["oracle"] or "nobody", _of_row(row, columns, where), True)


def _of_row(row: Mapping[str, Any], columns: Mapping[str, tuple[str, float]], where: str) -> Callable[[Crystal], Result]:
    if (status := row.get("status") or "converged") != "converged":
        return lambda _: _unsettled(status)
    numbers, force = read_row(row, columns, where), row.get("max_force [eV/Å]")
    proof = {"max_force": float(force)} if force else {}
    told = lambda crystal: result_of(crystal, numbers)
    return lambda crystal: dataclasses.replace(told(crystal), evidence={**told(crystal).evidence, **proof})


def _unsettled(status: str) -> Result:
    return failed("numerical", f"its status is {status}; only what converged is taken")


def _word(name: Any) -> str:
    return str(name).strip().replace(" | ", "-").replace(" ", "_")
