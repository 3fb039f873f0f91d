"""Neighbour lists of periodic crystals: every image within the cutoff, however small the cell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import vesin

from matjax.types import Crystal


class Neighbours(NamedTuple):
    """Directed neighbour pairs, sorted by receiver, and how they pair up.

    senders, receivers [n_edge] int32, receivers ascending; vectors [n_edge, 3] in Å: receiver - sender + image @ lattice; pair
    [n_edge] int32: undirected pair of each edge; first [n_edge / 2] int32: one edge of each pair.
    """

    senders: np.ndarray
    receivers: np.ndarray
    vectors: np.ndarray
    pair: np.ndarray
    first: np.ndarray


def neighbours(crystal: Crystal, cutoff: float) -> Neighbours:
    """Neighbour pairs within the cutoff.

    A pair of atoms occurs once per periodic image and direction; an atom is a neighbour of its own images.

    Args:
      crystal: The crystal.
      cutoff: In Å.

    Raises:
      ValueError: If the cutoff is not positive.

    Source:
      vesin (github.com/Luthaf/vesin) finds the pairs.
    """
    if not cutoff > 0:
        raise ValueError(f"cutoff is {cutoff} Å; it must be positive")
    search = vesin.NeighborList(cutoff=float(cutoff), full_list=False, sorted=False, n_threads=1)
    # vesin's own name for the row-vector lattice is `box`; its distance vector points from i to j.
    i, j, vector = search.compute(points=crystal.positions, box=crystal.lattice, periodic=crystal.pbc, quantities="ijD")
    n_pair = len(i)
    vector = np.asarray(vector, np.float64).reshape(-1, 3)
    receivers = np.concatenate([i, j]).astype(np.uint16 if len(crystal) < 2**16 else np.int32)
    order = np.argsort(receivers, kind="stable")
    place = np.empty(2 * n_pair, np.int32)
    place[order] = np.arange(2 * n_pair, dtype=np.int32)
    return Neighbours(
        senders=np.concatenate([j, i]).astype(np.int32)[order],
        receivers=receivers[order].astype(np.int32),
        vectors=np.concatenate([-vector, vector])[order],
        pair=np.where(order < n_pair, order, order - n_pair).astype(np.int32),
        first=place[:n_pair],
    )
