"""Force constants from as few displacements as a crystal's symmetry needs, spread over all atoms by its operations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import spglib

from matjax.simulate.supercell import cells_within, residues, supercell
from matjax.types import Crystal

Product = Callable[[Crystal, np.ndarray], np.ndarray]
"""(supercell, displacements [k, n_super, 3]) -> change of the gradient of the energy along each of them [k, n_super, 3], eV/Å²."""

INDEPENDENT = 0.25
"""Smallest singular value, relative to that of a complete set, with which directions count as spanning space."""


class Operations(NamedTuple):
    """Symmetry operations of a crystal that its supercell shares.

    rotations: Cartesian [n_op, 3, 3], x' = R x; atom: [n_op, n_atom] where each primitive atom goes; supercell_atom: [n_op, n_atom,
    n_super] where the supercell's atoms go if the image of primitive atom i is taken back into the first cell.
    """

    rotations: np.ndarray
    atom: np.ndarray
    supercell_atom: np.ndarray


def operations(crystal: Crystal, matrix: np.ndarray, tolerance: float) -> Operations:
    """The symmetry operations that a supercell shares with its crystal; the identity alone where none are found.

    Args:
      crystal: Primitive cell.
      matrix: Of the supercell.
      tolerance: How far an atom may be from its image, Å.
    """
    fractions = crystal.positions @ np.linalg.inv(crystal.lattice)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib 2 announces on every call that it will raise errors
        cell: Any = (crystal.lattice, fractions, crystal.numbers)
        found: Any = spglib.get_symmetry(cell, symprec=tolerance)
    if found is None:
        found = {"rotations": np.eye(3, dtype=int)[None], "translations": np.zeros((1, 3))}
    cells, n_atom = cells_within(matrix), len(crystal)
    number = {tuple(residue): i for i, residue in enumerate(residues(cells, matrix))}
    rotations, atoms, supercell_atoms = [], [], []
    for turn, shift in zip(found["rotations"], found["translations"], strict=True):
        turned = matrix @ turn.T @ np.linalg.inv(matrix)
        moved = fractions @ turn.T + shift
        offset = moved[:, None] - fractions[None]
        near = np.abs((offset - np.rint(offset)) @ crystal.lattice).max(-1) + 1e3 * (crystal.numbers[:, None] != crystal.numbers[None])
        atom = near.argmin(1)
        if not np.allclose(turned, np.rint(turned), atol=1e-6) or near.min(1).max() > 2 * tolerance or len(set(atom)) < n_atom:
            continue
        home = np.rint(moved - fractions[atom]).astype(int)  # cell in which the image of every primitive atom lies
        reached = home[None, :, None] + (cells @ turn.T)[None, None] - home[:, None, None]
        cell = np.array([number[tuple(r)] for r in residues(reached, matrix).reshape(-1, 3)]).reshape(n_atom, n_atom, len(cells))
        rotations.append(crystal.lattice.T @ turn @ np.linalg.inv(crystal.lattice.T))
        atoms.append(atom)
        supercell_atoms.append((atom[None, :, None] * len(cells) + cell).reshape(n_atom, -1))
    return Operations(np.array(rotations), np.array(atoms), np.array(supercell_atoms))


def symmetric_force_constants(product: Product, crystal: Crystal, matrix: np.ndarray, tolerance: float) -> np.ndarray:
    """Force constants [n_atom, n_super, 3, 3] of a primitive cell's atoms with those of a supercell, eV/Å².

    One atom of every orbit is displaced, along as few directions as its site symmetry turns into a complete set; what the set says
    more than once is averaged (least squares), so that the answer has the symmetry of the crystal.

    Args:
      product: Products of the supercell's Hessian with displacements.
      crystal: Primitive cell.
      matrix: Of the supercell.
      tolerance: Of the symmetry, Å; 0 displaces every atom along x, y and z.
    """
    large, n_cell = supercell(crystal, matrix), len(cells_within(matrix))
    known = operations(crystal, matrix, tolerance) if tolerance else _identity(len(crystal), len(large))
    orbits = known.atom.min(0)
    first = [i for i in range(len(crystal)) if orbits[i] == i]
    directions = {i: _directions(known.rotations[known.atom[:, i] == i]) for i in first}
    moves = np.zeros((sum(map(len, directions.values())), len(large), 3))
    owners = np.concatenate([np.full(len(d), i) for i, d in directions.items()]).astype(int)
    moves[np.arange(len(moves)), owners * n_cell] = np.concatenate(list(directions.values()))
    answers = np.asarray(product(large, moves), np.float64)
    values = np.zeros((len(crystal), len(large), 3, 3))
    for i in first:
        values[i] = _solved(known, i, directions[i], answers[owners == i])
    for j in range(len(crystal)):
        i = orbits[j]
        if i != j:
            op = int(np.argmax(known.atom[:, i] == j))
            values[j, known.supercell_atom[op, i]] = known.rotations[op] @ values[i] @ known.rotations[op].T
    return values


def _solved(known: Operations, atom: int, directions: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Force constants of one atom [n_super, 3, 3], first index its own component."""
    site = np.flatnonzero(known.atom[:, atom] == atom)
    left = np.einsum("gab,kb->gka", known.rotations[site], directions).reshape(-1, 3)
    right = np.zeros((len(site), *answers.shape))
    for row, op in enumerate(site):
        right[row][:, known.supercell_atom[op, atom]] = answers @ known.rotations[op].T
    solution = np.linalg.lstsq(left, right.reshape(len(left), -1), rcond=None)[0]
    return solution.reshape(3, -1, 3).transpose(1, 0, 2)


def _directions(site: np.ndarray) -> np.ndarray:
    """The fewest unit vectors [k, 3] whose images under a point group [n_op, 3, 3] span space well."""
    trials = np.random.default_rng(0).normal(size=(400, 2, 3))
    trials /= np.linalg.norm(trials, axis=-1, keepdims=True)
    for k in (1, 2):
        turned = np.einsum("gab,tkb->tgka", site, trials[:, :k]).reshape(len(trials), -1, 3)
        smallest = np.sqrt(np.abs(np.linalg.eigvalsh(np.einsum("tna,tnb->tab", turned, turned))[:, 0]) * 3 / turned.shape[1])
        if smallest.max() > INDEPENDENT:
            return trials[smallest.argmax(), :k]
    return np.eye(3)


def _identity(n_atom: int, n_super: int) -> Operations:
    own = np.broadcast_to(np.arange(n_super), (1, n_atom, n_super))
    return Operations(np.eye(3)[None], np.arange(n_atom)[None], own)
