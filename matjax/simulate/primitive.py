"""The primitive cell of a crystal: as few atoms as describe it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import spglib

from matjax.types import Crystal


def primitive(crystal: Crystal, symprec: float = 1e-3) -> Crystal:
    """The primitive cell, in the crystal's own orientation; the crystal itself where none is found.

    Args:
      crystal: Periodic in all directions.
      symprec: Distance within which atoms count as equivalent, Å.

    Raises:
      ValueError: If the crystal is not periodic in all directions.
    """
    if not crystal.pbc.all():
        raise ValueError(f"a primitive cell needs a crystal that is periodic along a, b and c; this one: {crystal.pbc.tolist()}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib 2 announces on every call that it will raise errors
        fractions = crystal.positions @ np.linalg.inv(crystal.lattice)
        cell: Any = (crystal.lattice, fractions, crystal.numbers)
        found: Any = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=symprec)
    if found is None:
        return crystal
    lattice, fractions, numbers = found
    return Crystal(lattice, fractions @ lattice, numbers)
