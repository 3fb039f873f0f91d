"""The loss of heads, one number per crystal, and their error on validation crystals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matjax.nn.head import LOG_VARIANCE, Head
from matjax.types import Graph, Output


def head_loss(output: Output, graph: Graph, scales: Mapping[Head, Any], penalty: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Weighted sum over heads of the penalty of (answer - label) / scale, zero where a crystal lacks the label [n_graph].

    Means go over components, and over the atoms of a head per atom. An extensive answer counts per atom. A head with a variance
    has the Gaussian negative log likelihood instead of the penalty.

    Args:
      output: What the model says.
      graph: The batch; heads that it has no labels of do not count.
      scales: {head: label units per unit of the network}.
      penalty: Of an error, elementwise.
    """
    total = jnp.zeros(graph.n_node.shape[0], jnp.float32)
    for head, scale in scales.items():
        if head.name not in graph.globals.has:
            continue
        error = _error(head, output.heads[head.name], graph) / scale
        log_variance = output.head_log_variance.get(head.name)
        each = jnp.mean(penalty(error), -1) if log_variance is None else _likelihood(error[:, 0], log_variance)
        total = total + head.weight * _per_crystal(head, each, graph) * graph.globals.has[head.name]
    return total


def n_labelled(graph: Graph) -> jax.Array | float:
    """How many of its heads label each crystal [n_graph]."""
    return sum(graph.globals.has.values(), start=0.0)


def head_error(output: Output, graph: Graph, head: Head, scale: float) -> np.ndarray:
    """Mean absolute error of the members' mean in units of the head's scale, of the crystals that are labelled [n]."""
    mean = np.asarray(output.heads[head.name]).mean(0)
    error = np.asarray(_per_crystal(head, jnp.mean(jnp.abs(_error(head, mean, graph)), -1), graph)) / scale
    return error[graph.globals.mask & (graph.globals.has[head.name] > 0)]


def without_targets(graph: Graph) -> Graph:
    """The batch without labels of heads: what it looks like where nothing is labelled."""
    return graph._replace(nodes=graph.nodes._replace(targets={}), globals=graph.globals._replace(targets={}, has={}))


def _error(head: Head, answer: Any, graph: Graph) -> jax.Array:
    """Answer minus label, components flat: [n_graph or n_node, dim]; zero on padding, per atom where the label is extensive."""
    per_atom = head.per == "atom"
    label, mask = (graph.nodes.targets, graph.nodes.mask) if per_atom else (graph.globals.targets, graph.globals.mask)
    difference: jax.Array = (answer - label[head.name]).reshape(len(mask), -1)
    size = jnp.maximum(graph.n_node, 1)[:, None] if head.extensive else 1.0
    return jnp.where(mask[:, None], difference / size, 0.0)


def _likelihood(error: jax.Array, log_variance: jax.Array) -> jax.Array:
    bounded = jnp.clip(log_variance, *LOG_VARIANCE)
    return 0.5 * (jnp.exp(-bounded) * error**2 + bounded)


def _per_crystal(head: Head, values: jax.Array, graph: Graph) -> jax.Array:
    """Values [n_graph], or the mean over atoms of values [n_node]."""
    if head.per == "crystal":
        return values
    n_graph = graph.n_node.shape[0]
    owner = jnp.repeat(jnp.arange(n_graph), graph.n_node, total_repeat_length=values.shape[0])
    return jax.ops.segment_sum(values, owner, n_graph, indices_are_sorted=True) / jnp.maximum(graph.n_node, 1)
