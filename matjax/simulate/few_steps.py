"""Relaxed energies of many cells in a handful of force evaluations, for screening inside a reward.

The sites of a solution lattice are nearly in equilibrium, so a spring network knows most of the response: each step is
Newton's with the springs' stiffness, scaled by what the last step taught, and what is left is taken off in closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from matjax.simulate.template import Template


class Slopes(NamedTuple):
    """A potential at one point. energy [b] eV per cell; forces [b, n_atom, 3] eV/Å; pressure_work [b]: dE/d(ln V), eV."""

    energy: jax.Array
    forces: jax.Array
    pressure_work: jax.Array


class FewSteps(NamedTuple):
    """Where few steps end.

    Attributes:
      energy: eV per cell, extrapolated to rest [b].
      scale: Nearest-neighbour distance [b], Å.
      displacements: From the sites [b, n_atom, 3], in units of scale.
      left: The part of the energy that was extrapolated [b], eV per atom.
      max_force: Before the extrapolation [b], eV/Å.
    """

    energy: jax.Array
    scale: jax.Array
    displacements: jax.Array
    left: jax.Array
    max_force: jax.Array


Potential = Callable[[jax.Array, jax.Array], Slopes]
"""(scale [b], displacements [b, n_atom, 3] in units of scale) -> Slopes."""

LONGEST, WIDEST = 0.10, 0.10
"""Most that one step moves an atom (nearest-neighbour distances) or ln V."""


def few_steps(potential: Potential, template: Template, scale: jax.Array, bulk_modulus: jax.Array, *, n_step: int) -> FewSteps:
    """Relaxes positions and volume of cells on a lattice in `n_step` evaluations.

    Args:
      potential: Energy, forces and pressure work of all cells at once.
      template: The lattice's topology; its springs precondition the steps.
      scale: First guess of the nearest-neighbour distance [b], Å.
      bulk_modulus: Estimate for each cell [b], eV/Å³; a factor of two is good enough.
      n_step: Evaluations of the potential, at least 1; 2 leaves a few meV/atom to the closed form, 3 next to nothing.
    """
    b, n_atom = scale.shape[0], template.n_atom
    degree = 12.0
    spring = 18.0 * bulk_modulus * scale * template.volume / n_atom / degree  # eV/Å², for which the network has this bulk modulus
    volume = scale**3 * template.volume
    moved, swelled = jnp.zeros((b, n_atom, 3), jnp.float32), jnp.zeros(b, jnp.float32)
    soft_moved = soft_swelled = jnp.ones(b, jnp.float32)  # how much softer than the estimate the cell has proved
    last: tuple[Slopes, jax.Array, jax.Array] | None = None
    for step in range(n_step):
        now = scale * jnp.exp(swelled / 3)
        slopes = potential(now, moved)
        push = jnp.einsum("ij,bj->bi", template.response, slopes.forces.reshape(b, -1)).reshape(b, n_atom, 3) / spring[:, None, None]
        swell = -slopes.pressure_work / (bulk_modulus * volume)
        if last is not None:
            before, step_moved, step_swelled = last
            curvature = _work(before.forces - slopes.forces, step_moved)
            soft_moved = _softness(curvature, _work(before.forces, step_moved), soft_moved)
            work = -before.pressure_work * step_swelled
            soft_swelled = _softness((slopes.pressure_work - before.pressure_work) * step_swelled, work, soft_swelled)
        go = soft_moved[:, None, None] * push
        left = 0.5 * (_work(slopes.forces, go) - slopes.pressure_work * soft_swelled * swell)
        if step == n_step - 1:
            largest = jnp.max(jnp.linalg.norm(slopes.forces, axis=-1), axis=1)
            return FewSteps(slopes.energy - left, now, moved, left / n_atom, largest)
        longest = jnp.max(jnp.linalg.norm(go, axis=-1), axis=1) / now
        clip = jnp.minimum(1.0, LONGEST / jnp.maximum(longest, 1e-9))
        go, soft_moved = go * clip[:, None, None], soft_moved * clip
        grow = jnp.clip(soft_swelled * swell, -WIDEST, WIDEST)
        soft_swelled = jnp.where(swell == 0, soft_swelled, grow / jnp.where(swell == 0, 1.0, swell))
        last = (slopes, go, grow)
        moved, swelled = moved + go / now[:, None, None], swelled + grow
    raise ValueError(f"n_step is {n_step}; at least one evaluation is needed")


def _work(forces: jax.Array, path: jax.Array) -> jax.Array:
    return jnp.sum(forces * path, (1, 2))


def _softness(curvature: jax.Array, work: jax.Array, soft: jax.Array) -> jax.Array:
    """Step length that would have ended at rest, by the secant along the last step, relative to the estimate's."""
    usable = (curvature > 1e-9) & (work > 1e-9)
    ratio = jnp.where(usable, work / jnp.where(usable, curvature, 1.0), 1.0)
    return jnp.clip(soft * ratio, 0.25, 4.0)
