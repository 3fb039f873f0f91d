"""Predictions of every fit on disk: a run that was stopped goes on with the fits that are missing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Store:
    """Predictions of fits for all crystals, in one file.

    Attributes:
      rows: {fit: row of the table}.
      table: Predictions [n_fit, n], NaN where a fit is missing; writing to it writes the file.
    """

    rows: dict[str, int]
    table: np.ndarray

    def __contains__(self, fit: str) -> bool:
        """Whether the fit is done."""
        return bool(np.isfinite(self.table[self.rows[fit], 0]))

    def __getitem__(self, fit: str) -> np.ndarray:
        """Predictions of a fit [n]."""
        return np.asarray(self.table[self.rows[fit]], np.float64)

    def __setitem__(self, fit: str, predictions: np.ndarray) -> None:
        """Keeps the predictions of a fit; its first entry is written last."""
        row = self.rows[fit]
        self.table[row, 1:] = predictions[1:]
        self.table[row, 0] = predictions[0]


def open_store(folder: Path, method: str, fits: list[str], n: int, settings: str) -> Store:
    """The store of a method, begun where there is none.

    Raises:
      ValueError: If the folder holds a run of other settings or fits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about, path = folder / f"{method}.json", folder / f"{method}.npy"
    asked = {"settings": settings, "fits": fits, "n": n}
    if not about.exists():
        table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(fits), n))
        table[:] = np.nan
        about.write_text(json.dumps(asked), encoding="utf-8")
    elif json.loads(about.read_text(encoding="utf-8")) != asked:
        raise ValueError(f"{about} is of other settings, fits or crystals; give another --out, or remove the folder")
    return Store({name: i for i, name in enumerate(fits)}, np.lib.format.open_memmap(path, mode="r+"))
