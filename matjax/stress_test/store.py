"""Rows and predictions of a stress test on disk: written whole or not at all, so that a killed run loses only what was running."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from matjax.stress_test.job import Job


def save_row(run_dir: Path, job: Job, row: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Predictions first, then the row: a row on disk is complete."""
    for folder in ("rows", "predictions"):
        (run_dir / folder).mkdir(parents=True, exist_ok=True)
    predictions, row_file = run_dir / "predictions" / f"{job.name}.npz", run_dir / "rows" / f"{job.name}.json"
    with open(partial := predictions.with_suffix(".partial"), "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
    os.replace(partial, predictions)
    (partial := row_file.with_suffix(".partial")).write_text(json.dumps(row, indent=1, allow_nan=False), encoding="utf-8")
    os.replace(partial, row_file)


def load_row(run_dir: Path, job: Job) -> dict[str, Any] | None:
    """The row on disk, or None where it is absent, cut short, or without its predictions: such a row is run again."""
    path = run_dir / "rows" / f"{job.name}.json"
    if not (path.exists() and (run_dir / "predictions" / f"{job.name}.npz").exists()):
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return None
