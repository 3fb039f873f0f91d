"""Elastic constants by the second derivative of any energy that JAX can differentiate, atoms clamped or free to follow."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from matjax.simulate.relax import Energy
from matjax.simulate.springs import spring_response
from matjax.simulate.topology import Topology
from matjax.types import Array

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Components of a symmetric tensor in Voigt's order; shears are engineering strains (twice the tensor's component)."""


def elastic_tensor(energy: Energy, positions: Array, lattice: Array, topology: Topology, relaxed_ion: bool = True) -> jax.Array:
    """Elastic constants of one relaxed crystal; vmap or map it over many.

    C_ij = (1/V) d2E / d(strain_i) d(strain_j). Where atoms may follow, each strain moves them by u_j = -H^-1 d2E / dx d(strain_j), found
    by conjugate gradients with Hessian-vector products: the Hessian is never built, and since C is stationary in u, an error of u enters
    only squared. Forces and stress should be relaxed; a crystal that is not at a minimum has no meaningful answer.

    Args:
      energy: Any twice differentiable energy of one crystal.
      positions: Relaxed, [n_atom, 3], Å.
      lattice: Rows a, b, c [3, 3], Å.
      topology: Of the crystal.
      relaxed_ion: Atoms follow the strain (what is measured); else they are carried with it ("clamped").

    Returns:
      [6, 6] in Voigt's order, eV/Å³, symmetric.

    Source:
      Wallace, Thermodynamics of Crystals (1972); Hamann, Wu, Rabe & Vanderbilt, Phys. Rev. B 71, 035117 (2005), for the relaxed-ion term.
    """
    positions = jnp.asarray(positions)
    lattice = jnp.asarray(lattice, positions.dtype)
    basis = jnp.stack([_strain(k, positions.dtype) for k in range(6)])
    eye = jnp.eye(3, dtype=positions.dtype)
    is_atom = (jnp.asarray(topology.numbers) > 0)[:, None]

    def strained(moves: jax.Array, strains: jax.Array) -> jax.Array:
        deformation = eye + jnp.tensordot(strains, basis, 1)
        return energy((positions + jnp.where(is_atom, moves, 0.0)) @ deformation, lattice @ deformation, topology)

    still = (jnp.zeros_like(positions), jnp.zeros(6, positions.dtype))
    _, curvature = jax.linearize(jax.grad(strained, argnums=(0, 1)), *still)
    forces, stiffness = jax.vmap(lambda strain: curvature(still[0], strain))(jnp.eye(6, dtype=positions.dtype))
    if relaxed_ion:
        hessian = jax.vmap(lambda moves: curvature(moves, still[1])[0])
        still_centre = lambda x: (x - x.sum(1, keepdims=True) / is_atom.sum()) * is_atom[None]
        springs = jax.vmap(spring_response(positions, lattice, topology))
        moves, left = _follow(hessian, lambda x: still_centre(springs(x)), still_centre(-forces))
        dot = lambda a, b: jnp.tensordot(a, b, [[1, 2], [1, 2]])
        stiffness = stiffness + dot(moves, forces) + dot(forces, moves) + dot(moves, -forces - left)  # the last is moves H moves
    return 0.5 * (stiffness + stiffness.T) / jnp.abs(jnp.linalg.det(lattice))


TOLERANCE = 1e-2
"""Force left, relative to the force under clamped strain, when the atoms have followed."""

FLOOR = 1e-3
"""Force per atom and unit strain that counts as none, eV/Å: what symmetry makes zero is not solved for."""

SOFTEST = 1e-4
"""Directions less stiff than this (eV/Å²) are not followed."""

MAX_STEP = 60
"""Most steps of conjugate gradients."""


def _follow(hessian: Callable, springs: Callable, push: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Displacements [6, n_atom, 3] that answer the pushes, and the push left over: conjugate gradients, side by side.

    Where the crystal is at a saddle and a direction without stiffness turns up, that column stops.
    """

    def dot(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.sum(a * b, axis=(1, 2))

    wanted = TOLERANCE**2 * dot(push, push) + push.shape[1] * FLOOR**2

    def step(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        k, moves, left, along, work = state
        pull = hessian(along)
        curvature = dot(along, pull)
        is_stiff = curvature > SOFTEST * dot(along, along)
        go = jnp.where(is_stiff & (dot(left, left) > wanted), work / jnp.where(is_stiff, curvature, 1.0), 0.0)
        left = left - go[:, None, None] * pull
        softened = springs(left)
        new = dot(left, softened)
        turn = jnp.where(go > 0, new / jnp.where(work > 0, work, 1.0), 0.0)
        return k + 1, moves + go[:, None, None] * along, left, softened + turn[:, None, None] * along, jnp.where(go > 0, new, 0.0)

    is_open = lambda state: (state[0] < MAX_STEP) & jnp.any((dot(state[2], state[2]) > wanted) & (state[4] > 0))
    along = springs(push)
    state = (jnp.zeros((), jnp.int32), jnp.zeros_like(push), push, along, dot(push, along))
    _, moves, left, *_ = jax.lax.while_loop(is_open, step, state)
    return moves, left


def _strain(k: int, dtype) -> jax.Array:
    i, j = VOIGT[k]
    return jnp.zeros((3, 3), dtype).at[i, j].add(0.5).at[j, i].add(0.5)
