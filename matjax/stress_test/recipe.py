"""Recipes of shifts: named, hashed, kept in a file, and refused where the data are others or the splits come out differently."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jax

from matjax.data.forward_chaining import ForwardChaining
from matjax.data.group_folds import GroupFolds
from matjax.data.shifts import LeaveElementOut, LeaveOut, PropertyTail, Random, Shift
from matjax.stress_test.leave_cluster_out import LeaveClusterOut
from matjax.stress_test.selection_shift import SelectionShift
from matjax.toml import from_dict, to_dict
from matjax.types import Dataset, Split

AnyShift = Random | LeaveOut | LeaveElementOut | GroupFolds | ForwardChaining | LeaveClusterOut | PropertyTail | SelectionShift
"""The shifts that settings can name by `kind`."""

VERSION = 1
PARTS = ("train", "validation", "calibration", "test_inside", "test_outside", "target")


def shift_key(shift: Any, dataset: Dataset) -> str:
    """Content hash of a shift on a data set (16 hex digits): the same recipe and the same data, whatever the machine and the day."""
    return _digest(json.dumps(to_dict(shift, AnyShift), sort_keys=True), dataset.key)


def save_recipe(path: Path | str, shift: Any, dataset: Dataset, seed: int = 0) -> None:
    """Writes a shift as JSON with the hash of the data, and of every part of every split that it yields.

    Args:
      path: The file.
      shift: A shift of `AnyShift`, or a spec of your own.
      dataset: What it is applied to.
      seed: Of the splits.

    Raises:
      ValueError: If the shift cannot be applied to the data.
    """
    content = {
        "version": VERSION,
        "key": shift_key(shift, dataset),
        "shift": to_dict(shift, AnyShift),
        "data": {"name": dataset.metadata.name, "key": dataset.key, "n": len(dataset)},
        "seed": seed,
        "splits": [_described(split) for split in shift(dataset, jax.random.key(seed))],
    }
    Path(path).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_recipe(path: Path | str, dataset: Dataset) -> tuple[Shift, int]:
    """The shift of a file and its seed, once it is sure that both give the very same splits.

    Raises:
      ValueError: If the file is no recipe, the data are others, or a split has come out differently.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        version, data, seed, splits = content["version"], content["data"], int(content["seed"]), content["splits"]
        shift = from_dict(content["shift"], AnyShift, "shift")
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no recipe of a shift ({error}); write one with save_recipe") from error
    if version != VERSION:
        raise ValueError(f"{path} is a recipe of version {version}; this matjax reads version {VERSION}")
    if data["key"] != dataset.key:
        raise ValueError(
            f"{path} was made for {data['name']!r} (n={data['n']}, {data['key']}); these are {dataset.metadata.name!r} "
            f"(n={len(dataset)}, {dataset.key}). Crystals, ids, labels and domain columns must be the same"
        )
    if content["key"] != shift_key(shift, dataset):
        raise ValueError(f"{path}: the shift was changed after it was written; its key {content['key']} is of another one")
    now = [_described(split) for split in shift(dataset, jax.random.key(seed))]
    if now != splits:
        other = next((a["domain"] for a, b in zip(splits, now, strict=False) if a != b), f"{len(now)} domains for {len(splits)}")
        raise ValueError(f"{path}: the same recipe now gives another split ({other}); versions of numpy or scikit-learn may differ")
    return shift, seed


def _described(split: Split) -> dict[str, Any]:
    """Name, sizes and hash of a split."""
    ids = {name: getattr(split, name).ids for name in PARTS}
    return {
        "shift": split.shift,
        "domain": split.domain,
        "n": {name: len(part) for name, part in ids.items()},
        "key": _digest(*("\n".join([name, *part]) for name, part in ids.items())),
    }


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
