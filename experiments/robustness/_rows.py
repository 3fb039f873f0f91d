"""Rows of an experiment: kept one by one as arrays, so that a run that was stopped goes on, and printed as tables."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, Any]
"""Arrays of NumPy by name."""


BEGIN, END = "<!-- tables: written by run.py -->", "<!-- end of tables -->"


class Clock:
    """Minutes that are left of a budget; infinite where there is none."""

    def __init__(self, minutes: float | None):
        """Starts now."""
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def is_over(self) -> bool:
        """Whether no further row should be begun."""
        return self._end is not None and time.monotonic() > self._end


def kept(path: Path) -> Arrays | None:
    """The arrays of a row, None where it has not been measured."""
    if not path.exists():
        return None
    with np.load(path) as file:
        return dict(file)


def keep(path: Path, arrays: Arrays) -> None:
    """Writes the arrays of a row, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (partial := path.with_suffix(".part")).open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial.replace(path)


def write(path: Path, result: dict[str, Any]) -> None:
    """Writes a result; refuses numbers that are not finite."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, allow_nan=False, default=_plain) + "\n", encoding="utf-8")


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Rows as a table in Markdown; three significant digits."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_shown(row.get(c)) for c in columns) + " |" for row in rows]
    return "\n".join(lines)


def fill(readme: Path, result: dict[str, Any], tables: Mapping[str, Sequence[str]]) -> None:
    """Writes the tables of a result between the marks in a README; {name of the table: columns}."""
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    parts = [f"`{name}`\n\n{table(result[name], columns)}" for name, columns in tables.items() if result[name]]
    if result["missing"]:
        parts.append("Not measured yet: " + ", ".join(f"`{name}`" for name in result["missing"]) + ".")
    readme.write_text(before + BEGIN + "\n\n" + "\n\n".join(parts) + "\n\n" + END + rest.split(END)[1], encoding="utf-8")


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON")
