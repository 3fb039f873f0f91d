"""Second derivatives of the energy with respect to positions: full Hessians, and their products with given displacements."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matjax.nn import Model
from matjax.nn.layout import with_room
from matjax.simulate.network import displaced, network, packed_alone
from matjax.types import Crystal, Graph


def hessian(potential: Any, crystal: Crystal, *, members: bool = False, chunk: int = 16) -> np.ndarray:
    """The Hessian of a crystal's energy, d2E / dx_ia dx_jb: force constants at the zone centre of the cell.

    Forward over reverse: the gradient is linearised once, and its slope is taken along `chunk` coordinates at a time, so
    beside the answer memory grows with the number of atoms only. A supercell's Hessian holds its force constants. In float32
    components are good to about 1e-4 of the largest; inside `jax.enable_x64(True)` everything is float64.

    Args:
      potential: A trained predictor, or (model, variables); see `network`.
      crystal: Any crystal; at rest, if the eigenvalues shall mean vibrations.
      members: One Hessian per member, not that of the mean energy.
      chunk: Coordinates side by side.

    Returns:
      [n_atom, 3, n_atom, 3] in eV/Å², with a leading axis if `members`. Not symmetrised: what differs from its transpose is
      rounding.

    Raises:
      ValueError: If the potential was not trained on forces, or does not know an element.
    """
    n = len(crystal)
    directions = np.eye(3 * n).reshape(3 * n, n, 3)
    products = hessian_vector_product(potential, crystal, directions, members=members, chunk=chunk)
    return products.reshape(*products.shape[:-3], n, 3, n, 3)


def hessian_vector_product(
    potential: Any, crystal: Crystal, displacements: np.ndarray, *, members: bool = False, chunk: int = 16
) -> np.ndarray:
    """Change of the gradient of the energy along displacements, H u, without building H.

    Args:
      potential: A trained predictor, or (model, variables); see `network`.
      crystal: Any crystal.
      displacements: u [n_atom, 3], or many of them [..., n_atom, 3].
      members: One answer per member, not that of the mean energy.
      chunk: Displacements side by side.

    Returns:
      The shape of `displacements`, with a leading axis over members if asked for; eV/Å² times the unit of the displacements.

    Raises:
      ValueError: If the shape is another, or the potential was not trained on forces or does not know an element.
    """
    given = np.asarray(displacements)
    if given.shape[-2:] != (len(crystal), 3):
        raise ValueError(f"displacements have shape {given.shape}; the crystal needs [..., {len(crystal)}, 3]")
    known = network(potential)
    known.require_elements(crystal)
    graph = packed_alone(crystal, float(known.model.cutoff))
    moves = np.zeros((*given.shape[:-2], graph.nodes.mask.shape[0], 3), given.dtype)
    moves[..., : len(crystal), :] = given
    flat = moves.reshape(-1, *moves.shape[-2:])
    said = _products(known.variables, graph, flat, model=with_room(known.model, graph), chunk=min(chunk, max(len(flat), 1)))
    said = np.asarray(said)[:, :, : len(crystal)].reshape(-1, *given.shape)
    return said if members else said.mean(0)


@functools.partial(jax.jit, static_argnames=("model", "chunk"))
def _products(variables: Any, graph: Graph, moves: jax.Array, *, model: Model, chunk: int) -> jax.Array:
    """[n_member, n_move, n_node, 3]."""

    def of_member(member: Any) -> jax.Array:
        energy = lambda u: jnp.sum(model.apply(member, displaced(graph, u)).energy, where=graph.globals.mask)
        _, curvature = jax.linearize(jax.grad(energy), jnp.zeros(moves.shape[1:], graph.edges.vectors.dtype))
        return jax.lax.map(curvature, moves.astype(graph.edges.vectors.dtype), batch_size=chunk)

    return jax.lax.map(of_member, variables)
