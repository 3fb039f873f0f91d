"""Room for networks that lay crystals into blocks: as wide, and as many, as batches need.

Such a network has the attributes `width` (atoms per block) and `n_block` (blocks per batch), on which its parameters do not depend.
Every other network passes through unchanged.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TypeVar

import numpy as np

from matjax.graph.pack import Shape, plan
from matjax.graph.pair_matrix import blocks_needed
from matjax.nn.derivatives import Model
from matjax.types import Graph

M = TypeVar("M", bound=Model)

WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Atoms per block that are chosen from, so that few programs are compiled."""

N_ORDER = 16
"""Random orders of the training crystals on which blocks are counted."""


def planned(model: M, sizes: np.ndarray, shape: Shape) -> M:
    """The network with room for nearly every batch that is packed of these crystals; `with_room` sees to the rest.

    Args:
      model: Any network.
      sizes: Atoms and edges of every crystal [n, 2].
      shape: Of the batches.

    Raises:
      ValueError: If a crystal has more atoms than the network can take.
    """
    if not _has_blocks(model):
        return model
    width = _width(model, int(sizes[:, 0].max()))
    random = np.random.default_rng(0)
    orders = [None, *(random.permutation(len(sizes)) for _ in range(N_ORDER))]
    need = blocks_needed([sizes[rows, 0].tolist() for order in orders for rows in plan(sizes, shape, order)], width)
    return _cloned(model, width, _blocks(need, shape, width))


def with_room(model: M, batch: Graph) -> M:
    """The network with room for every crystal of a packed batch, or of a stack of them; itself where it has.

    Blocks grow in steps, so that the programs of one batch shape are at most a few.

    Args:
      model: Any network.
      batch: Packed batch, on the host.

    Raises:
      ValueError: If a crystal has more atoms than the network can take.
    """
    if not _has_blocks(model):
        return model
    shape = Shape(*(x.shape[-1] for x in (batch.nodes.mask, batch.senders, batch.n_node)))
    n_atom = np.where(batch.globals.mask, batch.n_node, 0).reshape(-1, shape.n_graph)
    own: int = model.width  # type: ignore[attr-defined]
    largest = int(n_atom.max())
    width = _width(model, largest) if largest > own or shape.n_node <= own else own
    need = blocks_needed([[n for n in row if n] for row in n_atom.tolist()], width)
    kept = width == own and need <= model.n_block <= _enough(shape, width)  # type: ignore[attr-defined]
    return model if kept else _cloned(model, width, _blocks(need, shape, width))


def unplanned(model: M, n_atom: int) -> M:
    """The network with room for any batch of crystals of up to so many atoms: for batches that are made or cut up on the device.

    Raises:
      ValueError: If that is more atoms than the network can take.
    """
    return _cloned(model, _width(model, n_atom), 0) if _has_blocks(model) else model


def without_layout(model: M) -> M:
    """The network as its parameters see it: the same for every layout."""
    return _cloned(model, 0, 0) if _has_blocks(model) else model


def most_atoms(model: Model) -> float:
    """Atoms of the largest crystal that the network takes: the largest of `WIDTHS` or its own width; infinite where nothing limits it."""
    return max(model.width, WIDTHS[-1]) if _has_blocks(model) else math.inf  # type: ignore[attr-defined]


def too_large(model: Model, n_atom: int) -> str:
    """Why the network cannot take a crystal of so many atoms; empty if it can."""
    if n_atom <= (most := most_atoms(model)):
        return ""
    return (
        f"it has {n_atom} atoms and this network takes at most {most}, since its cost grows with their square: use a smaller cell, "
        "set a larger model.width if memory allows, or train a network whose cost grows with the atoms, such as matjax.nn.nequip()"
    )


def _has_blocks(model: Model) -> bool:
    return hasattr(model, "width") and hasattr(model, "n_block")


def _width(model: Model, n_atom: int) -> int:
    """The least of `WIDTHS` for a crystal of so many atoms, or the network's own where it is wider than all of them."""
    if objection := too_large(model, n_atom):
        raise ValueError(f"a crystal is too large: {objection}")
    return next((width for width in WIDTHS if width >= n_atom), model.width)  # type: ignore[attr-defined]


def _enough(shape: Shape, width: int) -> int:
    """Blocks that hold any batch of this shape, of which a node and a crystal are padding (see `graph.pair_matrix.enough_blocks`)."""
    return max(1, min(shape.n_graph - 1, -(-2 * (shape.n_node - 1) // width)))


def _blocks(need: int, shape: Shape, width: int) -> int:
    """Blocks for a batch that needs so many: the half of what always suffices, or 5, 6, 7 or 8 eighths."""
    enough = _enough(shape, width)
    return next((n for n in (-(-enough * k // 8) for k in (4, 5, 6, 7, 8)) if n >= need), need)


@functools.lru_cache(maxsize=128)
def _cloned(model: M, width: int, n_block: int) -> M:
    if hasattr(model, "inner"):  # a wrapper, as for precision
        return dataclasses.replace(model, inner=_cloned(model.inner, width, n_block))  # type: ignore[attr-defined, type-var]
    return model.clone(width=width, n_block=n_block)  # type: ignore[attr-defined]
