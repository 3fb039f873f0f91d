"""Atoms and the lattice they repeat on."""

from __future__ import annotations

import dataclasses
import hashlib
from functools import cached_property

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Crystal:
    """Atoms, periodic along some or all lattice vectors.

    Attributes:
      lattice: Rows a, b, c [3, 3], Å. A direction that is not periodic still needs a vector (it spans the volume).
      positions: Cartesian [n_atom, 3], Å.
      numbers: Atomic numbers [n_atom], 1 to 118.
      pbc: Periodic along a, b, c [3].
    """

    lattice: np.ndarray
    positions: np.ndarray
    numbers: np.ndarray
    pbc: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(3, bool))

    def __post_init__(self) -> None:
        """Casts to float64, int32 and bool, checks shapes, and makes the arrays read-only."""
        shapes = {"lattice": (3, 3), "positions": (len(self.numbers), 3), "numbers": (len(self.numbers),), "pbc": (3,)}
        dtypes = {"lattice": np.float64, "positions": np.float64, "numbers": np.int32, "pbc": bool}
        for name, shape in shapes.items():
            array = np.array(getattr(self, name), dtypes[name])
            if array.shape != shape:
                raise ValueError(f"{name} of a crystal has shape {array.shape}; it must be {shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Cell volume in Å³, positive also for a left-handed cell."""
        return float(abs(np.linalg.det(self.lattice)))

    @cached_property
    def key(self) -> str:
        """Content hash (16 hex digits): equal for equal arrays, on every machine and run."""
        digest = hashlib.sha256()
        for array in (self.lattice, self.positions, self.numbers, self.pbc):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]
