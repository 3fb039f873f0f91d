"""Neighbour lists of periodic crystals: every image within the cutoff, however small the cell."""

from __future__ import annotations

import numpy as np
import vesin

from matjax.types import Crystal


def neighbours(crystal: Crystal, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directed neighbour pairs within the cutoff, sorted by receiver.

    A pair of atoms occurs once per periodic image; an atom is a neighbour of its own images.

    Args:
      crystal: The crystal.
      cutoff: In Å.

    Returns:
      senders [n_edge] int32, receivers [n_edge] int32 (ascending), vectors [n_edge, 3] in Å with
      vector = receiver - sender + image @ lattice.

    Raises:
      ValueError: If the cutoff is not positive.

    Source:
      vesin (github.com/Luthaf/vesin) finds the pairs.
    """
    if not cutoff > 0:
        raise ValueError(f"cutoff is {cutoff} Å; it must be positive")
    search = vesin.NeighborList(cutoff=float(cutoff), full_list=True, sorted=True, n_threads=1)
    # vesin's own name for the row-vector lattice is `box`; its distance vector points from i to j.
    i, j, vector = search.compute(points=crystal.positions, box=crystal.lattice, periodic=crystal.pbc, quantities="ijD")
    receivers, senders = np.asarray(i, np.int32), np.asarray(j, np.int32)
    return senders, receivers, -np.asarray(vector, np.float64).reshape(-1, 3)
