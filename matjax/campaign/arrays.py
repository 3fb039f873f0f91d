"""Arrays on disk, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def replace_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz beside its place, then puts it there at once.

    Args:
      path: Ends in .npz; folders are made.
      arrays: By name; no objects.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial.npz")
    try:
        np.savez(partial, **arrays)  # type: ignore[arg-type]
        with open(partial, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
