"""An oracle that keeps its answers on the disk, so that methods and seeds that ask the same thing pay once."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matjax.types import Crystal, Result

CHUNK = 8


@dataclasses.dataclass(frozen=True)
class Remembered:
    """Another oracle with a memory; `cost` of a result stays that of its one measurement."""

    oracle: Any
    folder: Path

    def __getattr__(self, name: str) -> Any:
        """Everything but `measure` is the oracle's own."""
        return getattr(object.__getattribute__(self, "oracle"), name)

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal, from the folder where it is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        paths = [self.folder / f"{crystal.key}-{elastic:d}{frames:d}.pickle" for crystal in crystals]
        wanted = list({path: crystal for path, crystal in zip(paths, crystals, strict=True) if not path.exists()}.items())
        for i in range(0, len(wanted), CHUNK):
            part = wanted[i : i + CHUNK]
            for (path, _), result in zip(part, self.oracle.measure([c for _, c in part], elastic=elastic, frames=frames), strict=True):
                partial = path.with_suffix(".part")
                partial.write_bytes(pickle.dumps(result))
                partial.replace(path)
        return [pickle.loads(path.read_bytes()) for path in paths]
