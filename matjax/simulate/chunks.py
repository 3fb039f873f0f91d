"""Crystals of many sizes in a few static shapes, so that a whole campaign compiles a handful of programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from matjax.simulate.topology import Topology, stack, topology
from matjax.types import Crystal

N_ATOM = (16, 32, 54)
"""Room for atoms: small compounds, the fcc cell, the bcc and hcp cells; larger crystals go up in steps of 32."""

N_ROW = 128
"""Room for the neighbours of an atom goes up in steps of this."""


class Chunk(NamedTuple):
    """Crystals of one shape, stacked. index: rows in the list they came from [k]; k <= n, since empty crystals fill the stack up.

    positions [n, n_atom, 3] Å; lattice [n, 3, 3] Å; topology: every array with a leading axis n.
    """

    index: np.ndarray
    positions: np.ndarray
    lattice: np.ndarray
    topology: Topology


def chunks(crystals: Sequence[Crystal], cutoff: float | np.ndarray, size: int) -> Iterator[Chunk]:
    """Packs crystals into chunks of `size` and of equal shape, small ones first.

    Args:
      crystals: The crystals.
      cutoff: In Å, or a table by pair of elements; see `topology`.
      size: Crystals in a chunk.
    """
    found = [topology(crystal, cutoff) for crystal in crystals]
    shapes: dict[tuple[int, int], list[int]] = {}
    for i, (crystal, neighbours) in enumerate(zip(crystals, found, strict=True)):
        shapes.setdefault(_shape(len(crystal), len(neighbours.senders) // len(crystal)), []).append(i)
    for (n_atom, n_row), rows in sorted(shapes.items()):
        for start in range(0, len(rows), size):
            index = np.array(rows[start : start + size])
            yield _packed(index, [crystals[i] for i in index], [_padded(found[i], n_atom, n_row) for i in index], size)


def _shape(n_atom: int, n_row: int) -> tuple[int, int]:
    up = lambda value, step: -(-value // step) * step
    return next((n for n in N_ATOM if n >= n_atom), up(n_atom, 32)), up(n_row, N_ROW)


def _padded(small: Topology, n_atom: int, n_row: int) -> Topology:
    """The same neighbours with more room."""
    n, row = len(small.numbers), len(small.senders) // len(small.numbers)
    own = np.repeat(np.arange(n_atom, dtype=np.int32), n_row).reshape(n_atom, n_row)
    senders, images, mask = own.copy(), np.zeros((n_atom, n_row, 3), np.float32), np.zeros((n_atom, n_row), bool)
    numbers = np.zeros(n_atom, np.int32)
    numbers[:n] = small.numbers
    senders[:n, :row], images[:n, :row], mask[:n, :row] = (
        array.reshape(n, row, *array.shape[1:]) for array in (small.senders, small.images, small.mask)
    )
    return Topology(numbers, senders.reshape(-1), own.reshape(-1), images.reshape(-1, 3), mask.reshape(-1))


def _packed(index: np.ndarray, crystals: Sequence[Crystal], topologies: Sequence[Topology], size: int) -> Chunk:
    n_atom = len(topologies[0].numbers)
    empty = topologies[0]._replace(
        numbers=np.zeros(n_atom, np.int32), senders=topologies[0].receivers, mask=np.zeros_like(topologies[0].mask)
    )
    positions = np.zeros((size, n_atom, 3))
    lattice = np.tile(np.eye(3), (size, 1, 1))
    for row, crystal in enumerate(crystals):
        positions[row, : len(crystal)], lattice[row] = crystal.positions, crystal.lattice
    return Chunk(index, positions, lattice, stack([*topologies, *[empty] * (size - len(crystals))]))
