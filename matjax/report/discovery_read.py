"""Reading a campaign folder: what is there makes sense or is refused by name; what is not there is empty."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matjax.campaign.store import FILE
from matjax.campaign.trace import open_read_only
from matjax.data.elements import SYMBOLS
from matjax.report.discovery import LEARNED, Curve, Discovery, Mixing, Trend, ValueMap
from matjax.report.run import Row

RECORD, TRACE = "discovery.json", "trace.jsonl"
ARRAYS = ("curves", "pressure", "rounds", "best", "value", "mixing", "trends")
MIXING = ("gibbs_mixing", "low", "high", "stability", "stability_low", "stability_high", "truth_gibbs", "truth_stability")
TREND = ("stability", "low", "high", "truth")
NUMBERS = (
    *("call", "round", "slot", "novelty", "stability", "gibbs_mixing", "pugh_ratio", "born", "bulk_modulus", "shear_modulus", "price"),
    *("density", "utility", "cost", "low", "high", "utility_low", "utility_high", "n", "proxy", "truth", "truth_low", "truth_high"),
    *("proxy_single", "truth_single", "n_train", "mae_stability", "mae_utility", "rms_z", "coverage_90", "spread_factor"),
    *("seconds_learn", "seconds_propose", "seconds_oracle", "n_reward_calls"),
    *("n_audit", "audit_gap", "audit_evidence", "n_breach", "brake"),
    *(f"predicted_{name}_{of}" for name in ("utility", "stability", "pugh") for of in ("mean", "std", "low", "high")),
)
"""Fields of a row that the pages count with."""


def find_discovery(run_dir: Path) -> Path | None:
    """The folder that holds `discovery.json` or `trace.jsonl`: the run folder or its `discovery`; None where both are empty yet."""
    folders = (Path(run_dir), Path(run_dir) / "discovery")
    begun = lambda path: path.is_file() and path.stat().st_size > 0
    return next((folder for folder in folders if any(begun(folder / name) for name in (RECORD, TRACE))), None)


def read_discovery(folder: Path) -> Discovery:
    """Reads a campaign: `discovery.json` and `trace.jsonl`, of which an interrupted campaign has the second alone.

    Raises:
      ValueError: If both are missing or empty, or one is not JSON or not what it should be; the message names file and field.
    """
    path, trace_path = Path(folder) / RECORD, Path(folder) / TRACE
    record = _record(path) if path.is_file() else {}
    trace = _trace(trace_path) if trace_path.is_file() else ()
    if not record and not trace:
        raise ValueError(f"{folder} has no oracle call in {TRACE} and no {RECORD}; `matjax discover` writes them")
    called = [row.get("utility") for row in trace if row.get("call") is not None]
    curves = tuple(_curve(path, i, row) for i, row in enumerate(_rows(path, record, "curves")))
    return Discovery(
        Path(folder),
        {name: value for name, value in (record or _begun(folder)).items() if name not in ARRAYS},
        trace,
        curves or ((Curve(LEARNED, None, _array(trace_path, "utility", called, 1)),) if called else ()),
        tuple(sorted((row for row in _rows(path, record, "pressure") if row.get("n")), key=lambda row: row["n"])),
        _rows(path, record, "rounds"),
        _rows(path, record, "best"),
        _value(path, record.get("value") or {}),
        tuple(_mixing(path, i, row) for i, row in enumerate(_rows(path, record, "mixing"))),
        tuple(_trend(path, i, row) for i, row in enumerate(_rows(path, record, "trends"))),
        finished=bool(record),
    )


def _begun(folder: Path) -> dict[str, Any]:
    """What the file of a campaign that wrote no record says of its oracle, so that no result stands without it."""
    if not (Path(folder) / FILE).is_file():
        return {}
    with open_read_only(Path(folder)) as connection:
        meta = dict(connection.execute("SELECT name, value FROM meta"))
    return {"oracle": {"name": meta.get("oracle"), "note": meta.get("oracle_note")}}


def _load(text: str, where: str) -> Any:
    try:
        return _finite(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{where} is not JSON ({error}); the run may have been cut off: `matjax campaign export` writes it again"
        ) from error


def _finite(value: Any) -> Any:
    """The value with every NaN and infinity, however deep, as None."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text ({error}); `matjax campaign export` writes it again") from error


def _record(path: Path) -> dict[str, Any]:
    record = _load(_text(path), str(path))
    if not isinstance(record, dict):
        raise ValueError(f"{path} holds {type(record).__name__}; it must be an object")
    if not _is_number(record.get("temperature")):
        raise ValueError(f"{path}: temperature must be a number (K) or null; got {record['temperature']!r}; curves over it are `trends`")
    return record


def _trace(path: Path) -> tuple[Row, ...]:
    lines = [(i, line) for i, line in enumerate(_text(path).splitlines(), 1) if line.strip()]
    return tuple(_checked(f"{path}, line {i}", _load(line, f"{path}, line {i}")) for i, line in lines)


