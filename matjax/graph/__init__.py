"""Crystals become graphs of one static shape; the only room beside nn and training that knows jraph."""

from matjax.graph.build import to_graph, to_graphs
from matjax.graph.cache import CachedGraphs, cached_graphs
from matjax.graph.ladder import climb, rung
from matjax.graph.neighbours import neighbours
from matjax.graph.pack import Shape, batches, pack, plan, shape_for, sizes_of
from matjax.graph.pipeline import epoch_batches, epoch_plan, prefetch

__all__ = [
    "CachedGraphs",
    "Shape",
    "batches",
    "cached_graphs",
    "climb",
    "epoch_batches",
    "epoch_plan",
    "neighbours",
    "pack",
    "plan",
    "prefetch",
    "rung",
    "shape_for",
    "sizes_of",
    "to_graph",
    "to_graphs",
]
