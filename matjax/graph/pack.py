"""Packing graphs of any size into batches of one static shape, with padding that cannot be felt.

Padding atoms belong to a padding graph; padding edges are self-loops of a padding atom, twice the cutoff long, so that
envelope, spherical harmonics and their gradients are all regular and vanish.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from matjax.graph.cache import CachedGraphs
from matjax.types import Edges, Globals, Graph, Nodes


class Shape(NamedTuple):
    """Room of a batch, padding included: n_node atoms, n_edge edges, n_graph crystals."""

    n_node: int
    n_edge: int
    n_graph: int


def sizes_of(graphs: Sequence[Graph], rows: Sequence[int] | None = None) -> np.ndarray:
    """Atoms and edges of each graph, or of those in some rows [n, 2]; cached graphs know them without being read."""
    if isinstance(graphs, CachedGraphs):
        return graphs.sizes if rows is None else graphs.sizes[np.asarray(rows)]
    graphs = graphs if rows is None else [graphs[i] for i in rows]
    return np.array([(int(g.n_node[0]), int(g.n_edge[0])) for g in graphs], np.int64).reshape(-1, 2)


def shape_for(graphs: Sequence[Graph] | np.ndarray, batch_size: int, slack: float = 1.1) -> Shape:
    """One shape for a whole run: about `batch_size` average crystals, and at least the largest one.

    The cap on crystals is twice the batch size, so that small crystals do not end a batch early.

    Args:
      graphs: The graphs that will be packed, or their sizes [n, 2].
      batch_size: Wanted crystals per batch, on average.
      slack: Room above the average batch.

    Raises:
      ValueError: If there is nothing to pack.
    """
    sizes = graphs if isinstance(graphs, np.ndarray) else sizes_of(graphs)
    if not len(sizes):
        raise ValueError("no crystals to pack; the set is empty")
    nodes, edges = sizes.T
    up = lambda value, to: int(-(-value // to) * to)
    n_node = up(max(nodes.max(), slack * batch_size * nodes.mean()) + 1, 16)
    n_edge = up(max(edges.max(), slack * batch_size * edges.mean()), 256)
    return Shape(n_node, max(n_edge, 256), 2 * batch_size + 1)


def pack(graphs: Sequence[Graph], shape: Shape, *, cutoff: float) -> Graph:
    """Concatenates graphs and pads them to the shape (NumPy arrays).

    Args:
      graphs: Single graphs; together at most n_node - 1 atoms, n_edge edges, n_graph - 1 crystals.
      shape: Wanted shape.
      cutoff: In Å; padding edges are twice as long.

    Raises:
      ValueError: If the graphs do not fit.
    """
    n_node, n_edge = sizes_of(graphs).T
    free = Shape(shape.n_node - n_node.sum(), shape.n_edge - n_edge.sum(), shape.n_graph - len(graphs))
    if free.n_node < 1 or free.n_edge < 0 or free.n_graph < 1:
        raise ValueError(f"{len(graphs)} crystals with {n_node.sum()} atoms and {n_edge.sum()} edges do not fit {shape}")
    if shape.n_edge % 2:
        raise ValueError(f"{shape} has an odd number of edges; edges come in pairs")
    pad = _padding(free, shape.n_node - 1, 2.0 * cutoff, graphs[0])
    parts = [*graphs, pad]
    before = lambda sizes: np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)  # what stands before each part
    node, edge = before(n_node), before(n_edge)
    node[-1] = 0  # the padding's ends are counted from the start of the batch
    shifted = lambda offset, *arrays: np.concatenate([a + o for a, o in zip(arrays, offset, strict=True)])
    bare = [p._replace(senders=None, receivers=None, edges=Edges(p.edges.vectors)) for p in parts]
    joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *bare)
    edges = joined.edges
    if pad.edges.pair is not None:
        pair, first = (shifted(o, *(getattr(p.edges, k) for p in parts)) for o, k in ((edge // 2, "pair"), (edge, "first")))
        edges = Edges(joined.edges.vectors, pair, first)
    senders, receivers = (shifted(node, *(getattr(p, k) for p in parts)) for k in ("senders", "receivers"))
    return joined._replace(senders=senders, receivers=receivers, edges=edges)


def batches(graphs: Sequence[Graph], shape: Shape, *, cutoff: float, order: Iterable[int] | None = None) -> Iterator[Graph]:
    """Packs graphs first in, first out, each batch as full as the shape allows."""
    for rows in plan(sizes_of(graphs), shape, order):
        yield pack([graphs[i] for i in rows], shape, cutoff=cutoff)


def plan(sizes: np.ndarray, shape: Shape, order: Iterable[int] | None = None) -> Iterator[list[int]]:
    """Rows of each batch that `batches` packs; a graph that does not fit at all stands alone.

    First in, first out: on mixed sizes a batch of 16 is more than nine tenths full, and looking ahead for what fits into the
    gap gained three hundredths.

    Args:
      sizes: Atoms and edges of each graph [n, 2].
      shape: Room of a batch.
      order: Rows, in the order in which they are packed; all of them by default.
    """
    rows: list[int] = []
    n_node = n_edge = 0
    every = sizes.tolist()
    for i in range(len(every)) if order is None else order:
        more_node, more_edge = every[i]
        full = n_node + more_node > shape.n_node - 1 or n_edge + more_edge > shape.n_edge or len(rows) == shape.n_graph - 1
        if rows and full:
            yield rows
            rows, n_node, n_edge = [], 0, 0
        rows.append(int(i))
        n_node, n_edge = n_node + more_node, n_edge + more_edge
    if rows:
        yield rows


def _padding(free: Shape, node: int, length: float, like: Graph) -> Graph:
    """A graph of `free.n_graph` padding crystals with the parts of `like`; the first owns all padding atoms and edges."""
    n, e, g = free
    blank = lambda count, labels: {k: np.zeros((count, *v.shape[1:]), v.dtype) for k, v in labels.items()}
    edge = np.arange(e, dtype=np.int32)
    first = lambda value: np.concatenate([[value], np.zeros(g - 1)]).astype(np.int32)
    zeros = lambda dtype="float32": np.zeros(g, dtype)
    return Graph(
        nodes=Nodes(
            numbers=np.zeros(n, np.int32), forces=np.zeros((n, 3), np.float32), mask=np.zeros(n, bool), targets=blank(n, like.nodes.targets)
        ),
        edges=Edges(
            vectors=np.tile(np.array([[length, 0.0, 0.0]], np.float32), (e, 1)),
            pair=None if like.edges.pair is None else edge // 2,
            first=None if like.edges.pair is None else edge[::2],
        ),
        senders=np.full(e, node, np.int32),
        receivers=np.full(e, node, np.int32),
        globals=Globals(
            energy=zeros(),
            has_energy=zeros(),
            has_forces=zeros(),
            stress=np.zeros((g, 3, 3), np.float32),
            has_stress=zeros(),
            volume=np.ones(g, np.float32),
            domain=zeros("int32"),
            held_from=zeros("int32"),
            weight=zeros(),
            index=np.full(g, -1, np.int32),
            mask=zeros("bool"),
            fidelity=zeros("int32"),
            charge=zeros(),
            targets=blank(g, like.globals.targets),
            has=blank(g, like.globals.has),
        ),
        n_node=first(n),
        n_edge=first(e),
    )
