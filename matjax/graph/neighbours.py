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


def neighbours(crystal: Crystal, cutoff: float, dtype: type[np.floating] = np.float64) -> Neighbours:
    """Neighbour pairs within the cutoff.

    A pair of atoms occurs once per periodic image and direction; an atom is a neighbour of its own images.

    Args:
      crystal: The crystal.
      cutoff: In Å.
      dtype: Of the vectors; float32 halves what is moved.

    Raises:
      ValueError: If the cutoff is not positive.

    Source:
      vesin (github.com/Luthaf/vesin) finds the pairs.
    """
    if not cutoff > 0:
        raise ValueError(f"cutoff is {cutoff} Å; it must be positive")
    search = vesin.NeighborList(cutoff=float(cutoff), full_list=False, sorted=False, n_threads=1)  # one per call: safe in any thread
    # vesin's own name for the row-vector lattice is `box`; its vector points from the first atom of a pair to the second.
    pairs, vector = search.compute(crystal.positions, crystal.lattice, crystal.pbc, quantities="PD", copy=False)
    n_pair, vector = len(pairs), vector.astype(dtype)
    ends = pairs.astype(np.int32).T.ravel()  # receivers of the pairs as they were found, then of their mirror images
    order = np.argsort(ends.astype(np.uint16) if len(crystal) < 2**16 else ends, kind="stable")  # 16 bits are sorted by radix
    place = np.empty(2 * n_pair, np.int32)
    place[order] = np.arange(2 * n_pair, dtype=np.int32)
    return Neighbours(
        senders=np.concatenate([ends[n_pair:], ends[:n_pair]])[order],
        receivers=ends[order],
        vectors=np.concatenate([-vector, vector]).take(order, axis=0),
        pair=(order - n_pair * (order >= n_pair)).astype(np.int32),
        first=place[:n_pair],
    )
