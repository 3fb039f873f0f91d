"""A network as an energy of positions, lattice and topology: what `relax` and `elastic_tensor` take, built on the device."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from matjax.nn import Model
from matjax.nn.layout import unplanned
from matjax.simulate.network import Network, energies
from matjax.simulate.topology import Topology, edge_vectors
from matjax.types import Edges, Globals, Graph, Nodes


def network_energy(known: Network, n_atom: int) -> jax.tree_util.Partial:
    """The energy of one crystal, eV above the references, the mean over members.

    Weights are arguments of the compiled program, not constants in it: two networks of one architecture share it.

    Args:
      known: A network; see `network`.
      n_atom: Most atoms of a crystal, padding included.

    Returns:
      energy(positions [n_atom, 3] Å, lattice [3, 3] Å, topology), a pytree.
    """
    return jax.tree_util.Partial(_Energy(unplanned(known.model, n_atom)), known.variables)


@dataclasses.dataclass(frozen=True)
class _Energy:
    model: Model

    def __call__(self, variables: Any, positions: jax.Array, lattice: jax.Array, topology: Topology) -> jax.Array:
        graph = _graph(edge_vectors(positions, lattice, topology), topology)
        return energies(self.model, variables, graph).mean(0)[0]


def _graph(vectors: jax.Array, topology: Topology) -> Graph:
    """One crystal, and its padding as a second; padding edges of its atoms are longer than every cutoff."""
    numbers = jnp.concatenate([jnp.asarray(topology.numbers), jnp.zeros(1, jnp.int32)])  # at least one atom is padding
    is_atom = numbers > 0
    n_node, n_edge = len(numbers), len(vectors)
    n_real = jnp.sum(is_atom, dtype=jnp.int32)
    n_row = n_edge // (n_node - 1)
    pair = lambda first, total: jnp.stack([first, total - first]).astype(jnp.int32)
    zero, whole = jnp.zeros(2, vectors.dtype), jnp.zeros(2, jnp.int32)
    mask = jnp.array([True, False])
    one = Globals(
        energy=zero, has_energy=zero, has_forces=zero, stress=jnp.zeros((2, 3, 3), vectors.dtype), has_stress=zero, volume=zero + 1,
        domain=whole, held_from=whole, weight=zero, index=whole, mask=mask, fidelity=whole, charge=whole,
    )  # fmt: skip
    nodes = Nodes(numbers, jnp.zeros((n_node, 3), vectors.dtype), is_atom)
    ends = {"senders": jnp.asarray(topology.senders), "receivers": jnp.asarray(topology.receivers)}
    return Graph(nodes, Edges(vectors), globals=one, n_node=pair(n_real, n_node), n_edge=pair(n_real * n_row, n_edge), **ends)
