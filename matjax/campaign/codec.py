"""A result as bytes and back, exactly: arrays by safetensors, everything else as JSON beside them. Never pickle."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from matjax.types import Crystal, Dataset, Metadata, Result

HEADER = "header"
"""The array that holds the JSON text as bytes."""

Arrays = dict[str, np.ndarray]


def encode(result: Result) -> bytes:
    """The bytes of a result; equal results give equal bytes.

    Raises:
      ValueError: If it is no Result, or holds something that is neither a number, a text nor an array of them.
    """
    if not isinstance(result, Result):
        raise ValueError(f"an oracle must return a Result per crystal, not {type(result).__name__}")
    arrays: Arrays = {}
    header = {
        "status": result.status,
        "labels": {name: float(value) for name, value in result.labels.items()},
        "evidence": {name: float(value) for name, value in result.evidence.items()},
        "cost": float(result.cost),
        "error": str(result.error),
        "crystal": None if result.crystal is None else _put_crystals([result.crystal], arrays, "crystal"),
        "frames": None if result.frames is None else _put_dataset(result.frames, arrays),
    }
    if result.elastic is not None:
        arrays["elastic"] = np.ascontiguousarray(result.elastic)
    arrays[HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    return save(arrays)


def decode(data: bytes) -> Result:
    """The result that `encode` was given.

    Raises:
      ValueError: If the bytes are cut short or not of this kind.
    """
    try:
        arrays = load(data)
        header = json.loads(arrays.pop(HEADER).tobytes())
        frames, has_crystal = header.pop("frames"), header.pop("crystal") is not None
    except (SafetensorError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"these {len(data)} bytes hold no result: {error}") from error
    return Result(
        **header,
        crystal=_take_crystals(arrays, "crystal")[0] if has_crystal else None,
        elastic=arrays.get("elastic"),
        frames=None if frames is None else _take_dataset(frames, arrays),
    )


def _put_crystals(crystals: Sequence[Crystal], arrays: Arrays, name: str) -> int:
    """Puts crystals behind one another; returns how many."""
    arrays[f"{name}.n_atom"] = np.array([len(c) for c in crystals], np.int64)
    arrays[f"{name}.lattice"] = np.array([c.lattice for c in crystals]).reshape(-1, 3, 3)
    arrays[f"{name}.pbc"] = np.array([c.pbc for c in crystals], bool).reshape(-1, 3)
    arrays[f"{name}.positions"] = _stack([c.positions for c in crystals], (0, 3), np.float64)
    arrays[f"{name}.numbers"] = _stack([c.numbers for c in crystals], (0,), np.int32)
    return len(crystals)


def _take_crystals(arrays: Arrays, name: str) -> tuple[Crystal, ...]:
    n_atom = arrays[f"{name}.n_atom"]
    positions, numbers = (_split(arrays[f"{name}.{part}"], n_atom) for part in ("positions", "numbers"))
    parts = zip(arrays[f"{name}.lattice"], positions, numbers, arrays[f"{name}.pbc"], strict=True)
    return tuple(Crystal(*part) for part in parts)


def _put_dataset(frames: Dataset, arrays: Arrays) -> dict[str, Any]:
    """Puts the arrays of a data set; returns the rest of it."""
    _put_crystals(frames.crystals, arrays, "frames")
    per_atom = [name for name, column in frames.labels.items() if not isinstance(column, np.ndarray)]
    for name, column in frames.labels.items():
        arrays[f"frames.label.{name}"] = _stack(column, (0, 3), np.float64) if name in per_atom else np.ascontiguousarray(column)
    texts: dict[str, Any] = {}
    for name, column in frames.domains.items():
        if np.asarray(column).dtype.kind in "biuf":
            arrays[f"frames.domain.{name}"] = np.ascontiguousarray(column)
        else:
            texts[name] = {"dtype": np.asarray(column).dtype.str, "values": [str(value) for value in column]}
    metadata = dataclasses.asdict(frames.metadata) | {"units": dict(frames.metadata.units)}
    columns = {"labels": list(frames.labels), "per_atom": per_atom, "domains": list(frames.domains), "texts": texts}
    return {"ids": list(frames.ids), "metadata": metadata, **columns}


def _take_dataset(header: Mapping[str, Any], arrays: Arrays) -> Dataset:
    metadata = dict(header["metadata"])
    metadata["set_aside"] = tuple(tuple(pair) for pair in metadata["set_aside"])

    def label(name: str) -> Any:
        array = arrays[f"frames.label.{name}"]
        return _split(array, arrays["frames.n_atom"]) if name in header["per_atom"] else array

    def domain(name: str) -> np.ndarray:
        text = header["texts"].get(name)
        return arrays[f"frames.domain.{name}"] if text is None else np.array(text["values"], text["dtype"])

    return Dataset(
        crystals=_take_crystals(arrays, "frames"),
        ids=tuple(header["ids"]),
        labels={name: label(name) for name in header["labels"]},
        domains={name: domain(name) for name in header["domains"]},
        metadata=Metadata(**metadata),
    )


def _stack(arrays: Any, empty: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.concatenate(arrays) if len(arrays) else np.zeros(empty, dtype)


def _split(array: np.ndarray, n_atom: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.split(array, np.cumsum(n_atom)[:-1])) if len(n_atom) else ()