def _checked(where: str, row: Any, check: bool = True) -> Row:
    """A row whose numbers are numbers or null."""
    if not isinstance(row, dict):
        raise ValueError(f"{where} holds {type(row).__name__}; it must be an object")
    wrong = {name: row[name] for name in NUMBERS if check and not _is_number(row.get(name))}
    if wrong:
        raise ValueError(f"{where}: {', '.join(wrong)} must be a number or null; got {list(wrong.values())}")
    for name in ("composition", "weight_percent"):
        shares = row.get(name) or {}
        if not isinstance(shares, dict) or not all(_is_number(share) and share is not None for share in shares.values()):
            raise ValueError(f"{where}: {name} must be an object of a number per element; got {shares!r}")
    unknown = [symbol for symbol in row.get("composition") or {} if symbol not in SYMBOLS[1:]]
    if unknown:
        raise ValueError(f"{where}: composition names {', '.join(unknown)}, which is no element")
    phases = row.get("competitors") or []
    if not isinstance(phases, list) or not all(isinstance(phase, dict) for phase in phases):
        raise ValueError(f"{where}: competitors must be a list of objects; got {phases!r}")
    return row


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _rows(path: Path, record: Mapping[str, Any], name: str) -> tuple[Row, ...]:
    rows = record.get(name) or []
    if not isinstance(rows, list):
        raise ValueError(f"{path}: {name} must be a list of objects; got {type(rows).__name__}")
    numbers = name not in ("curves", "mixing", "trends")  # those hold lists under the same names
    return tuple(_checked(f"{path}, {name} {i}", row, numbers) for i, row in enumerate(rows))


def _array(path: Path, field: str, values: Any, n_axis: int) -> np.ndarray:
    """Nested lists of numbers and nulls as an array of `n_axis` axes, null as NaN."""
    try:
        array = np.array(values if values is not None else [], dtype=object)
        array = np.where(array == None, np.nan, array).astype(float)  # noqa: E711 - elementwise
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {field} must be numbers and nulls, rows of equal length ({error})") from error
    if array.size and array.ndim != n_axis:
        raise ValueError(f"{path}: {field} must have {n_axis} axes; got shape {array.shape}")
    return array


def _curve(path: Path, i: int, row: Row) -> Curve:
    if not isinstance(row.get("proposer"), str):
        raise ValueError(f"{path}, curves {i}: proposer must be text; got {row.get('proposer')!r}")
    return Curve(row["proposer"], row.get("seed"), _array(path, f"curves {i} utility", row.get("utility"), 1))


def _mixing(path: Path, i: int, row: Row) -> Mixing:
    x, temperatures = (_array(path, f"mixing {i} {name}", row.get(name), 1) for name in ("x", "temperatures"))
    arrays = _shaped(path, f"mixing {i}", row, MIXING, (len(temperatures), len(x)))
    title, lattice, x_label = (str(row.get(name) or "") for name in ("title", "lattice", "x_label"))
    return Mixing(title, lattice, x_label, x, temperatures, arrays)


def _trend(path: Path, i: int, row: Row) -> Trend:
    temperature = _array(path, f"trends {i} T", row.get("T"), 1)
    return Trend(str(row.get("candidate") or "unnamed"), temperature, _shaped(path, f"trends {i}", row, TREND, temperature.shape))


def _shaped(path: Path, where: str, row: Row, names: Sequence[str], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The arrays of a row that were stored, all of one shape."""
    arrays = {name: _array(path, f"{where} {name}", row[name], len(shape)) for name in names if row.get(name)}
    for name, array in arrays.items():
        if array.shape != shape:
            raise ValueError(f"{path}: {where} {name} must have shape {shape}, as x and temperatures do; got {array.shape}")
    return {name: array for name, array in arrays.items() if np.isfinite(array).any()}


def _value(path: Path, value: Any) -> ValueMap:
    if not isinstance(value, dict):
        raise ValueError(f"{path}: value must be an object; got {type(value).__name__}")
    elements = tuple(map(str, value.get("elements") or ()))
    pairs = _array(path, "value pairs", value.get("pairs"), 2)
    if pairs.size and pairs.shape != (len(elements), len(elements)):
        raise ValueError(f"{path}: value pairs must be {len(elements)} by {len(elements)}, as elements are; got {pairs.shape}")
    ternary = value.get("ternary") or {}
    corners, points = tuple(map(str, ternary.get("elements") or ())), _array(path, "value ternary points", ternary.get("points"), 2)
    if points.size and (points.shape[1] != 4 or len(corners) != 3):
        raise ValueError(f"{path}: value ternary needs 3 elements and points [a, b, c, value]; got {corners} and shape {points.shape}")
    points = points[np.isfinite(points).all(1) & (points[:, :3].sum(1) > 0)] if points.size else points
    return ValueMap(elements, pairs if np.isfinite(pairs).any() else None, corners, points if points.size else None)
