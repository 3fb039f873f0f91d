"""Head-room for atoms that move: the shape in which a network sees them changes rarely, so it is rarely compiled."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np

from matjax.graph import Shape, neighbours
from matjax.types import Crystal

SPARE = 1.15
"""Room for edges when a shape is chosen, relative to the edges there are."""

GROWTH = 1.3
"""Least factor by which a shape grows that is too small, so that n-fold compression compiles about log(n) times."""

WASTE = 4
"""A shape is left for a smaller one when it is this many times too large."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class Room:
    """The shape in use.

    Looking neighbours up takes about 2% of the time of a small network on a processor, and a skin around the cutoff a third more
    edges: so lists are made anew at every step.
    """

    shape: Shape | None = None

    def fitted(self, predictor: Any, crystal: Crystal) -> Any:
        """The predictor with a shape for this one crystal; one that has no shape is returned as it is."""
        if not (dataclasses.is_dataclass(predictor) and hasattr(predictor, "shape") and hasattr(predictor, "model")):
            return predictor
        cutoff = float(predictor.model.cutoff)  # pyright: ignore[reportAttributeAccessIssue]
        need = len(crystal) + 1, len(neighbours(crystal, cutoff, np.float32).senders)
        if not self._holds(*need):
            before, self.shape = self.shape, self._chosen(*need)
            _log.log(
                logging.WARNING if before else logging.INFO, "%d atoms with %d edges: compiling for %s", len(crystal), need[1], self.shape
            )
        return dataclasses.replace(predictor, shape=self.shape)  # pyright: ignore[reportArgumentType]

    def _holds(self, n_node: int, n_edge: int) -> bool:
        if self.shape is None or n_node > self.shape.n_node or n_edge > self.shape.n_edge:
            return False
        return self.shape == self._rounded(n_node, n_edge) or WASTE * max(n_node / self.shape.n_node, n_edge / self.shape.n_edge) > 1

    def _chosen(self, n_node: int, n_edge: int) -> Shape:
        """The smallest shape that holds them; grown from the last where only edges have become more."""
        if self.shape is not None and n_node <= self.shape.n_node and n_edge > self.shape.n_edge:
            return Shape(self.shape.n_node, self._rounded(n_node, GROWTH * n_edge / SPARE).n_edge, 2)
        return self._rounded(n_node, n_edge)

    def _rounded(self, n_node: int, n_edge: float) -> Shape:
        up = lambda value, to: int(-(-value // to) * to)
        return Shape(up(n_node, 16), up(max(SPARE * n_edge, 1), 256), 2)
