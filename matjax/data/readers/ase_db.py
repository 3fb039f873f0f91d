"""ASE databases (.db and ASE's own .json): rows with results and key-value pairs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from matjax.data.convert import completed
from matjax.data.readers.extxyz import full_stress
from matjax.data.readers.record import Record, attempt, named
from matjax.types import Crystal

if TYPE_CHECKING:
    from ase.db.row import AtomsRow


def read_ase_db(path: Path) -> Iterator[Record]:
    """The rows of an ASE database, with energy, forces, stress and key-value pairs.

    Args:
      path: A .db (SQLite) or .json file written by `ase.db`.

    Yields:
      One record per row, named by an id among its key-value pairs or `row N`.

    Raises:
      ValueError: If the file is not an ASE database.
    """
    try:
        with connected(path) as database:
            for row in database.select():
                name, values = named(_values(row), f"row {row.id}")
                yield attempt(name, values, lambda row=row: _crystal(row))
    except (sqlite3.DatabaseError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: is not a readable ASE database ({error})") from error


def connected(path: Path) -> AbstractContextManager[Any]:
    """An ASE database that is closed on leaving; outside a `with`, ASE opens and forgets one SQLite connection per row."""
    import ase.db

    database: Any = ase.db.connect(path)
    return database if hasattr(database, "__exit__") else nullcontext(database)


def _crystal(row: AtomsRow) -> Crystal:
    return Crystal(completed(np.asarray(row.cell), row.pbc), row.positions, row.numbers, row.pbc)  # type: ignore[attr-defined]


def _values(row: AtomsRow) -> dict[str, Any]:
    values = dict(row.key_value_pairs)
    results = {name: row.get(name) for name in ("energy", "forces", "stress")}
    values |= {name: value for name, value in results.items() if value is not None}
    if values.get("stress") is not None:
        values["stress"] = full_stress(values["stress"])
    return values
