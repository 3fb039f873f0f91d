"""A ladder of shapes for crystals of any size: few programs to compile, little padding.

Rung k has `growth` to the k times the room of the first. A stream of crystals is packed into a bounded number of open batches:
each crystal goes into the fullest one that has room for it; where none has, a batch of the lowest rung that holds the crystal is
opened, and with too many open the fullest goes out. On crystals of 2 to 200 atoms and a rung of eight average ones, one open
batch (first in, first out) is 0.83 full, eight are 0.95.

Source:
  Csirik & Johnson (2001), Bounded space on-line bin packing: best is better than first, Algorithmica 31, 115. Here the sizes
  are two, atoms and edges, of which the scarcer counts.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from matjax.graph.pack import Shape, pack
from matjax.types import Graph


@dataclasses.dataclass(eq=False)
class _Batch:
    """An open batch: its shape, what is in it, and the room that is used [3] (one atom and one crystal are padding)."""

    shape: Shape
    graphs: list[Graph] = dataclasses.field(default_factory=list)
    used: np.ndarray = dataclasses.field(default_factory=lambda: np.array([1, 0, 1]))

    def holds(self, size: np.ndarray) -> bool:
        """Whether there is room for a crystal of this size."""
        return bool((self.used + size <= self.shape).all())

    def fullness(self) -> float:
        """Share of the scarcer of atoms and edges that is used."""
        return max(self.used[0] / self.shape.n_node, self.used[1] / self.shape.n_edge)


def rung(first: Shape, n_node: int, n_edge: int, growth: float = 2**0.5) -> Shape:
    """The lowest rung that holds a crystal.

    Args:
      first: Shape of the lowest rung.
      n_node: Atoms of the crystal.
      n_edge: Its edges.
      growth: Room of a rung over that of the one below.

    Raises:
      ValueError: If rungs do not grow.
    """
    if not growth > 1:
        raise ValueError(f"growth is {growth}; rungs must grow, as by 1.41")
    up = lambda value, to: -(-round(value) // to) * to
    shape, k = first, 0
    while n_node > shape.n_node - 1 or n_edge > shape.n_edge:
        k += 1
        room = growth**k
        shape = Shape(up(first.n_node * room, 16), up(max(first.n_edge, 256) * room, 256), round(first.n_graph * room))
    return shape


def climb(
    graphs: Iterable[Graph],
    first: Shape,
    *,
    cutoff: float,
    growth: float = 2**0.5,
    n_open: int = 8,
    announce: Callable[[str], None] | None = None,
) -> Iterator[Graph]:
    """Packs a stream of graphs of any size into batches of few shapes.

    Graphs are read one at a time and no more than `n_open` batches are held. They come out in another order, the same for the
    same stream; `globals.index` tells which is which.

    Args:
      graphs: Single graphs, such as a generator over `to_graph`.
      first: Shape of the lowest rung, such as `shape_for` of some of them.
      cutoff: In Å.
      growth: Room of a rung over that of the one below: a crystal too large for the first fills at least 1 / growth of its own.
      n_open: Batches that are filled at the same time; 1 is first in, first out.
      announce: Told, in words, of each further rung when it is first needed; by default the log is, once per process and rung.

    Raises:
      ValueError: If rungs do not grow, or no batch may be open.
    """
    if n_open < 1:
        raise ValueError(f"n_open is {n_open}; at least one batch must be open")
    open_: list[_Batch] = []
    known = {first}
    for graph in graphs:
        size = np.array([graph.n_node[0], graph.n_edge[0], 1])
        batch = max((b for b in open_ if b.holds(size)), key=_Batch.fullness, default=None)
        if batch is None:
            if len(open_) == n_open:
                fullest = max(open_, key=_Batch.fullness)
                open_.remove(fullest)
                yield pack(fullest.graphs, fullest.shape, cutoff=cutoff)
            batch = _Batch(rung(first, int(size[0]), int(size[1]), growth))
            open_.append(batch)
            if batch.shape not in known:
                known.add(batch.shape)
                (announce or _log)(f"a crystal is larger than {_room(first)}; a program for {_room(batch.shape)} is compiled")
        batch.graphs.append(graph)
        batch.used += size
    for batch in open_:
        yield pack(batch.graphs, batch.shape, cutoff=cutoff)


def _room(shape: Shape) -> str:
    return f"a batch of {shape.n_node - 1} atoms and {shape.n_edge} edges"


@functools.cache
def _log(text: str) -> None:
    logging.getLogger("matjax").warning(text)
