"""Pair matrices: whole crystals stacked into blocks of a fixed number of rows, one row per atom, one entry per pair of atoms.

A packed graph is a list of edges; small periodic cells have several edges per pair of atoms, one per image. Where a sum over the
images is all that is needed, a matrix over pairs turns every later sum over neighbours into a product of matrices. A block never cuts
a crystal, so that atoms of one crystal meet inside a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from matjax.types import Graph


class PairMatrix(NamedTuple):
    """Where atoms and pairs of a packed graph stand in `n_block` blocks of `width` rows.

    row [n_node]: the atom's row, or n_block * width where it has none (padding, no room); edge [n_pair]: the edges that stand for
    their undirected pairs; entry [n_pair]: (block, receiver, sender) as one index into [n_block, width, width], or the number
    of entries where there is none; share: 1 / edges per undirected pair among them; fits [n_graph]: the crystal has its rows.
    """

    row: jax.Array
    edge: jax.Array
    entry: jax.Array
    share: float
    fits: jax.Array


def pair_matrix(graph: Graph, width: int, n_block: int) -> PairMatrix:
    """Lays the crystals of a packed graph into blocks, the largest first, each into the first block with room (jit-able).

    Args:
      graph: Packed batch; without `edges.first` every edge is taken, each for half a pair.
      width: Atoms per block, at least those of the largest crystal.
      n_block: Blocks; `enough_blocks` always suffice.
    """
    n_node, n_graph = graph.nodes.mask.shape[0], graph.n_node.shape[0]
    n_row = n_block * width
    n_atom = jnp.asarray(graph.n_node) * jnp.asarray(graph.globals.mask)
    start = first_fit(n_atom, width, n_block)
    owner = jnp.repeat(jnp.arange(n_graph), graph.n_node, total_repeat_length=n_node)
    place: jax.Array = jnp.arange(n_node) - (jnp.cumsum(graph.n_node) - graph.n_node)[owner]
    fits = (start < n_row) | (n_atom == 0)
    row = jnp.where(jnp.asarray(graph.nodes.mask) & fits[owner], start[owner] + place, n_row)
    edge = jnp.arange(len(graph.senders)) if graph.edges.first is None else jnp.asarray(graph.edges.first)
    to, by = (row[jnp.asarray(ends)[edge]] for ends in (graph.receivers, graph.senders))
    entry = jnp.where(to < n_row, to * width + by % width, n_row * width)
    return PairMatrix(row, edge, entry, 0.5 if graph.edges.first is None else 1.0, fits)


def first_fit(n_atom: jax.Array, width: int, n_block: int) -> jax.Array:
    """First row of each crystal [n_graph], or n_block * width where no block has room.

    First-fit decreasing: the largest crystal first, each into the first block with room.

    Args:
      n_atom: Atoms of each crystal [n_graph]; zero for padding.
      width: Rows of a block.
      n_block: Number of blocks.

    Source:
      Johnson (1973), Near-optimal bin packing algorithms.
    """

    def place(room: jax.Array, n: jax.Array) -> tuple[jax.Array, jax.Array]:
        block = jnp.argmax(room >= n)
        fits = room[block] >= n
        start = jnp.where(fits, block * width + width - room[block], n_block * width)
        return room.at[block].add(jnp.where(fits, -n, 0)), start

    order = jnp.argsort(-n_atom)
    _, start = jax.lax.scan(place, jnp.full(n_block, width, n_atom.dtype), n_atom[order])
    return jnp.zeros_like(start).at[order].set(start)


def enough_blocks(n_node: int, n_graph: int, width: int) -> int:
    """Blocks that hold any batch of this shape: no two blocks are both at most half full, so 2 n_node / width suffice."""
    return max(1, min(n_graph, -(-2 * n_node // width)))


def blocks_needed(batches: Sequence[Sequence[int]], width: int) -> int:
    """The fewest blocks in which `pair_matrix` can lay each of these batches.

    Args:
      batches: Atoms of each crystal, batch by batch.
      width: Atoms per block.

    Raises:
      ValueError: If a crystal is larger than a block.
    """
    most = 1
    for n_atom in batches:
        room: list[int] = []
        for n in sorted(map(int, n_atom), reverse=True):
            if n > width:
                raise ValueError(
                    f"a crystal of {n} atoms does not fit blocks of {width}; blocks must be at least as wide as the largest crystal"
                )
            block = next((b for b, free in enumerate(room) if free >= n), None)
            if block is None:
                room.append(width - n)
            else:
                room[block] -= n
        most = max(most, len(room))
    return most
