"""Relaxation on the device, for any energy that JAX can differentiate: few evaluations, no line search, no host in the loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from matjax.simulate.springs import spring_response
from matjax.simulate.topology import Topology
from matjax.types import Array

Energy = Callable[[jax.Array, jax.Array, Topology], jax.Array]
"""energy(positions [n_atom, 3] Å, lattice [3, 3] Å, topology) -> eV."""

Cell = Literal["fixed", "volume", "full"]

MEMORY = 8
"""Steps that the quasi-Newton method remembers."""

_MODULI = (1.1, 0.4)  # bulk and shear modulus of a metal, eV/Å³: the first guess of how the cell resists
_LEVER = 3.0  # Å that an atom is taken to move under unit strain


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


class _Point(NamedTuple):
    """A configuration: coordinates [n_atom + 3, 3] (displacements, then strain), its energy and gradient."""

    x: jax.Array
    energy: jax.Array
    gradient: jax.Array


class _State(NamedTuple):
    """A relaxation under way.

    point: the best so far; moves, changes: [MEMORY, ...] last steps and changes of the gradient; scale: length of the next step
    relative to what the quasi-Newton method wants; n_step: evaluations; n_pair: pairs ever stored.
    """

    point: _Point
    moves: jax.Array
    changes: jax.Array
    n_pair: jax.Array
    scale: jax.Array
    n_step: jax.Array


def _relax_one(energy, cell, max_force, max_stress, n_step, max_move, positions, lattice, topology) -> Relaxed:
    n_atom = positions.shape[0]
    eye = jnp.eye(3, dtype=positions.dtype)
    volume = jnp.abs(jnp.linalg.det(lattice))

    def configuration(x):
        deformation = eye + x[n_atom:]
        return (positions + x[:n_atom]) @ deformation, lattice @ deformation

    def evaluate(x) -> _Point:
        value, gradient = jax.value_and_grad(lambda x: energy(*configuration(x), topology))(x)
        free = gradient[:n_atom] * (topology.numbers > 0)[:, None]
        return _Point(x, value, jnp.concatenate([free, _project(gradient[n_atom:], cell)]))

    def residual(point: _Point) -> tuple[jax.Array, jax.Array]:
        inverse = jnp.linalg.inv(eye + point.x[n_atom:])
        force = jnp.linalg.norm(point.gradient[:n_atom] @ inverse.T, axis=-1).max()
        return force, jnp.abs(point.gradient[n_atom:]).max() / volume

    def is_done(point: _Point) -> jax.Array:
        force, stress = residual(point)
        return (force <= max_force) & (stress <= max_stress) & jnp.isfinite(point.energy)

    held = spring_response(positions, lattice, topology)
    bulk, shear = _MODULI

    def precondition(gradient: jax.Array) -> jax.Array:
        strain = gradient[n_atom:]
        isotropic = _project(strain, "volume")
        cell_move = isotropic / (3 * bulk * volume) + (strain - isotropic) / (2 * shear * volume)
        return jnp.concatenate([held(gradient[:n_atom]), cell_move])

    def step(state: _State) -> _State:
        wanted = -_two_loop(state, precondition)
        wanted = jnp.where(jnp.vdot(wanted, state.point.gradient) < 0, wanted, -precondition(state.point.gradient))
        reach = jnp.sqrt(jnp.square(wanted[:n_atom]).sum(-1).max() + jnp.square(wanted[n_atom:]).sum() * _LEVER**2)
        move = wanted * state.scale * jnp.minimum(1.0, max_move / (reach * state.scale + 1e-30))
        new = evaluate(state.point.x + move)
        noise = 16 * jnp.finfo(positions.dtype).eps * jnp.abs(new.energy)
        is_lower = new.energy <= state.point.energy + noise  # False also for NaN
        change = new.gradient - state.point.gradient
        is_useful = jnp.isfinite(new.energy) & (jnp.vdot(move, change) > 1e-12 * jnp.vdot(move, move))
        push = lambda memory, row: jax.lax.select(is_useful, jnp.roll(memory, 1, axis=0).at[0].set(row), memory)
        return _State(
            jax.tree.map(lambda a, b: jnp.where(is_lower, a, b), new, state.point),
            push(state.moves, move),
            push(state.changes, change),
            state.n_pair + is_useful,
            jnp.where(is_lower, 1.0, 0.5 * state.scale),
            state.n_step + 1,
        )

    zeros = jnp.zeros((n_atom + 3, 3), positions.dtype)
    memory = jnp.zeros((MEMORY, n_atom + 3, 3), positions.dtype)
    start = _Point(zeros, jnp.asarray(jnp.inf, positions.dtype), zeros)  # nowhere yet: the first step stays here and looks
    state = _State(start, memory, memory, jnp.zeros((), jnp.int32), jnp.ones((), positions.dtype), jnp.zeros((), jnp.int32))
    state = jax.lax.while_loop(lambda s: ~is_done(s.point) & (s.n_step < n_step) & (s.scale > 1e-6), step, state)
    return Relaxed(*configuration(state.point.x), state.point.energy, *residual(state.point), state.n_step, is_done(state.point))


def _project(strain: jax.Array, cell: Cell) -> jax.Array:
    """The part of a strain (or of a gradient with respect to it) that the cell is free to follow."""
    if cell == "fixed":
        return jnp.zeros_like(strain)
    if cell == "volume":
        return jnp.trace(strain) / 3 * jnp.eye(3, dtype=strain.dtype)
    return 0.5 * (strain + strain.T)


def _two_loop(state: _State, precondition: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """The inverse Hessian times the gradient, from the remembered steps; empty memory counts for nothing."""
    inner = jnp.sum(state.moves * state.changes, axis=(1, 2))
    rho = jnp.where(inner > 0, 1 / jnp.where(inner > 0, inner, 1.0), 0.0)
    memory = (state.moves, state.changes, rho)

    def down(q, pair):
        move, change, rho = pair
        alpha = rho * jnp.sum(move * q)
        return q - alpha * change, alpha

    def up(q, pair):
        (move, change, rho), alpha = pair
        return q + move * (alpha - rho * jnp.sum(change * q)), None

    q, alphas = jax.lax.scan(down, state.point.gradient, memory)  # newest first
    newest = state.changes[0]
    softness = jnp.where(state.n_pair > 0, inner[0] / (jnp.sum(newest * precondition(newest)) + 1e-30), 1.0)
    return jax.lax.scan(up, softness * precondition(q), (memory, alphas), reverse=True)[0]
