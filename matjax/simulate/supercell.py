"""Supercells and the images of their atoms: where force constants of a crystal are taken, and to which neighbours they belong."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from ase.geometry import minkowski_reduce

from matjax.types import Crystal

IMAGE_TOLERANCE = 1e-4
"""Images of an atom whose distances differ by less (Å) share its force constant."""

_SHIFTS = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
_REPEATS = np.array(list(itertools.product(range(1, 9), repeat=3)))


class Images(NamedTuple):
    """The images of every atom of a supercell that are nearest to every atom of the primitive cell.

    vectors: [n_atom, n_super, n_image, 3] from the primitive atom to the image, Å; cells: the same in lattice vectors of the
    primitive cell, without the atoms' places in it: whole numbers; weight: [n_atom, n_super, n_image], one over the number of
    nearest images, zero on padding.
    """

    vectors: np.ndarray
    cells: np.ndarray
    weight: np.ndarray


def supercell_matrix(crystal: Crystal, length: float, max_atom: int | None = None) -> np.ndarray:
    """The smallest diagonal supercell in which an atom is `length` away from its own nearest image.

    Args:
      crystal: Primitive cell.
      length: Å.
      max_atom: Of what holds at most so many atoms, the one with the farthest image is taken where `length` cannot be had; at least
        the crystal itself.

    Returns:
      [3, 3] whole numbers; rows are the supercell's vectors in those of the crystal.
    """
    if not length > 0:
        raise ValueError(f"length is {length} Å; it must be positive")
    multiples = _REPEATS[np.argsort(_REPEATS.prod(1), kind="stable")]
    if max_atom is not None:
        multiples = multiples[multiples.prod(1) * len(crystal) <= max(max_atom, len(crystal))]
    reach = np.array([nearest_image(n[:, None] * crystal.lattice) for n in multiples])
    enough = reach >= min(length, reach.max()) - 1e-6
    return np.diag(multiples[np.argmax(enough)])


def supercell(crystal: Crystal, matrix: np.ndarray) -> Crystal:
    """The crystal repeated; copies of one atom stand together: atom i of cell c is number i * n_cell + c.

    Args:
      crystal: Primitive cell.
      matrix: [3, 3] whole numbers; rows are the supercell's vectors in those of the crystal.
    """
    cells = cells_within(matrix)
    positions = crystal.positions[:, None] + (cells @ crystal.lattice)[None]
    return Crystal(np.asarray(matrix) @ crystal.lattice, positions.reshape(-1, 3), np.repeat(crystal.numbers, len(cells)), crystal.pbc)


def cells_within(matrix: np.ndarray) -> np.ndarray:
    """Whole-number cells [n_cell, 3] of a supercell, one of each kind, the first at zero.

    Raises:
      ValueError: If the matrix is singular or does not consist of whole numbers.
    """
    matrix = np.asarray(matrix)
    whole = np.rint(matrix).astype(int)
    n_cell = round(abs(np.linalg.det(whole)))
    if matrix.shape != (3, 3) or not np.allclose(matrix, whole) or n_cell == 0:
        raise ValueError(f"supercell matrix is {matrix.tolist()}; it must be [3, 3] whole numbers with a determinant that is not zero")
    corners = np.array(list(itertools.product((0, 1), repeat=3))) @ whole
    ranges = [np.arange(low, high + 1) for low, high in zip(corners.min(0), corners.max(0), strict=True)]
    cells = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3)
    cells = cells[np.lexsort(np.abs(cells).T)]
    _, first = np.unique(residues(cells, whole), axis=0, return_index=True)
    return cells[np.sort(first)]


def residues(cells: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """What cells [..., 3] are modulo a supercell, as whole numbers [..., 3]: equal where they differ by its vectors only."""
    n_cell = round(abs(np.linalg.det(matrix)))
    return np.mod(np.rint(cells @ np.linalg.inv(matrix) * n_cell).astype(int), n_cell)


def images(crystal: Crystal, matrix: np.ndarray) -> Images:
    """Nearest images of a supercell's atoms (those in the Wigner-Seitz cell around every primitive atom), ties shared.

    Args:
      crystal: Primitive cell.
      matrix: Of the supercell.

    Source:
      Parlinski, Li & Kawazoe, Phys. Rev. Lett. 78, 4063 (1997): force constants of atoms on the supercell's boundary are shared.
    """
    large, _ = minkowski_reduce(np.asarray(matrix) @ crystal.lattice)
    all_cells = cells_within(matrix)
    apart = crystal.positions[None, :, None] + (all_cells @ crystal.lattice)[None, None] - crystal.positions[:, None, None]
    span = apart.reshape(len(crystal), -1, 3)
    fractions = span @ np.linalg.inv(large)
    span = (fractions - np.rint(fractions)) @ large
    candidates = span[:, :, None] + (_SHIFTS @ large)[None, None]
    length = np.linalg.norm(candidates, axis=-1)
    order = np.argsort(length, axis=-1, kind="stable")
    nearest = np.take_along_axis(length, order, -1)
    is_near = nearest < nearest[..., :1] + IMAGE_TOLERANCE
    n_image = int(is_near.sum(-1).max())
    vectors = np.take_along_axis(candidates, order[..., None], 2)[:, :, :n_image]
    weight = is_near[..., :n_image] / is_near.sum(-1, keepdims=True)
    place = np.repeat(crystal.positions, len(all_cells), 0)[None, :, None] - crystal.positions[:, None, None]
    return Images(vectors, np.rint((vectors - place) @ np.linalg.inv(crystal.lattice)), weight)


def nearest_image(lattice: np.ndarray) -> float:
    """Distance (Å) of an atom from its own nearest image on a lattice [3, 3]."""
    reduced, _ = minkowski_reduce(lattice)
    return float(np.linalg.norm(reduced, axis=1).min())
