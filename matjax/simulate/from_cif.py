"""A crystal of the user's becomes a prototype: its symmetry says which sites are one orbit."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import spglib

from matjax.graph.neighbours import neighbours
from matjax.types import Crystal

SYMPREC = 1e-2
"""Å within which two sites are the same under an operation."""


def orbits_of(crystal: Crystal) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The primitive cell of a crystal without its elements.

    Sites are one orbit where the symmetry of the crystal, elements included, maps them onto each other. Orbits are listed majority
    first, of equal ones the larger atomic number first.

    Args:
      crystal: Any ordered crystal, Å.

    Returns:
      Vectors [3, 3] in nearest-neighbour distances, fractional coordinates [n_atom, 3], orbit of each site [n_atom].

    Raises:
      ValueError: If spglib finds no symmetry, or the crystal has one site only.
    """
    cell: Any = (crystal.lattice, crystal.positions @ np.linalg.inv(crystal.lattice), crystal.numbers)  # spglib asks for lists
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        primitive = spglib.standardize_cell(cell, to_primitive=True, no_idealize=False, symprec=SYMPREC)
        dataset = None if primitive is None else spglib.get_symmetry_dataset(primitive, symprec=SYMPREC)
    if primitive is None or dataset is None:
        raise ValueError(
            f"spglib finds no symmetry of this crystal of {len(crystal)} atoms within {SYMPREC} Å; check for overlapping atoms"
        )
    vectors, frac, numbers = (np.asarray(x) for x in primitive)
    if len(numbers) == 1:
        raise ValueError("this crystal has one site per primitive cell: a lattice, not an ordered structure")
    names, size = np.unique(dataset.equivalent_atoms, return_counts=True)
    order = sorted(range(len(names)), key=lambda k: (-size[k], -numbers[names[k]], names[k]))
    rank = {names[k]: i for i, k in enumerate(order)}
    orbit = np.array([rank[k] for k in dataset.equivalent_atoms])
    by_orbit = np.argsort(orbit, kind="stable")
    return vectors / _nearest(Crystal(vectors, frac @ vectors, numbers)), frac[by_orbit], orbit[by_orbit]


def _nearest(crystal: Crystal) -> float:
    """Shortest distance between two sites, Å."""
    cutoff = (abs(np.linalg.det(crystal.lattice)) / len(crystal)) ** (1 / 3)
    while True:
        vectors = neighbours(crystal, cutoff)[2]
        if len(vectors):
            return float(np.linalg.norm(vectors, axis=1).min())
        cutoff *= 1.5


def read_prototype(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`orbits_of` the crystal in a CIF file.

    Raises:
      ValueError: If the file is not there, or no ordered crystal can be read from it.
    """
    from ase.io import read

    from matjax.data.convert import from_ase

    if not Path(path).is_file():
        raise ValueError(f"prototype {path!r}: there is no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = read(path, format="cif")
            crystal = from_ase(atoms)  # type: ignore[arg-type]
    except Exception as error:  # whatever the reader stumbles over, the user is told which file it was
        raise ValueError(f"prototype {path!r} cannot be read as a CIF file of an ordered crystal: {error}") from error
    occupancies = atoms.info.get("occupancy", {})  # type: ignore[union-attr]
    if any(len(site) > 1 or any(x < 1 for x in site.values()) for site in occupancies.values()):
        raise ValueError(f"prototype {path!r} has sites that are partly occupied or mixed; a prototype needs one element on each site")
    return orbits_of(crystal)
