"""Crystals to and from the objects of ASE and pymatgen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.geometry import complete_cell

from matjax.types import Crystal

if TYPE_CHECKING:
    from pymatgen.core import Structure


def from_ase(atoms: Atoms) -> Crystal:
    """The crystal of ASE atoms.

    Lattice vectors that ASE leaves at zero along directions that are not periodic become unit vectors orthogonal to the
    others; along a periodic direction a zero vector is kept, so that `check.problems` refuses it.

    Args:
      atoms: Atoms with any periodicity. Constraints, tags and calculators are left behind.

    Returns:
      The crystal. Atomic number 0 (ASE's `X`) passes: `check.problems` names it.
    """
    return Crystal(completed(np.asarray(atoms.cell), atoms.pbc), atoms.positions, atoms.numbers, atoms.pbc)


def to_ase(crystal: Crystal) -> Atoms:
    """ASE atoms of a crystal, positions as they are (not wrapped)."""
    return Atoms(numbers=crystal.numbers, positions=crystal.positions, cell=crystal.lattice, pbc=crystal.pbc)


def from_pymatgen(structure: Structure) -> Crystal:
    """The crystal of an ordered pymatgen structure; oxidation states are dropped.

    Raises:
      ValueError: If a site is disordered (several species, or an occupancy below one) or holds a dummy species.
    """
    from pymatgen.core import DummySpecies

    for k, site in enumerate(structure):
        if not site.is_ordered:
            raise ValueError(
                f"site {k} of {structure.formula} is disordered ({site.species_string}); order it first, for example by enumeration"
            )
        if isinstance(site.specie, DummySpecies):
            raise ValueError(
                f"site {k} of {structure.formula} holds the dummy species {site.specie.symbol}; only elements 1 to 118 are allowed"
            )
    numbers = np.array([site.specie.Z for site in structure], int)
    return Crystal(structure.lattice.matrix, structure.cart_coords, numbers, np.array(structure.lattice.pbc))


def to_pymatgen(crystal: Crystal) -> Structure:
    """The pymatgen structure of a crystal that is periodic in three directions.

    Raises:
      ValueError: If a direction is not periodic.
    """
    from pymatgen.core import Lattice, Structure

    if not crystal.pbc.all():
        raise ValueError(f"a pymatgen Structure is periodic along a, b and c, this crystal has pbc {crystal.pbc.tolist()}; use to_ase")
    return Structure(Lattice(crystal.lattice), crystal.numbers.tolist(), crystal.positions, coords_are_cartesian=True)


def completed(lattice: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """The lattice [3, 3] with unit vectors for zero rows along directions that are not periodic."""
    open_and_zero = ~np.asarray(pbc, bool) & ~lattice.any(1)
    if not open_and_zero.any():
        return lattice
    return np.where(open_and_zero[:, None], complete_cell(lattice), lattice)
