"""A network's energy as a pure function of positions: to differentiate, to scan over, to hand to jax-md."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from matjax.graph import neighbours
from matjax.nn.layout import with_room
from matjax.simulate.network import Network, energies, network, packed_alone
from matjax.types import Crystal, Edges, Graph


class NeighborList(Protocol):
    """jax-md's sparse list of all images (`jax_md.custom_partition.neighbor_list_multi_image`).

    idx: (receivers, senders), each [capacity], n_atom on padding; shifts: [capacity, 3], whole lattice vectors that are added to
    the sender.
    """

    idx: Any
    shifts: Any


class EnergyFn(Protocol):
    """(positions, neighbor=None, *, box=None, perturbation=None) -> eV; see `energy_fn`."""

    def __call__(self, positions: Any, neighbor: Any = None, *, box: Any = None, perturbation: Any = None, **unused: Any) -> jax.Array:
        """The energy."""
        ...


def energy_fn(
    potential: Any, crystal: Crystal, *, skin: float = 0.5, fractional_coordinates: bool = False, references: bool = True
) -> EnergyFn:
    """The energy of a crystal as a JAX function of its positions and cell: `jax.grad`, `jit`, `scan` and jax-md run on it.

    The function that comes back takes

    - positions: [n_atom, 3], Cartesian in Å, or fractional; they need not be wrapped without a neighbour list. Its gradient is
      minus the force in eV/Å in both cases (jax-md's integrators want real-space forces of fractional positions);
    - neighbor: jax-md's multi-image neighbour list in its `Sparse` format with cutoff at least the network's. It holds images of the
      positions it was made from, so they must not be wrapped in between: `space.periodic_general(box, wrapped=False)`. Without one,
      the neighbours that `crystal` has within cutoff + skin stay, which is exact while no atom has moved farther than skin / 2;
    - box: [3, 3], columns are the lattice vectors, as in jax-md (`lattice.T`); that of the crystal by default;
    - perturbation: [3, 3], a strain that multiplies all vectors from the left (jax-md differentiates it for the stress);

    and ignores further keywords, which jax-md's simulations pass around.

    Args:
      potential: A trained predictor, or (model, variables); see `network`. Of an ensemble the mean energy is given.
      crystal: Its elements and periodicity stay; its neighbours and cell are the defaults.
      skin: How much farther than the cutoff the fixed neighbours reach, Å.
      fractional_coordinates: Positions are fractional.
      references: Add the references of the elements. They are constants: without them a float32 energy keeps more digits.

    Raises:
      ValueError: If the potential was not trained on forces or does not know an element, or the skin is negative.
    """
    if skin < 0:
        raise ValueError(f"skin is {skin} Å; it must not be negative")
    known = network(potential)
    known.require_elements(crystal)
    reach = float(known.model.cutoff) + skin
    graph, n_atom = packed_alone(crystal, reach), len(crystal)
    known = dataclasses.replace(known, model=with_room(known.model, graph))
    found = neighbours(crystal, reach)
    span = crystal.positions[found.receivers] - crystal.positions[found.senders]
    images = np.zeros((len(graph.senders), 3))
    images[: len(span)] = np.rint((found.vectors - span) @ np.linalg.inv(crystal.lattice))
    constant = float(known.references[crystal.numbers].sum()) if references else 0.0

    def energy(positions: Any, neighbor: Any = None, *, box: Any = None, perturbation: Any = None, **unused: Any) -> jax.Array:
        positions = jnp.asarray(positions)
        box = jnp.asarray(crystal.lattice.T if box is None else box, positions.dtype)
        if box.shape != (3, 3):
            raise ValueError(f"box has shape {box.shape}; a matrix [3, 3] whose columns are the lattice vectors is needed")
        batch, through = jax.tree.map(jnp.asarray, (graph, images))
        if neighbor is not None:
            batch, through = _relinked(batch, neighbor, n_atom)
        at = _transformed(box, positions) if fractional_coordinates else positions
        at = jnp.concatenate([at, jnp.zeros((graph.nodes.mask.shape[0] - n_atom, 3), at.dtype)])
        vectors = at[batch.receivers] - at[batch.senders] + through.astype(at.dtype) @ box.T
        if perturbation is not None:
            vectors = vectors @ jnp.asarray(perturbation, at.dtype).T
        is_edge = (batch.receivers < n_atom)[:, None]
        vectors = jnp.where(is_edge, vectors, jnp.array([[2 * reach, 0.0, 0.0]], at.dtype))
        return _energy(known, batch._replace(edges=batch.edges._replace(vectors=vectors))) + constant

    return energy


def _energy(known: Network, graph: Graph) -> jax.Array:
    return energies(known.model, known.variables, graph).mean(0)[0]


def _relinked(graph: Graph, neighbor: NeighborList, n_atom: int) -> tuple[Graph, jax.Array]:
    """The graph with the edges of a jax-md list, sorted by receiver, and their images (ours are added to the receiver)."""
    receivers, senders = (jnp.minimum(jnp.asarray(index, jnp.int32), n_atom) for index in neighbor.idx)
    order = jnp.argsort(receivers, stable=True)
    n_edge = jnp.sum(receivers < n_atom, dtype=jnp.int32)
    counts = jnp.stack([n_edge, receivers.shape[0] - n_edge])
    padding = receivers == n_atom
    senders = jnp.where(padding, n_atom, senders)
    shifts = jnp.where(padding[:, None], 0, jnp.asarray(neighbor.shifts))
    linked = graph._replace(receivers=receivers[order], senders=senders[order], edges=Edges(graph.edges.vectors), n_edge=counts)
    return linked, -shifts[order]


@jax.custom_jvp
def _transformed(box: jax.Array, fractional: jax.Array) -> jax.Array:
    """Cartesian positions; their derivative with respect to fractional ones is taken as one, so that forces are real-space ones."""
    return fractional @ box.T


@_transformed.defjvp
def _transformed_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (box, fractional), (box_dot, fractional_dot) = primals, tangents
    return fractional @ box.T, fractional @ box_dot.T + fractional_dot
