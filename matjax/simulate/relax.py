"""Relaxation on the device, for any energy that JAX can differentiate: few evaluations, no line search, no host in the loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from matjax.simulate.quasi_newton import Point, Space, start, told, wanted
from matjax.simulate.springs import spring_response
from matjax.simulate.topology import Topology
from matjax.types import Array

Energy = Callable[[jax.Array, jax.Array, Topology], jax.Array]
"""energy(positions [n_atom, 3] Å, lattice [3, 3] Å, topology) -> eV."""

Cell = Literal["fixed", "volume", "full"]

MODULI = (1.1, 0.4)
"""Bulk and shear modulus of a metal, eV/Å³: the first guess of how the cell resists."""

LEVER = 3.0
"""Å that an atom is taken to move under unit strain."""

SHORTEST = 1e-6
"""Part of the wanted step below which a crystal is stuck."""


class Relaxed(NamedTuple):
    """What a relaxation ends with; every array has a leading axis over crystals.

    positions: [n, n_atom, 3] Å; lattice: [n, 3, 3] Å; energy: [n] eV; max_force: [n] largest force on an atom, eV/Å;
    max_stress: [n] largest component of the stress that the cell was free to relax, eV/Å³; n_step: [n] evaluations of
    the energy and its gradient; converged: [n] bool.
    """

    positions: jax.Array
    lattice: jax.Array
    energy: jax.Array
    max_force: jax.Array
    max_stress: jax.Array
    n_step: jax.Array
    converged: jax.Array


@functools.partial(jax.jit, static_argnames=("energy", "cell", "batch_size"))
def relax(
    energy: Energy,
    positions: Array,
    lattice: Array,
    topology: Topology,
    *,
    cell: Cell = "volume",
    max_force: float | jax.Array = 0.02,
    max_stress: float | jax.Array = 3e-4,
    n_step: int | jax.Array = 60,
    max_move: float | jax.Array = 0.15,
    batch_size: int = 1,
) -> Relaxed:
    """Minimises the energy over positions and, if wanted, the cell, of many crystals of one shape; the topology stays.

    Limited-memory BFGS whose first guess of the Hessian is a network of springs between near neighbours with the cell as a few more
    coordinates. Positions follow the cell: x = (x_0 + u) (1 + strain). Steps are cut to `max_move`; a step that raises the energy
    is taken back and halved. Each crystal stops for itself.

    Args:
      energy: Any differentiable energy of one crystal, a function that is not made anew for every call.
      positions: Cartesian [n, n_atom, 3], Å.
      lattice: [n, 3, 3], Å.
      topology: Stacked neighbours; padding atoms stay where they are.
      cell: "fixed", "volume" (isotropic) or "full" (all six strains).
      max_force: Converged below this force on every atom, eV/Å,
      max_stress: and this stress (for "volume" its isotropic part), eV/Å³; 3e-4 is 0.05 GPa.
      n_step: At most so many evaluations.
      max_move: Longest move of an atom in a step, Å.
      batch_size: Crystals side by side: 1 is fastest on a processor, where none waits for another; an accelerator wants many.

    Returns:
      The best configuration met, in the precision of the positions.

    Raises:
      ValueError: If `cell` is not one of the three.

    Source:
      Packwood et al., J. Chem. Phys. 144, 164109 (2016), the spring preconditioner; Nocedal & Wright, Numerical Optimization, alg. 7.4.
    """
    if cell not in ("fixed", "volume", "full"):
        raise ValueError(f"cell is {cell!r}; allowed: fixed, volume, full")
    one = lambda crystal: _relax_one(energy, cell, max_force, max_stress, n_step, max_move, *crystal)
    crystals = (jnp.asarray(positions), jnp.asarray(lattice, jnp.asarray(positions).dtype), jax.tree.map(jnp.asarray, topology))
    return jax.lax.map(one, crystals, batch_size=min(batch_size, crystals[0].shape[0]))


def _relax_one(energy, cell, max_force, max_stress, n_step, max_move, positions, lattice, topology) -> Relaxed:
    n_atom = positions.shape[0]
    eye = jnp.eye(3, dtype=positions.dtype)
    volume = jnp.abs(jnp.linalg.det(lattice))

    def configuration(x):
        deformation = eye + x[n_atom:]
        return (positions + x[:n_atom]) @ deformation, lattice @ deformation

    def evaluate(x) -> Point:
        value, gradient = jax.value_and_grad(lambda x: energy(*configuration(x), topology))(x)
        free = gradient[:n_atom] * (topology.numbers > 0)[:, None]
        return Point(x, value, jnp.concatenate([free, free_strain(gradient[n_atom:], cell)]))

    def residual(point: Point) -> tuple[jax.Array, jax.Array]:
        deformation = eye + point.x[n_atom:]
        force = jnp.linalg.norm(point.gradient[:n_atom] @ jnp.linalg.inv(deformation).T, axis=-1).max()
        return force, jnp.abs(cauchy_stress(point.gradient[n_atom:], deformation, volume)).max()

    def is_done(point: Point) -> jax.Array:
        force, stress = residual(point)
        return (force <= max_force) & (stress <= max_stress) & jnp.isfinite(point.energy)

    held = spring_response(positions, lattice, topology)
    bulk, shear = MODULI

    def precondition(gradient: jax.Array) -> jax.Array:
        strain = gradient[n_atom:]
        isotropic = free_strain(strain, "volume")
        cell_move = isotropic / (3 * bulk * volume) + (strain - isotropic) / (2 * shear * volume)
        return jnp.concatenate([held(gradient[:n_atom]), cell_move])

    def reach(x: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.square(x[:n_atom]).sum(-1).max() + jnp.square(x[n_atom:]).sum() * LEVER**2)

    space = Space(inner=jnp.vdot, spread=lambda number: number, reach=reach)
    state = start(jnp.zeros((n_atom + 3, 3), positions.dtype), jnp.zeros((), positions.dtype))
    is_open = lambda s: ~is_done(s.point) & (s.n_step < n_step) & (s.scale > SHORTEST)
    state = jax.lax.while_loop(is_open, lambda s: told(s, evaluate(wanted(s)), space, precondition, max_move), state)
    return Relaxed(*configuration(state.point.x), state.point.energy, *residual(state.point), state.n_step, is_done(state.point))


def free_strain(strain: jax.Array, cell: Cell) -> jax.Array:
    """The part of a strain (or of a gradient with respect to it) that the cell is free to follow."""
    if cell == "fixed":
        return jnp.zeros_like(strain)
    if cell == "volume":
        return jnp.trace(strain) / 3 * jnp.eye(3, dtype=strain.dtype)
    return 0.5 * (strain + strain.T)


def cauchy_stress(gradient: jax.Array, deformation: jax.Array, volume: jax.Array) -> jax.Array:
    """The stress of a deformed crystal [3, 3], eV/Å³: the same at the same point, wherever the deformation is counted from.

    Stress times volume is S = D g, g the gradient with respect to D, of which the symmetric part is known. S is symmetric because
    energy does not turn with the crystal; so (D^-1 S + S D^-1) / 2 is that part, which the axes of D solve.

    Args:
      gradient: Symmetric part of the energy's gradient with respect to the deformation, eV.
      deformation: D = 1 + strain, symmetric.
      volume: Before the deformation, Å³.
    """
    stretch, axes = jnp.linalg.eigh(deformation)
    harmonic = 2 * stretch[:, None] * stretch[None, :] / (stretch[:, None] + stretch[None, :])
    return axes @ (harmonic * (axes.T @ gradient @ axes)) @ axes.T / (volume * jnp.abs(jnp.prod(stretch)))
