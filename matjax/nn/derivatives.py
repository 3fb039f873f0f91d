"""Forces and stress: one reverse pass with respect to the edge vectors, outside the module.

Energy depends on edge vectors only, so energy is conserved by construction and every model has forces.
"""

from __future__ import annotations

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from matjax.types import Graph, Output


class Model(Protocol):
    """What the rest of matjax needs of a network. A flax.linen module is one as it stands."""

    cutoff: float

    def init(self, rngs: Any, graph: Graph, /) -> Any:
        """Variables: {"params": trained, "constants": set from data}."""
        ...

    def apply(self, variables: Any, graph: Graph, /) -> Any:
        """Output of a packed batch."""
        ...


def evaluate(model: Model, variables: Any, graph: Graph, *, derivatives: tuple[str, ...] = ("forces", "stress")) -> Output:
    """Energy and the derivatives asked for.

    With g = dE/d(vector) per edge, vector = receiver - sender: F_i = sum over edges i sends of g - sum over edges i
    receives of g, and stress = 1/V sum over edges of sym(vector (x) g), tension positive (ASE's sign).

    Args:
      model: The network.
      variables: Its variables.
      graph: Packed batch.
      derivatives: Any of "forces", "stress"; empty for energies only.

    Returns:
      Output with forces [n_node, 3] in eV/Å and stress [n_graph, 3, 3] in eV/Å³, or None where not asked for.

    Raises:
      ValueError: If a derivative is not known.
    """
    unknown = set(derivatives) - {"forces", "stress"}
    if unknown:
        raise ValueError(f"unknown derivative {sorted(unknown)}; allowed: forces, stress")
    if not derivatives:
        return model.apply(variables, graph)

    def total(vectors: jax.Array) -> tuple[jax.Array, Output]:
        output = model.apply(variables, graph._replace(edges=graph.edges._replace(vectors=vectors)))
        return jnp.sum(output.energy, where=graph.globals.mask), output

    slope, output = jax.grad(total, has_aux=True)(graph.edges.vectors)
    if "forces" in derivatives:
        output = output._replace(forces=_forces(graph, slope))
    if "stress" in derivatives:
        output = output._replace(stress=_stress(graph, slope))
    return output


def _forces(graph: Graph, slope: jax.Array) -> jax.Array:
    n_node = graph.nodes.mask.shape[0]
    sent = jax.ops.segment_sum(slope, graph.senders, n_node)
    received = jax.ops.segment_sum(slope, graph.receivers, n_node, indices_are_sorted=True)
    return jnp.where(graph.nodes.mask[:, None], sent - received, 0.0)


def _stress(graph: Graph, slope: jax.Array) -> jax.Array:
    n_graph = graph.n_node.shape[0]
    owner = jnp.repeat(jnp.arange(n_graph), graph.n_edge, total_repeat_length=slope.shape[0])
    virial = jax.ops.segment_sum(graph.edges.vectors[:, :, None] * slope[:, None, :], owner, n_graph, indices_are_sorted=True)
    symmetric = (virial + jnp.swapaxes(virial, 1, 2)) / 2
    volume: jax.Array = graph.globals.volume[:, None, None]
    return jnp.where(graph.globals.mask[:, None, None], symmetric / volume, 0.0)
