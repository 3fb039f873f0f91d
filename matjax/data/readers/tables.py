"""Tables with a structure in each row: Matbench-style JSON, lists of records, and CSV."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matjax.data.readers.record import ID_COLUMNS, Record, attempt, named, opened
from matjax.data.readers.structure_dict import COMPACT, crystal_of_dict, crystal_of_text
from matjax.types import Crystal

STRUCTURE = ("structure", "atoms", "final_structure", "cif", "poscar")


def read_json(path: Path) -> Iterator[Record]:
    """The records of a JSON table.

    Three layouts: Matbench's `{"columns", "index", "data"}`, a list of records, and `{id: record}`. A record holds a
    `structure` (or `atoms`, `cif`, `poscar`), or lattice, species and coordinates side by side; the rest are values.

    Args:
      path: .json, also compressed.

    Yields:
      One record per row.

    Raises:
      ValueError: If the file is not JSON or has another layout.
    """
    with opened(path) as file:
        try:
            data = json.load(file)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: is not complete JSON ({error})") from error
    for default, row in _rows(path, data):
        yield record_of_row(default, row)


def read_csv(path: Path) -> Iterator[Record]:
    """The rows of a CSV file with a structure column (`structure`, `atoms`, `cif` or `poscar`).

    The structure is a dictionary as JSON or Python's repr, or the text of a CIF or POSCAR. Lines before the header that start
    with # are comments. An empty field is an absent value; the text `nan` is a value that is not a number.

    Args:
      path: .csv, also compressed.

    Yields:
      One record per row, named by an id column or `row N` (the first row is 1).

    Raises:
      ValueError: If there is no header with a structure column, or a row has too few or too many fields.
    """
    csv.field_size_limit(sys.maxsize)
    with opened(path) as file:
        rows = csv.reader(itertools.dropwhile(lambda line: line.startswith("#") or not line.strip(), file), strict=True)
        try:
            header = next(rows, [])
            if not set(header) & set(STRUCTURE):
                raise ValueError(f"{path}: has no structure column ({', '.join(STRUCTURE)}); its header is {', '.join(header)[:200]!r}")
            for k, row in enumerate(filter(None, rows), start=1):
                if len(row) != len(header):
                    raise ValueError(f"{path}: row {k} (line {rows.line_num}) has {len(row)} fields, the header {len(header)}; truncated?")
                yield record_of_row(
                    f"row {k}", {c: v if c in (*STRUCTURE, *ID_COLUMNS) else number(v) for c, v in zip(header, row, strict=True)}
                )
        except csv.Error as error:
            raise ValueError(f"{path}: line {rows.line_num}: {error}; truncated?") from error


def number(text: str) -> int | float | str | None:
    """A field as a whole number, a number or text; None where it is empty."""
    for cast in (int, float):
        try:
            return cast("" if "_" in text else text)  # Python reads 1_2 as 12
        except ValueError:
            continue
    return text.strip() or None


def record_of_row(default: str, row: Mapping[str, Any]) -> Record:
    """The record of a row that holds its structure in one column, or side by side."""
    column = next((c for c in STRUCTURE if row.get(c) not in (None, "")), None)
    drop = STRUCTURE if column else COMPACT
    name, values = named({k: v for k, v in row.items() if k not in drop}, default)
    return attempt(name, values, lambda: _crystal(row[column] if column else row))


def _crystal(value: Any) -> Crystal:
    return crystal_of_text(value) if isinstance(value, str) else crystal_of_dict(value)


def _rows(path: Path, data: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(default name, row) pairs of the three layouts."""
    if isinstance(data, dict) and {"columns", "data"} <= set(data):
        index = data.get("index", range(len(data["data"])))
        if len(index) != len(data["data"]):
            raise ValueError(f"{path}: has {len(index)} index entries for {len(data['data'])} rows")
        pairs = ((str(i), dict(zip(data["columns"], row, strict=True))) for i, row in zip(index, data["data"], strict=True))
    elif isinstance(data, list):
        pairs = ((f"row {k}", row) for k, row in enumerate(data))
    elif isinstance(data, dict) and data and all(isinstance(row, dict) for row in data.values()):
        pairs = iter(data.items())
    else:
        raise ValueError(f"{path}: is neither a list of records nor a table with columns and data, but a {type(data).__name__}")
    for name, row in pairs:
        if not isinstance(row, Mapping):
            raise ValueError(f"{path}: {name} is a {type(row).__name__}; each row must be a record with a structure")
        yield name, row
