"""A packed batch, dealt to several devices as packed batches of one shape, and answers put back in its order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from matjax.graph import Shape, pack
from matjax.types import Graph, Output


class Shards(NamedTuple):
    """A batch in parts.

    Attributes:
      graph: Packed batches, stacked: every array is [n_shard, ...].
      crystals: Row of the batch that each crystal is [n_shard, n_graph], -1 on padding.
      atoms: Row of the batch that each atom is [n_shard, n_node], -1 on padding.
    """

    graph: Graph
    crystals: np.ndarray
    atoms: np.ndarray

    @property
    def shape(self) -> Shape:
        """Room of a part."""
        return Shape(self.atoms.shape[1], self.graph.senders.shape[1], self.crystals.shape[1])


def shard_shape(shape: Shape, n_shard: int, largest: Shape, slack: float = 1.1) -> Shape:
    """Room of one of `n_shard` parts of a batch: its share with some slack, and at least the largest crystal.

    Args:
      shape: Room of the whole batch.
      n_shard: Number of parts.
      largest: Atoms and edges of the largest crystal (not necessarily the same one).
      slack: Room above an even share.
    """
    up = lambda value, to: int(-(-value // to) * to)
    n_graph = -(-(shape.n_graph - 1) // n_shard) + 1
    n_node = up(max(slack * (shape.n_node - 1) / n_shard, largest.n_node) + 1, 16)
    n_edge = up(max(slack * shape.n_edge / n_shard, largest.n_edge), 256)
    return Shape(n_node + 16 * (n_node == n_graph), n_edge, n_graph)  # lengths that tell atoms from crystals


def deal(batch: Graph, n_shard: int, shape: Shape, *, cutoff: float) -> Shards:
    """Deals the crystals of a batch to shards of even work, the largest first.

    The crystals of a batch are the same on any number of devices, so what is trained does not depend on it. Where crystals
    cannot be dealt within the shape it is doubled for this batch. A shard may be left without a crystal.

    Args:
      batch: Packed batch (NumPy arrays).
      n_shard: Number of shards.
      shape: Room of each.
      cutoff: Of the padding edges, Å.
    """
    rows = np.flatnonzero(batch.globals.mask)
    parts, shape = assigned(np.stack([batch.n_node[rows], batch.n_edge[rows]], 1), n_shard, shape)
    packed = [pack([_single(batch, row) for row in (rows[part] if part else [0])], shape, cutoff=cutoff) for part in parts]
    packed = [graph if part else _blank(graph) for graph, part in zip(packed, parts, strict=True)]
    start = np.cumsum(batch.n_node) - batch.n_node
    atoms = [np.concatenate([np.arange(start[r], start[r] + batch.n_node[r]) for r in rows[part]] or [rows[:0]]) for part in parts]
    return Shards(
        graph=jax.tree.map(lambda *x: np.stack(x), *packed),
        crystals=_filled([rows[part] for part in parts], shape.n_graph),
        atoms=_filled(atoms, shape.n_node),
    )


def assigned(sizes: np.ndarray, n_shard: int, shape: Shape) -> tuple[list[list[int]], Shape]:
    """Crystals of each shard of a batch by their sizes alone, and the shape that holds them: `shape`, doubled until all fit.

    Args:
      sizes: Atoms and edges of each crystal of the batch [n, 2], in its order.
      n_shard: Number of shards.
      shape: Room of each.
    """
    while (parts := _assign(sizes, n_shard, shape)) is None:
        shape = Shape(2 * shape.n_node, 2 * shape.n_edge, shape.n_graph)
    return parts, shape


def stand_in(like: Graph, n_node: int, n_edge: int) -> Graph:
    """A graph of zeros of this size, with the fields of another: for a crystal that lives on another host."""
    rows = {"nodes": n_node, "edges": n_edge, "globals": 1}
    zeros = lambda tree, n: jax.tree.map(lambda x: np.zeros((n, *np.shape(x)[1:]), x.dtype), tree)
    parts = {name: zeros(getattr(like, name), n) for name, n in rows.items()}
    parts["globals"] = parts["globals"]._replace(mask=np.ones(1, bool))  # it counts when the batch is dealt
    if like.edges.first is not None:
        parts["edges"] = parts["edges"]._replace(first=np.zeros(n_edge // 2, like.edges.first.dtype))
    ends = {name: np.zeros(n_edge, getattr(like, name).dtype) for name in ("senders", "receivers")}
    return like._replace(**parts, **ends, n_node=np.full_like(like.n_node, n_node), n_edge=np.full_like(like.n_edge, n_edge))


def collect(output: Output, shards: Shards, like: Graph) -> Output:
    """Answers for shards [n_member, n_shard, ...] as answers for the batch that was dealt [n_member, ...]; zero on padding.

    Args:
      output: Host arrays.
      shards: What was asked.
      like: The batch that was dealt.
    """
    n_shard, n_node = shards.atoms.shape
    to = {n_node: (shards.atoms, like.nodes.mask.shape[0]), shards.crystals.shape[1]: (shards.crystals, like.n_node.shape[0])}

    def back(x: np.ndarray) -> np.ndarray:
        rows, n_row = to[x.shape[2]]
        found = np.zeros((x.shape[0], n_row, *x.shape[3:]), x.dtype)
        found[:, rows[rows >= 0]] = x[:, rows >= 0]
        return found

    return jax.tree.map(back, output)


def _assign(sizes: np.ndarray, n_shard: int, shape: Shape) -> list[list[int]] | None:
    """Crystals of each shard, the next largest to the emptiest one that has room; None where there is no room."""
    room = np.array([shape.n_node - 1, shape.n_edge])
    work = (sizes / room).sum(1)
    used, parts = np.zeros((n_shard, 2), int), [[] for _ in range(n_shard)]
    for i in np.argsort(-work, kind="stable"):
        open_ = [s for s in range(n_shard) if (used[s] + sizes[i] <= room).all() and len(parts[s]) < shape.n_graph - 1]
        if not open_:
            return None
        s = min(open_, key=lambda s: (used[s] / room).sum())
        used[s] += sizes[i]
        parts[s].append(int(i))
    return [sorted(part) for part in parts]


def _single(batch: Graph, row: int) -> Graph:
    """One crystal of a packed batch."""
    node, edge = int(batch.n_node[:row].sum()), int(batch.n_edge[:row].sum())
    n_node, n_edge = int(batch.n_node[row]), int(batch.n_edge[row])
    cut = lambda tree, start, n: jax.tree.map(lambda x: x[start : start + n], tree)
    edges = batch.edges._replace(vectors=batch.edges.vectors[edge : edge + n_edge])
    if batch.edges.pair is not None:
        pair, first = cut(batch.edges.pair, edge, n_edge) - edge // 2, cut(batch.edges.first, edge // 2, n_edge // 2) - edge
        edges = edges._replace(pair=pair, first=first)
    ends = {name: getattr(batch, name)[edge : edge + n_edge] - node for name in ("senders", "receivers")}
    return batch._replace(
        nodes=cut(batch.nodes, node, n_node),
        edges=edges,
        globals=cut(batch.globals, row, 1),
        n_node=batch.n_node[row : row + 1],
        n_edge=batch.n_edge[row : row + 1],
        **ends,
    )


def _blank(batch: Graph) -> Graph:
    """The batch as if all of it were padding."""
    zeros = lambda tree: jax.tree.map(np.zeros_like, tree)
    nodes = zeros(batch.nodes)._replace(numbers=batch.nodes.numbers)
    g = zeros(batch.globals)
    return batch._replace(nodes=nodes, globals=g._replace(volume=np.ones_like(g.volume), index=g.index - 1))


def _filled(parts: Sequence[Any], n: int) -> np.ndarray:
    """Rows of different length as [n_part, n], -1 at the ends."""
    found = np.full((len(parts), n), -1, np.int64)
    for row, part in zip(found, parts, strict=True):
        row[: len(part)] = part
    return found
