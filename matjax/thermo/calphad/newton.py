"""Newton's method in site fractions: towards the lowest point of a phase below a plane, and to the equilibrium of known phases.

In units of the square root of site fractions per site, ideal mixing has the curvature k T in every direction, so that traces and
majorities are equally well conditioned; sums over sublattices are kept by projection. Steps multiply site fractions, which stay
positive.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from matjax.thermo.calphad.jets import Jets, coefficients, jet
from matjax.thermo.calphad.system import System, moles

_TINY = 1e-300
_SOFTEST = 0.05  # least curvature of a step, in units of k T: what is unstable is left downhill
_LONGEST = 5.0  # step in the logarithm of a site fraction
_TRACE, _FAR = 1e-2, 40.0  # site fraction below which constituents are alone with the ideal term, and may vanish at once
_WIDEST = 0.3  # step in a site fraction
_SHORTER = 0.2  # of a step that led upwards
_FIXED = 1e-9  # 1/eV, holds chemical potentials that the phases leave open where they are
PLANE, MASS, FORCE = 1e-9, 1e-11, 1e-7
"""What a solved equilibrium leaves: eV per atom between phases and plane, atoms, and the step in scaled site fractions."""


class Model(NamedTuple):
    """A system with its `jets`, its sublattices as ones and zeros [P, S, Y], and the sites of every constituent [P, Y]."""

    system: System
    jets: Jets
    member: Array
    sites: Array


class Linear(NamedTuple):
    """A phase to second order about its site fractions: moles [C]; how site fractions follow forces (g) and potentials (m), scaled."""

    energy: Array
    moles: Array
    force: Array  # [Y] inverse Hessian times gradient
    response: Array  # [Y, C] inverse Hessian times moles
    scale: Array  # [Y] from scaled steps to steps of the logarithm
    gradient: Array  # [Y] scaled gradient along the sublattices
    content: Array  # [Y, C] scaled moles along the sublattices
    pivot: Array  # least of the elimination: negative where the phase is unstable by itself


def linear(model: Model, phase, y: Array, temperature, values: Array) -> Linear:
    """The expansion of a phase; constituents with y = 0 stay away."""
    system, own = model.system, model.jets.sites[phase]
    at = jet(model.jets, system, phase, y, temperature, values)
    kt, free = system.boltzmann * temperature, (y > 0) & (own > 0)
    unit = jnp.where(free, jnp.sqrt(y / jnp.where(own > 0, own, 1.0)), 0.0)
    sides = model.member[phase] * jnp.where(free, jnp.sqrt(y), 0.0)[None]  # [S, Y], of length one each
    along = lambda rows: rows - sides.T @ (sides @ rows)
    content = along(unit[:, None] * own[:, None] * system.content[phase])
    gradient = along(unit * at.gradient)
    curved = unit[:, None] * at.excess_hessian * unit[None, :]
    curved = along(along(curved).T) + kt * jnp.eye(len(y))
    solved, pivot = _solve(curved, jnp.concatenate([gradient[:, None], content], 1), _SOFTEST * kt)
    scale = jnp.where(free, 1 / jnp.where(free, unit * own, 1.0), 0.0)
    return Linear(at.energy, moles(system, phase, y), solved[:, 0], solved[:, 1:], scale, gradient, content, pivot)


def moved(model: Model, phase, y: Array, logarithmic: Array) -> Array:
    """Site fractions after a step of their logarithms, damped where it is wide."""
    step = jnp.clip(logarithmic, jnp.where(y < _TRACE, -_FAR, -_LONGEST), _LONGEST)
    step = step * jnp.minimum(1.0, _WIDEST / jnp.maximum(jnp.max(jnp.abs(step) * y), _TINY))
    new = y * jnp.exp(step)
    return new / (model.member[phase].T @ (model.member[phase] @ new) + (new <= 0))


def descend(model: Model, phase, y: Array, temperature, potentials: Array, n_step: int) -> tuple[Array, Array, Array]:
    """Steps towards the lowest point of a phase below the plane of chemical potentials.

    Returns:
      Site fractions of the lowest point met; its driving force in eV per atom (negative: below the plane); what Newton's model still
      expects to gain.
    """
    values = coefficients(model.jets, model.system, phase, temperature)

    def step(_, state):
        y, best, way, length, lowest, gain = state
        at = linear(model, phase, y, temperature, values)
        n_atom = jnp.maximum(at.moles.sum(), 1e-3)
        force = (at.energy - at.moles @ potentials) / n_atom
        move = at.force - at.response @ potentials
        expected = 0.5 * move @ (at.gradient - at.content @ potentials) / n_atom
        better = force < lowest
        best, way = jnp.where(better, y, best), jnp.asarray(jnp.where(better, -move * at.scale, way))
        length = jnp.asarray(jnp.where(better, 1.0, _SHORTER * length))  # a step that led upwards is taken again, shorter
        lowest, gain = jnp.where(better, force, lowest), jnp.where(better, expected, gain)
        return moved(model, phase, best, length * way), best, way, length, lowest, gain

    far = jnp.asarray(jnp.inf)
    _, best, *_, lowest, gain = jax.lax.fori_loop(0, n_step, step, (y, y, jnp.zeros_like(y), jnp.ones(()), far, far))
    return best, lowest, gain


class Phases(NamedTuple):
    """Up to K phases in equilibrium: index [K], -1 = none; site fractions [K, Y]; formula units [K]; chemical potentials [C]."""

    phase: Array
    y: Array
    amounts: Array
    potentials: Array


class Residual(NamedTuple):
    """What is left: eV per atom off the plane, atoms, scaled step; the energy; solved: little is left, and every phase is stable."""

    plane: Array
    mass: Array
    force: Array
    energy: Array
    solved: Array


def balance(model: Model, phases: Phases, temperature, x: Array, values: Array) -> tuple[Phases, Residual]:
    """One step to the equilibrium of given phases, and what was left before it.

    Source:
      Hillert, Physica B+C 103 (1981) 31; Sundman, Lu & Ohtani, Comput. Mater. Sci. 101 (2015) 127, eqs. 41-57.
    """
    n_element = len(x)
    at = jax.vmap(linear, (None, 0, 0, None, 0))(model, phases.phase, phases.y, temperature, values)
    present, active = x > 0, phases.phase >= 0
    at = jax.tree.map(lambda a: jnp.where(active.reshape(-1, *(1,) * (a.ndim - 1)), a, 0.0), at)
    weight = jnp.where(active, jnp.maximum(phases.amounts, 1e-6), 0.0)
    follow = jnp.einsum("k,kyc,kyd->cd", weight, at.content, at.response)
    shift = jnp.einsum("k,kyc,ky->c", weight, at.content, at.force)
    old = jnp.where(present, phases.potentials, 0.0)
    missing = jnp.asarray(jnp.where(present, x - phases.amounts @ at.moles, 0.0))
    off = at.energy - at.moles @ old
    matrix = jnp.block(
        [[follow + jnp.diag(jnp.where(present, _FIXED, 1.0)), at.moles.T], [at.moles, jnp.diag(jnp.where(active, 0.0, 1.0))]]
    )
    right = jnp.concatenate([missing + shift - follow @ old, off])
    change = jnp.linalg.solve(matrix, right)
    potentials = old + change[:n_element]
    step = at.response @ potentials - at.force
    y = jax.vmap(moved, (None, 0, 0, 0))(model, phases.phase, phases.y, step * at.scale)
    y = jnp.where(active[:, None], y, phases.y)
    n_atom = jnp.maximum(at.moles.sum(-1), 1e-3)
    plane, mass, force = jnp.abs(off / n_atom).max(), jnp.abs(missing).max(), jnp.abs(step).max()
    solved = (plane < PLANE) & (mass < MASS) & (force < FORCE) & jnp.all((at.pivot > 0) | ~active)
    new = Phases(phases.phase, y, phases.amounts + change[n_element:], potentials)
    return new, Residual(plane, mass, force, phases.amounts @ at.energy, solved)


def solve(model: Model, phases: Phases, temperature, x: Array, n_step: int) -> tuple[Phases, Residual]:
    """The equilibrium of given phases at temperatures [B] and compositions [B, C]; every field of `phases` leads with B.

    Amounts may come out negative: that phase does not take part. Not solved within n_step: the flag says so, and more steps may follow.
    """
    values = jax.vmap(jax.vmap(coefficients, (None, None, 0, None)), (None, None, 0, 0))(
        model.jets, model.system, phases.phase, temperature
    )
    step = jax.vmap(balance, (None, 0, 0, 0, 0))

    def more(state):
        *_, residual, k = state
        return ~jnp.all(residual.solved) & (k < n_step)

    def one(state):
        phases, residual, k = state
        new, found = step(model, phases, temperature, x, values)
        keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(found.solved.reshape((-1,) + (1,) * (a.ndim - 1)), b, a), new, old)
        return keep(new, phases), found, k + 1

    _, start = jax.eval_shape(step, model, phases, temperature, x, values)
    start = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), start)
    phases, residual, _ = jax.lax.while_loop(more, one, (phases, start, 0))
    return phases, residual


def _solve(matrix: Array, right: Array, least: Array) -> tuple[Array, Array]:
    """matrix^-1 right by elimination, and its least pivot; those below `least` are raised to it, so that saddles are left downhill."""
    n = len(matrix)

    def eliminate(i, state):
        table, lowest = state
        row = table[i].at[i].max(least)
        row = row / row[i]
        column = table[:, i]
        return (table - column[:, None] * row[None, :]).at[i].set(row), jnp.minimum(lowest, table[i, i])

    table, lowest = jax.lax.fori_loop(0, n, eliminate, (jnp.concatenate([matrix, right], 1), jnp.asarray(jnp.inf)))
    return table[:, n:], lowest


def model(system: System, tables: Jets) -> Model:
    """Puts together what searches need."""
    sublattice = jnp.asarray(system.sublattice)
    member = (sublattice[:, None, :] == jnp.arange(system.sites.shape[1])[None, :, None]).astype(float)
    return Model(system, tables, member, jnp.where(sublattice >= 0, jnp.take_along_axis(system.sites, jnp.maximum(sublattice, 0), 1), 0.0))
