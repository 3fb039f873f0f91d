"""Who is whose neighbour, fixed while atoms and lattice move: what energies that are differentiated, relaxed and strained share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import vesin

from matjax.types import Crystal

PADDING = 100.0
"""Length (Å) of the vector of a padding edge: beyond every cutoff."""


class Topology(NamedTuple):
    """Neighbours of a crystal, or of a stack of crystals of one shape (a leading axis on every array).

    Edges stand in rows of equal length, one row per receiver: edge k of atom i is number i * n_row + k, so edges are sorted
    by receiver and a sum over the neighbours of every atom is a sum over the last axis of `x.reshape(n_atom, n_row)`.

    numbers: [n_atom] int32, 0 on padding atoms; senders, receivers: [n_edge] int32, on padding edges both are the atom
    of the row; images: [n_edge, 3] float, whole lattice vectors; mask: [n_edge], False on padding.
    """

    numbers: jax.Array | np.ndarray
    senders: jax.Array | np.ndarray
    receivers: jax.Array | np.ndarray
    images: jax.Array | np.ndarray
    mask: jax.Array | np.ndarray


def edge_vectors(positions: jax.Array, lattice: jax.Array, topology: Topology) -> jax.Array:
    """Vectors of the edges of one crystal: receiver - sender + image @ lattice.

    Args:
      positions: Cartesian [n_atom, 3], Å.
      lattice: Rows a, b, c [3, 3], Å.
      topology: Of the crystal.

    Returns:
      [n_edge, 3] in Å; padding edges are constants of length PADDING, so every function of them has a finite derivative.
    """
    n_atom = positions.shape[0]
    at_receiver = jnp.broadcast_to(positions[:, None], (n_atom, topology.senders.shape[0] // n_atom, 3)).reshape(-1, 3)
    vectors = at_receiver - positions[topology.senders] + topology.images.astype(positions.dtype) @ lattice
    return jnp.where(topology.mask[:, None], vectors, jnp.array([[PADDING, 0.0, 0.0]], positions.dtype))


def topology(crystal: Crystal, cutoff: float | np.ndarray, n_edge: int | None = None, n_atom: int | None = None) -> Topology:
    """The neighbours of a crystal within the cutoff, every image counted.

    Args:
      crystal: The crystal.
      cutoff: In Å; or a symmetric table [119, 119] of cutoffs by atomic numbers, zero where two elements do not meet.
      n_edge: Room for edges, padding included: a multiple of n_atom; as many as the most crowded atom needs by default.
      n_atom: Room for atoms, padding included; as many as there are by default.

    Returns:
      Arrays of NumPy.

    Raises:
      ValueError: If the crystal does not fit the room, or the cutoff is not positive.

    Source:
      vesin (github.com/Luthaf/vesin) finds the pairs.
    """
    n_atom = len(crystal) if n_atom is None else n_atom
    senders, receivers, images = _pairs(crystal, cutoff)
    counts = np.bincount(receivers, minlength=n_atom)
    n_row = int(counts.max(initial=1)) if n_edge is None else n_edge // n_atom
    if len(crystal) > n_atom or counts.max(initial=0) > n_row or n_row * n_atom != (n_edge or n_row * n_atom):
        raise ValueError(
            f"{len(crystal)} atoms with up to {counts.max(initial=0)} neighbours do not fit {n_atom} atoms and {n_edge} edges; "
            f"edges stand in rows of equal length, so give at least {n_atom * counts.max(initial=0)}, a multiple of {n_atom}"
        )
    column = np.arange(len(receivers)) - np.repeat(np.cumsum(counts) - counts, counts)
    slot = receivers * n_row + column
    own = np.repeat(np.arange(n_atom, dtype=np.int32), n_row)
    padded = Topology(
        np.zeros(n_atom, np.int32), own.copy(), own, np.zeros((n_atom * n_row, 3), np.float32), np.zeros(n_atom * n_row, bool)
    )
    padded.numbers[: len(crystal)] = crystal.numbers
    padded.senders[slot], padded.images[slot], padded.mask[slot] = senders, images, True
    return padded


def stack(topologies: Sequence[Topology]) -> Topology:
    """Topologies of one shape under a leading axis."""
    return Topology(*(np.stack(arrays) for arrays in zip(*topologies, strict=True)))


def _pairs(crystal: Crystal, cutoff: float | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Senders, receivers (ascending) and images of all directed pairs within the cutoff."""
    table = np.asarray(cutoff, np.float64)
    kinds = np.unique(crystal.numbers)
    reach = float(table if table.ndim == 0 else table[np.ix_(kinds, kinds)].max())
    if not reach > 0:
        raise ValueError(f"cutoff is {reach} Å; it must be positive")
    search = vesin.NeighborList(cutoff=reach, full_list=True, sorted=True, n_threads=1)
    # vesin's own name for the row-vector lattice is `box`; its pairs point from i to j, ours from sender j to receiver i.
    i, j, shift, length = search.compute(points=crystal.positions, box=crystal.lattice, periodic=crystal.pbc, quantities="ijSd")
    keep = slice(None) if table.ndim == 0 else length < table[crystal.numbers[i], crystal.numbers[j]]
    receivers, senders = np.asarray(i, np.int32)[keep], np.asarray(j, np.int32)[keep]
    return senders, receivers, -np.asarray(shift, np.float32).reshape(-1, 3)[keep]
