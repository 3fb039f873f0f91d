"""Phase equilibria at lists of temperatures and compositions, with a certificate, and their derivatives.

`equilibria` finds the phases; `follow` is the same equilibrium as a differentiable function of temperature, composition and the
parameters of the model, by the implicit function theorem at the phases found.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from rich.progress import Progress

from matjax.thermo.calphad.composition_sets import Prepared, Sets, prepare
from matjax.thermo.calphad.database import Database
from matjax.thermo.calphad.search import equilibrate
from matjax.thermo.calphad.system import System, check_temperature, energy, moles
from matjax.thermo.host import float64

CHUNK = 1024
"""Points that are solved together; more of them show their progress."""


class Equilibrium(NamedTuple):
    """Lowest mixtures of phases at n points, at most C phases each (as many as elements), largest share first.

    Attributes:
      temperature: K [n].
      x: Atomic fractions [n, C].
      energy: Gibbs energy, eV/atom [n]; nan where not converged.
      potentials: Chemical potentials, eV/atom [n, C]; -inf for absent elements.
      phase: Index of each phase [n, C]; -1 = none. A phase twice is a miscibility gap.
      fractions: Share of the atoms in each phase [n, C].
      compositions: Atomic fractions of each phase [n, C, C].
      y: Site fractions of each phase [n, C, Y].
      gap: Certificate [n], eV/atom: the lowest that the last search over all phases found below the plane of the chemical potentials. No
        phase that the search met lowers the energy by more; nan where not converged.
      converged: [n] whether phases lie on the plane to 1e-9 eV/atom, the balance of elements holds, and `gap` >= -1e-7 eV/atom.
    """

    temperature: Array
    x: Array
    energy: Array
    potentials: Array
    phase: Array
    fractions: Array
    compositions: Array
    y: Array
    gap: Array
    converged: Array


def equilibria(database: Database | System, temperature: ArrayLike, x: ArrayLike) -> Equilibrium:
    """Phases in equilibrium at a list of points, at the pressure that the database was read for.

    The hull of sampled site fractions, Newton's method on the phases that it names, and a search of all phases below the plane that
    results, until nothing lies below. Points that do not settle are flagged, with energies of nan. Runs on the host; kernels are
    compiled on the first call for a system (seconds), and kept.

    Args:
      database: Phases of the chemical system.
      temperature: K, [n] or one for all.
      x: Atomic fractions [n, C] or [C], in the order of the database's elements; rows sum to 1.

    Raises:
      ValueError: If shapes do not fit, fractions do not sum to 1, a temperature lies outside the range of the parameters, an element is
        in no phase, or no mixture of the phases has the composition.

    Example:
      >>> from matjax.thermo.calphad import database, solution
      >>> found = equilibria(database([solution("fcc", {"Al": 0.0, "Zn": 0.0}, {("Al", "Zn"): [0.15]})]), 600.0, [[0.5, 0.5]])
      >>> print(found.fractions[0].round(3), found.compositions[0, :, 1].round(3))
      [0.5 0.5] [0.081 0.919]

    Source:
      Hillert, Physica B+C 103 (1981) 31; Sundman, Lu & Ohtani, Comput. Mater. Sci. 101 (2015) 127; the hull of samples and its
      refinement as in Otis, Emelianenko & Liu, Comput. Mater. Sci. 130 (2017) 282, with column generation to a certificate.
    """
    system = database.system if isinstance(database, Database) else database
    names = database.elements if isinstance(database, Database) else tuple(f"number {c}" for c in range(system.content.shape[2]))
    with float64():
        temperature, x = _points(system, names, temperature, x)
        prepared = _prepared(_Identity(system))
        starts = range(0, len(x), CHUNK)
        parts = []
        with Progress(transient=True, disable=len(starts) < 4) as progress:
            task = progress.add_task("equilibria", total=len(x))
            for first in starts:
                rows = slice(first, first + CHUNK)
                parts.append(_found(prepared, temperature[rows], x[rows], *equilibrate(prepared, temperature[rows], x[rows])))
                progress.advance(task, len(parts[-1].x))
    return Equilibrium._make(np.concatenate(column) for column in zip(*parts, strict=True))


def follow(database: Database | System, found: Equilibrium, temperature: ArrayLike, x: ArrayLike) -> Equilibrium:
    """The equilibrium of the phases in `found` as a function of temperature, composition and the parameters of the system: differentiable.

    Values are those of `found` where arguments are its own; first derivatives with respect to `temperature`, `x` and the system's
    leaves are exact, by jax.grad, jacfwd or jacrev (call it inside the differentiated function). Derivatives belong to the phases
    found: at a phase boundary they jump. Arguments that differ from those of `found` give one step of Newton's method, good for small
    differences only.

    Derivatives with respect to x leave its sum free: take differences along directions that keep the sum.

    Example:
      >>> slope = jax.jacfwd(lambda t: follow(database, found, t, found.x).potentials)(found.temperature)  # doctest: +SKIP
    """
    system = database.system if isinstance(database, Database) else database
    with float64():
        temperature, x = jnp.asarray(temperature, jnp.float64), jnp.asarray(x, jnp.float64)
        temperature = jnp.broadcast_to(temperature, found.temperature.shape)
        return _follow(system, jax.tree.map(jnp.asarray, found), temperature, jnp.broadcast_to(x, found.x.shape))


def describe(database: Database, found: Equilibrium) -> list[str]:
    """One line per point: its phases with shares and compositions. For people.

    Example:
      >>> describe(database, found)[0]  # doctest: +SKIP
      'FCC_A1 0.62 (Al 0.74, Zn 0.26) + HCP_A3 0.38 (Al 0.02, Zn 0.98)'
    """
    lines = []
    for phases, fractions, compositions in zip(found.phase, found.fractions, found.compositions, strict=True):
        parts = []
        for phase, share, composition in zip(phases, fractions, compositions, strict=True):
            if phase >= 0:
                held = ", ".join(f"{name} {value:.3g}" for name, value in zip(database.elements, composition, strict=True) if value > 0)
                parts.append(f"{database.phases[int(phase)]} {share:.3g} ({held})")
        lines.append(" + ".join(parts) or "not converged")
    return lines


class _Identity:
    """A system as a key: the same object, not the same numbers."""

    def __init__(self, system: System):
        self.system = system

    def __hash__(self) -> int:
        return id(self.system)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.system is other.system


@lru_cache(maxsize=8)
def _prepared(key: _Identity) -> Prepared:
    return prepare(key.system)


def _points(system: System, names: Sequence[str], temperature: ArrayLike, x: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """The list of points, checked."""
    x, temperature = np.atleast_2d(np.asarray(x, float)), np.asarray(temperature, float)
    if (
        x.ndim != 2
        or x.shape[1] != len(names)
        or temperature.ndim > 1
        or (temperature.ndim and len(temperature) not in (1, len(x)) and len(x) != 1)
    ):
        raise ValueError(
            f"equilibria take temperatures [n] and atomic fractions [n, {len(names)}] of {', '.join(names)},"
            f" not {temperature.shape} and {x.shape}"
        )
    n = max(len(x), temperature.size)
    temperature, x = np.broadcast_to(temperature, (n,)).copy(), np.broadcast_to(x, (n, len(names))).copy()
    wrong = ~(np.all(x >= 0, 1) & (np.abs(x.sum(1) - 1) < 1e-6))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"atomic fractions are >= 0 and sum to 1; row {row} is {x[row].tolist()}, with the sum {x[row].sum():g}")
    check_temperature(system, temperature)
    held, asked = (np.asarray(a > 0).any(axes) for a, axes in ((np.asarray(system.content), (0, 1)), (x, 0)))
    absent = [name for name, there, wanted in zip(names, np.atleast_1d(held), np.atleast_1d(asked), strict=True) if wanted and not there]
    if absent:
        raise ValueError(f"no phase holds {', '.join(absent)}; add phases with them, or leave them out of x")
    return temperature, x / x.sum(1, keepdims=True)


def _found(prepared: Prepared, temperature: np.ndarray, x: np.ndarray, sets: Sets, gap: np.ndarray) -> Equilibrium:
    """Composition sets as they are handed out."""
    settled = ~np.isnan(gap)
    sites = np.asarray(prepared.model.sites)[sets.phase]
    amounts = np.einsum("nky,nkyc->nkc", sets.y * sites, prepared.content[sets.phase])
    atoms = amounts.sum(-1)
    real = (sets.phase >= 0) & settled[:, None]
    fractions = np.where(real, np.maximum(sets.amounts * atoms, 0.0), 0.0)
    order = np.argsort(np.where(real, -fractions, 1.0), axis=1, kind="stable")
    put = lambda a: np.take_along_axis(a, order.reshape(*order.shape, *(1,) * (a.ndim - 2)), 1)
    hide = lambda a, value: np.where(real.reshape(*real.shape, *(1,) * (a.ndim - 2)), a, value)
    present = x > 0
    energy = np.where(settled, (x * np.where(present, sets.potentials, 0.0)).sum(1), np.nan)
    potentials = np.where(settled[:, None], np.where(present, sets.potentials, -np.inf), np.nan)
    compositions = amounts / np.where(atoms > 0, atoms, 1.0)[..., None]
    parts = hide(sets.phase, -1), fractions, hide(compositions, 0.0), hide(sets.y, 0.0)
    return Equilibrium._make((temperature, x, energy, potentials, *map(put, parts), gap, settled))


@jax.jit
def _follow(system: System, found: Equilibrium, temperature: Array, x: Array) -> Equilibrium:
    return jax.vmap(_step, (None, 0, 0, 0))(system, found, temperature, x)


def _step(system: System, found: Equilibrium, temperature: Array, x: Array) -> Equilibrium:
    """One step of Newton's method from a solution, with its matrix held constant: the implicit function theorem to first order."""
    active, present = found.phase >= 0, found.x > 0
    start = (
        found.y,
        _amounts(system, found),
        jnp.zeros((len(found.phase), system.sites.shape[1])),
        jnp.where(present, found.potentials, 0.0),
    )
    own = system.sublattice[found.phase]
    sites = jnp.where(own >= 0, jnp.take_along_axis(system.sites[found.phase], jnp.maximum(own, 0), 1), 0.0)
    free = active[:, None] & (found.y > 0) & (own >= 0)
    unit = jnp.where(free, jnp.sqrt(found.y / jnp.where(sites > 0, sites, 1.0)), 0.0)
    member = (own[:, :, None] == jnp.arange(system.sites.shape[1])[None, None, :]) & free[:, :, None]
    gibbs = lambda p, y, t: energy(system, p, y, t)

    def conditions(unknown, temperature, x):
        step, amounts, multipliers, potentials = unknown
        y = start[0] + unit * step
        value, slope = jax.vmap(jax.value_and_grad(gibbs, 1), (0, 0, None))(found.phase, y, temperature)
        atoms = jax.vmap(moles, (None, 0, 0))(system, found.phase, y)
        push = jax.vmap(lambda p, y: jax.vjp(lambda y: moles(system, p, y), y)[1](potentials)[0])(found.phase, y)
        force = unit * (slope - push - jnp.einsum("kys,ks->ky", member, multipliers))
        whole = jnp.einsum("kys,ky->ks", member, unit * step)
        idle = ~member.any(1)
        return (
            jnp.where(free, force, step),
            jnp.where(active, value - atoms @ potentials, amounts),
            jnp.where(idle, multipliers, whole),
            jnp.where(present, (active * amounts) @ atoms - x, potentials - start[3]),
        )

    zero = (jnp.zeros_like(start[0]), *start[1:])
    # Multipliers of the sublattices: those with which forces vanish.
    slope = jax.vmap(jax.grad(gibbs, 1), (0, 0, None))(found.phase, start[0], found.temperature)
    push = jax.vmap(lambda p, y: jax.vjp(lambda y: moles(system, p, y), y)[1](start[3])[0])(found.phase, start[0])
    share = member * start[0][:, :, None]
    zero = (zero[0], zero[1], jax.lax.stop_gradient(jnp.einsum("kys,ky->ks", share, slope - push)), zero[3])
    zero = jax.lax.stop_gradient(zero)
    flat, unravel = ravel_pytree(zero)
    residual = lambda flat, t, x: ravel_pytree(conditions(unravel(flat), t, x))[0]
    matrix = jax.lax.stop_gradient(jax.jacfwd(residual)(flat, found.temperature, found.x))
    step, amounts, _, potentials = unravel(flat - jnp.linalg.solve(matrix, residual(flat, temperature, x)))
    y = found.y + unit * step
    value = jax.vmap(gibbs, (0, 0, None))(found.phase, y, temperature)
    atoms = jnp.asarray(jnp.where(active[:, None], jax.vmap(moles, (None, 0, 0))(system, found.phase, y), 0.0))
    amounts, total = jnp.where(active, amounts, 0.0), atoms.sum(-1)
    settled = lambda a, otherwise: jnp.where(found.converged, a, otherwise)
    return found._replace(
        temperature=temperature,
        x=x,
        energy=settled(jnp.sum(jnp.asarray(jnp.where(active, value, 0.0)) * jnp.asarray(amounts)), jnp.nan),
        potentials=settled(jnp.where(present, potentials, -jnp.inf), jnp.nan),
        fractions=amounts * total,
        compositions=atoms / jnp.where(active, total, 1.0)[:, None],
        y=y,
    )


def _amounts(system: System, found: Equilibrium) -> Array:
    """Formula units of each phase."""
    total = jax.vmap(moles, (None, 0, 0))(system, found.phase, found.y).sum(-1)
    return jnp.where(found.phase >= 0, found.fractions / jnp.where(found.phase >= 0, total, 1.0), 0.0)
