"""Crystals become graphs of one static shape; the only room beside nn and training that knows jraph."""

from matjax.graph.build import to_graph, to_graphs
from matjax.graph.neighbours import neighbours
from matjax.graph.pack import Shape, batches, pack, shape_for

__all__ = ["Shape", "batches", "neighbours", "pack", "shape_for", "to_graph", "to_graphs"]
