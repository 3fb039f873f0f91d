"""`metrics.jsonl`: one line of JSON per epoch, and per so many updates where asked for, whole lines only, each once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

NAME = "metrics.jsonl"


class MetricsFile:
    """The file of a run, opened where its state stands: lines of updates that will be done again are taken out.

    A line of an epoch has no `position`; that of an update has the number of updates done in its epoch.
    """

    def __init__(self, path: Path, epochs: int, position: int) -> None:
        """Keeps the lines of `epochs` finished epochs and of `position` updates of the next."""
        self.path = path
        kept = [row for row in read_metrics(path) if _is_done(row, epochs, position)] if path.exists() else []
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text("".join(map(_line, kept)), encoding="utf-8")
        os.replace(partial, path)

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds a line, in one write."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(row))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; a last line that was cut off is not one of them.

    Raises:
      ValueError: If a line before the last is no JSON.
    """
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise ValueError(f"{path}: a line is no JSON ({error}); move the file away") from error


def plain(value: Any) -> Any:
    """A number or array as JSON has it: None for what is not finite."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _is_done(row: Mapping[str, Any], epochs: int, position: int) -> bool:
    return row["epoch"] <= epochs or (row["epoch"] == epochs + 1 and row.get("position", position + 1) <= position)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps({name: plain(value) for name, value in row.items()}, allow_nan=False) + "\n"
