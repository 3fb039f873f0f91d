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
_LARGEST = 0.5  # atoms by which a phase grows or shrinks in a step
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


class Descent(NamedTuple):
    """A search for the lowest point of a phase below a plane, half-way: it goes on where it stopped."""

    y: Array  # [Y] where to look next
    best: Array  # [Y] the lowest point met
    way: Array  # [Y] Newton's step from there, of logarithms
    length: Array  # of the step that is tried
    force: Array  # driving force at the lowest point, eV per atom; negative: below the plane
    gain: Array  # what Newton's model expects to gain from there


def descend(model: Model, phase, start: Descent, temperature, potentials: Array, n_step) -> Descent:
    """Steps towards the lowest point of a phase below the plane of chemical potentials."""
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
        lowest, gain = jnp.asarray(jnp.where(better, force, lowest)), jnp.asarray(jnp.where(better, expected, gain))
        return Descent(moved(model, phase, best, length * way), best, way, length, lowest, gain)

    return jax.lax.fori_loop(0, n_step, step, start)


class Mixtures(NamedTuple):
    """B mixtures of up to K phases, the phases of all in one list of F, so that few places are empty whatever their numbers.

    Attributes:
      phase: Index of each phase [F], -1 = none.
      owner: The mixture that it is part of [F].
      y: Site fractions [F, Y].
      slot: Places of each mixture's phases in the list [B, K]; F = none.
      amounts: Formula units [B, K].
      potentials: Chemical potentials [B, C].
    """

    phase: Array
    owner: Array
    y: Array
    slot: Array
    amounts: Array
    potentials: Array


class Residual(NamedTuple):
    """What is left [B]: eV per atom off the plane, atoms, scaled step; solved: little is left, and every phase is stable."""

    plane: Array
    mass: Array
    force: Array
    solved: Array


class _Share(NamedTuple):
    """What a phase adds to the balance of its mixture."""

    energy: Array
    moles: Array  # [C]
    follow: Array  # [C, C] moles that follow the potentials
    shift: Array  # [C] moles that follow the forces
    pivot: Array


def balance(model: Model, mixtures: Mixtures, temperature, x: Array, values: Array) -> tuple[Mixtures, Residual]:
    """One step to the equilibrium of given phases at temperatures [B] and compositions [B, C], and what was left before it.

    Source:
      Hillert, Physica B+C 103 (1981) 31; Sundman, Lu & Ohtani, Comput. Mater. Sci. 101 (2015) 127, eqs. 41-57.
    """
    phase, owner, y, slot = mixtures[:4]
    at = jax.vmap(linear, (None, 0, 0, 0, 0))(model, phase, y, temperature[owner], values)
    listed = phase >= 0
    follow, shift = jnp.einsum("fyc,fyd->fcd", at.content, at.response), jnp.einsum("fyc,fy->fc", at.content, at.force)
    shares = _Share(at.energy, at.moles, follow, shift, at.pivot)
    only = lambda a: jnp.asarray(jnp.where(listed.reshape(-1, *(1,) * (a.ndim - 1)), a, 0.0))
    put = lambda a: jnp.concatenate([only(a), jnp.zeros((1, *a.shape[1:]))])[slot]
    active = slot < len(phase)
    potentials, change, share, plane, mass, stable = jax.vmap(_plane)(
        jax.tree.map(put, shares), active, mixtures.amounts, mixtures.potentials, x
    )
    step = jnp.where(listed[:, None], (at.response @ potentials[owner][..., None])[..., 0] - at.force, 0.0)
    way = share[owner][:, None] * step * at.scale
    new = jnp.where(listed[:, None], jax.vmap(moved, (None, 0, 0, 0))(model, phase, y, way), y)
    force = put(jnp.abs(step).max(-1)).max(-1)
    reached = share[:, None] * potentials + (1 - share[:, None]) * jnp.where(x > 0, mixtures.potentials, 0.0)
    solved = (plane < PLANE) & (mass < MASS) & (force < FORCE) & stable
    return mixtures._replace(y=new, amounts=mixtures.amounts + change, potentials=reached), Residual(plane, mass, force, solved)


def _plane(at: _Share, active: Array, amounts: Array, old: Array, x: Array) -> tuple[Array, ...]:
    """Potentials and changes of amounts of one mixture; what is off the plane and missing now; whether its phases are stable."""
    present = x > 0
    weight = jnp.where(active, jnp.maximum(amounts, 1e-6), 0.0)
    follow, shift = jnp.einsum("k,kcd->cd", weight, at.follow), weight @ at.shift
    old = jnp.where(present, old, 0.0)
    missing = jnp.asarray(jnp.where(present, x - amounts @ at.moles, 0.0))
    off = at.energy - at.moles @ old
    matrix = jnp.block(
        [[follow + jnp.diag(jnp.where(present, _FIXED, 1.0)), at.moles.T], [at.moles, jnp.diag(jnp.where(active, 0.0, 1.0))]]
    )
    change = jnp.linalg.solve(matrix, jnp.concatenate([missing + shift - follow @ old, off]))
    plane = jnp.abs(off / jnp.maximum(at.moles.sum(-1), 1e-3)).max()
    stable = jnp.all((at.pivot > 0) | ~active)
    tilt, growth = change[: len(x)], change[len(x) :]
    share = jnp.minimum(1.0, _LARGEST / jnp.maximum(jnp.abs(growth * at.moles.sum(-1)).max(), _TINY))
    return old + tilt, share * growth, share, plane, jnp.abs(missing).max(), stable


def solve(model: Model, mixtures: Mixtures, temperature, x: Array, n_step) -> tuple[Mixtures, Residual]:
    """The equilibrium of given phases at temperatures [B] and compositions [B, C].

    Amounts may come out negative: that phase does not take part. Not solved within n_step: the flag says so, and more steps may follow.
    """
    values = jax.vmap(coefficients, (None, None, 0, 0))(model.jets, model.system, mixtures.phase, temperature[mixtures.owner])

    def more(state):
        *_, residual, k = state
        return ~jnp.all(residual.solved) & (k < n_step)

    def one(state):
        mixtures, _, k = state
        new, found = balance(model, mixtures, temperature, x, values)
        keep = lambda new, old, solved: jnp.where(solved.reshape((-1,) + (1,) * (new.ndim - 1)), old, new)
        y = keep(new.y, mixtures.y, found.solved[mixtures.owner])
        amounts, potentials = (keep(a, b, found.solved) for a, b in zip(new[4:], mixtures[4:], strict=True))
        return mixtures._replace(y=y, amounts=amounts, potentials=potentials), found, k + 1

    nothing = jnp.full(len(x), jnp.inf)
    start = Residual(nothing, nothing, nothing, nothing < 0)
    mixtures, residual, _ = jax.lax.while_loop(more, one, (mixtures, start, 0))
    return mixtures, residual


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
