"""Reading a run folder: everything is there and makes sense, or the file that does not is named."""

from __future__ import annotations

import dataclasses
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from matjax.report.run import Pair, Part, Row, Run

MUST_BE_FINITE = ("target", "mean", "total_std", "score", "features")
NUMBERS = (
    *("seed", "n_train", "n_test_inside", "n_test", "n_member", "level", "matched_ratio", "auroc_domain", "auroc_error"),
    *("mae_in", "mae_out", "baseline_in", "baseline_out", "coverage_in", "coverage_out", "width"),
    *("coverage_in_ldo", "coverage_out_ldo", "width_ldo", "two_sample_auc", "beyond_p99", "label_shift", "similarity"),
)
"""Fields of a row that the report counts with."""


def read_run(folder: Path) -> Run:
    """Reads a run folder: `stress_test.json`, `predictions/*.npz` and, where present, `run.json`.

    Raises:
      ValueError: If the folder or `stress_test.json` is missing, empty or not what it should be, or if a file of
        predictions that a row names is missing, unreadable, incomplete or not finite.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"no run folder at {folder}; `matjax stress-test --out {folder}` writes one")
    rows = _rows(folder / "stress_test.json")
    pairs = {name: _pair(folder / name) for name in dict.fromkeys(row["predictions"] for row in rows if row.get("predictions"))}
    return Run(folder, rows, pairs, _info(folder / "run.json"))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}); the run may have been cut off: run the stress test again") from error


def _rows(path: Path) -> tuple[Row, ...]:
    if not path.is_file():
        raise ValueError(f"{path} is missing; a report needs the rows that `matjax stress-test` writes, or what `matjax discover` writes")
    rows = _json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path} holds {type(rows).__name__}; it must be a list of rows (objects)")
    if not rows:
        raise ValueError(f"{path} has no rows; no job of the stress test has finished yet")
    for i, row in enumerate(rows):
        absent = [name for name in ("shift", "domain", "method") if not isinstance(row.get(name), str)]
        if absent:
            raise ValueError(f"{path}, row {i}: {', '.join(absent)} must be text; got {[row.get(name) for name in absent]}")
        words = {name: row[name] for name in NUMBERS if not isinstance(row.get(name), (int, float, type(None)))}
        if words:
            raise ValueError(f"{path}, row {i}: {', '.join(words)} must be a number or null; got {list(words.values())}")
        if not isinstance(row.get("predictions"), (str, type(None))):
            raise ValueError(f"{path}, row {i}: predictions must be the name of a file or null; got {row['predictions']!r}")
    return tuple({name: None if _not_finite(value) else value for name, value in row.items()} for row in rows)


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _info(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    info = _json(path)
    if not isinstance(info, dict):
        raise ValueError(f"{path} holds {type(info).__name__}; it must be an object")
    return info


def _pair(path: Path) -> Pair:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing, and a row of stress_test.json names it; run the stress test again") from error
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read as npz ({error}); run the stress test again") from error
    return Pair(_part(path, "inside", arrays), _part(path, "outside", arrays))


def _part(path: Path, side: str, arrays: Mapping[str, np.ndarray]) -> Part:
    fields = {f.name: arrays.get(f"{side}_{f.name}") for f in dataclasses.fields(Part)}
    absent = [f"{side}_{name}" for name in ("target", "mean") if fields[name] is None]
    if absent:
        raise ValueError(f"{path} has no {', '.join(absent)}; found {', '.join(sorted(arrays)) or 'nothing'}")
    lengths = {name: len(array) for name, array in fields.items() if array is not None}
    if len(set(lengths.values())) > 1 or not lengths["target"]:
        raise ValueError(f"{path}: the {side} arrays must have one row per crystal, at least one; got lengths {lengths}")
    shapes = {name: array.shape for name, array in fields.items() if array is not None}
    wrong = {name: shape for name, shape in shapes.items() if len(shape) != (2 if name in ("features", "elements") else 1)}
    if wrong or shapes.get("elements", (0, 119))[1] != 119:
        raise ValueError(f"{path}: {side} arrays are [n], features [n, n_feature], elements [n, 119]; got {wrong or shapes}")
    for name in MUST_BE_FINITE:
        array = fields[name]
        if array is not None and not np.isfinite(array).all():
            raise ValueError(f"{path}: {side}_{name} has {int((~np.isfinite(array)).sum())} values that are not finite")
    return Part(**fields)  # type: ignore[arg-type]
