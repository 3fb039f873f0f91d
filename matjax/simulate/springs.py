"""The response of a crystal in which near neighbours are joined by springs: a first guess for any real one."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from matjax.simulate.topology import Topology, edge_vectors

_STIFFNESS = 3.0  # spring between nearest neighbours of a metal, eV/Å²
_SIDEWAYS = 0.03  # what part of it resists a shift across the bond,
_ANCHOR = 0.03  # and what part holds an atom to its place, so that rigid motion costs something
_DECAY = 5.0  # springs fade by exp(-_DECAY (r / r_nearest - 1))


def spring_response(positions: jax.Array, lattice: jax.Array, topology: Topology) -> Callable[[jax.Array], jax.Array]:
    """The displacements [n_atom, 3] (Å) under forces [n_atom, 3] (eV/Å), as a function: it solves with the springs' Hessian.

    Args:
      positions: Cartesian [n_atom, 3], Å.
      lattice: Rows a, b, c [3, 3], Å.
      topology: Neighbours; padding atoms feel their anchor only.

    Source:
      After Packwood et al., J. Chem. Phys. 144, 164109 (2016); here springs resist stretching more than shear.
    """
    n_atom, eye = positions.shape[0], jnp.eye(3, dtype=positions.dtype)
    vectors = edge_vectors(positions, lattice, topology)
    length = jnp.linalg.norm(vectors, axis=-1)
    stiffness = jnp.where(topology.mask, _STIFFNESS * jnp.exp(-_DECAY * (length / length.min() - 1)), 0.0)
    along = vectors / length[:, None]
    bonds = stiffness[:, None, None] * (along[:, :, None] * along[:, None] + _SIDEWAYS * eye[None])
    bonds = bonds.reshape(n_atom, -1, 3, 3)
    between = jnp.zeros((n_atom, n_atom, 3, 3), positions.dtype)
    between = between.at[jnp.arange(n_atom)[:, None], topology.senders.reshape(n_atom, -1)].add(bonds)
    own = bonds.sum(1) + _ANCHOR * _STIFFNESS * eye[None]
    hessian = jnp.eye(n_atom, dtype=positions.dtype)[:, :, None, None] * own[:, None] - 0.5 * (between + between.swapaxes(0, 1))
    cholesky = jnp.linalg.cholesky(hessian.swapaxes(1, 2).reshape(3 * n_atom, 3 * n_atom))
    return lambda forces: jax.scipy.linalg.cho_solve((cholesky, True), forces.reshape(-1)).reshape(n_atom, 3)
