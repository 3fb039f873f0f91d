"""Phase diagrams from lists of equilibria: sections of binaries and ternaries, and where a disordered phase becomes unstable by itself."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from scipy.optimize import minimize_scalar

from matjax.thermo.calphad.database import Database
from matjax.thermo.calphad.equilibrium import Equilibrium, equilibria
from matjax.thermo.calphad.jets import mixing
from matjax.thermo.calphad.system import System, energy, temperature_range
from matjax.thermo.host import float64

SAME = 1e-5
"""Atomic fraction up to which ends of tie lines count as equal."""

_SCAN, _HALVINGS = 48, 48


class TieLines(NamedTuple):
    """Phases in equilibrium with each other, k of them: temperature in K [n]; index of the phases [n, k]; their compositions [n, k, C]."""

    temperature: np.ndarray
    phase: np.ndarray
    x: np.ndarray


class Instability(NamedTuple):
    """Where the disordered state of a phase stops being a minimum.

    Attributes:
      temperature: K [n]: below it the state is unstable (the highest such); nan where it is stable at all temperatures of the database.
      ordering: [n] True where sublattices part and the composition stays (order and disorder), False where the phase unmixes (spinodal).
    """

    temperature: np.ndarray
    ordering: np.ndarray


def binary_section(database: Database, temperatures: ArrayLike, n: int = 33, n_refine: int = 6) -> TieLines:
    """Tie lines of a binary system: at each temperature the pairs of compositions between which two phases coexist.

    Equilibria at n compositions; between neighbours that lie in different regions more are added, `n_refine` times halving the
    interval, so that two-phase regions wider than 1 / (n 2^n_refine) are found. Ends of a tie line are solved, not read off a grid.

    Args:
      database: Of two elements.
      temperatures: K [m].
      n: Compositions per temperature at first.
      n_refine: Halvings of intervals.
    """
    if len(database.elements) != 2:
        raise ValueError(f"a binary section takes two elements, the database has {', '.join(database.elements)}; read it for two of them")
    temperatures = np.atleast_1d(np.asarray(temperatures, float))
    share = np.linspace(0, 1, n + 2)[1:-1]
    temperature, second = (a.ravel() for a in np.meshgrid(temperatures, share, indexing="ij"))
    known = equilibria(database, temperature, np.stack([1 - second, second], 1))
    for _ in range(n_refine):
        temperature, second = _between(known)
        if not len(second):
            break
        more = equilibria(database, temperature, np.stack([1 - second, second], 1))
        known = Equilibrium._make(np.concatenate(pair) for pair in zip(known, more, strict=True))
    return _coexisting(known, 2)


def ternary_section(database: Database, temperature: float, n: int = 20) -> tuple[TieLines, TieLines]:
    """Tie lines and tie triangles of a ternary system at one temperature, from equilibria at compositions 1 / n apart.

    Raises:
      ValueError: If the database has not three elements.
    """
    if len(database.elements) != 3:
        raise ValueError(
            f"a ternary section takes three elements, the database has {', '.join(database.elements)}; read it for three of them"
        )
    counts = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)])
    x = (counts + 1 / 3) / (n + 1)  # off the edges, which belong to binaries
    known = equilibria(database, float(temperature), x)
    return _coexisting(known, 2), _coexisting(known, 3)


def disordered(database: Database, phase: str, x: ArrayLike) -> np.ndarray:
    """Site fractions [n, Y] of a phase in which every sublattice that mixes has the composition of the whole, without vacancies.

    Raises:
      ValueError: If a sublattice that mixes lacks an element.
    """
    p, x = database.index(phase), np.atleast_2d(np.asarray(x, float))
    content, own = np.asarray(database.system.content[p]), np.asarray(database.system.sublattice[p])
    mixes = mixing(database.system)[p]
    single = mixes & (content.sum(1) == 1) & (content.max(1) == 1)
    lacking = [s for s in np.unique(own[mixes]) if not np.asarray(content[single & (own == s)].any(0) | ~(x > 0).any(0)).all()]
    if lacking:
        raise ValueError(
            f"{phase} has no disordered state: sublattices {[int(s) + 1 for s in lacking]} lack some of {', '.join(database.elements)}"
        )
    return np.where((own >= 0) & ~mixes, 1.0, np.where(single, x @ content.T, 0.0))


def softest(system: System, phase, y: Array, temperature) -> tuple[Array, Array]:
    """The smallest curvature of a phase's energy along its sublattices, in units of k T per site, and how atoms move in it.

    Ideal mixing has the curvature 1. Where it vanishes the phase becomes unstable: at the spinodal if the composition changes (norm of
    the second result against zero), at an order-disorder transition if it does not.

    Args:
      system: Tables of the phases.
      phase: Index.
      y: Site fractions [Y].
      temperature: K.

    Returns:
      Curvature; change of the composition [C] in its mode.
    """
    own = system.sublattice[phase]
    sites = jnp.where(own >= 0, system.sites[phase][jnp.maximum(own, 0)], 0.0)
    free = (y > 0) & (own >= 0)
    unit = jnp.where(free, jnp.sqrt(y / jnp.where(free, sites, 1.0)), 0.0)
    member = (own[None, :] == jnp.arange(system.sites.shape[1])[:, None]) & free[None]
    sides = jnp.asarray(member * jnp.sqrt(y)[None])
    along = jnp.eye(len(y)) - sides.T @ sides
    hessian = jax.hessian(energy, 2)(system, phase, y, temperature) / (system.boltzmann * temperature)
    inner = along @ jnp.asarray(unit[:, None] * jnp.where(free[:, None] & free[None, :], hessian, 0.0) * unit[None, :]) @ along
    stiff = 1e6 * (sides.T @ sides + jnp.diag(~free * 1.0))
    values, modes = jnp.linalg.eigh(inner + stiff)
    return values[0], (modes[:, 0] * unit * sites) @ system.content[phase]


def instability(database: Database, phase: str, x: ArrayLike) -> Instability:
    """Temperatures at which the disordered state of a phase becomes unstable at compositions [n, C]: spinodal or ordering.

    Scans the database's range of temperatures from above and bisects, to 1e-9 K.
    """
    with float64():
        p, y, system = database.index(phase), jnp.asarray(disordered(database, phase, x)), database.system
        low, high = temperature_range(system)
        scan = np.linspace(high, low, _SCAN)
        curvature = np.asarray(_curvatures(system, p, y[:, None], scan[None, :])[0])
        soft = curvature < 0
        first = soft.argmax(1)
        there = soft.any(1) & (first > 0)
        stable, unstable = scan[np.maximum(first - 1, 0)], scan[first]
        for _ in range(_HALVINGS):
            middle = (stable + unstable) / 2
            below = np.asarray(_curvatures(system, p, y[:, None], middle[:, None])[0])[:, 0] < 0
            unstable, stable = np.where(below, middle, unstable), np.where(below, stable, middle)
        mode = np.asarray(_curvatures(system, p, y[:, None], unstable[:, None])[1])[:, 0]
    return Instability(np.where(there, unstable, np.nan), there & (np.abs(mode).max(1) < 1e-6))


def critical_point(database: Database, phase: str) -> tuple[float, np.ndarray]:
    """Temperature in K and composition [2] of the critical point of a binary phase's miscibility gap: the top of its spinodal.

    Raises:
      ValueError: If the database has not two elements, or the phase does not unmix in its range of temperatures.
    """
    if len(database.elements) != 2:
        raise ValueError(f"a critical point is looked for in binaries, the database has {', '.join(database.elements)}")
    share = np.linspace(0, 1, 65)[1:-1]
    found = instability(database, phase, np.stack([1 - share, share], 1))
    spinodal = np.where(found.ordering, np.nan, found.temperature)
    if np.isnan(spinodal).all():
        low, high = temperature_range(database.system)
        raise ValueError(f"{phase} does not unmix between {low:g} and {high:g} K")
    best = share[int(np.nanargmax(spinodal))]
    height = lambda s: -float(np.nan_to_num(instability(database, phase, np.array([[1 - s, s]])).temperature[0]))
    top: Any = minimize_scalar(height, bounds=(best - 1 / 64, best + 1 / 64), method="bounded", options={"xatol": 1e-7})
    second = float(top.x)
    return -height(second), np.array([1 - second, second])


@jax.jit
def _curvatures(system: System, phase, y: Array, temperature: Array) -> tuple[Array, Array]:
    """`softest` for site fractions [n, 1, Y] at temperatures [n or 1, m]."""
    n, m = y.shape[0], temperature.shape[1]
    rows = jnp.broadcast_to(y, (n, m, y.shape[2])), jnp.broadcast_to(temperature, (n, m))
    return jax.vmap(jax.vmap(softest, (None, None, 0, 0)), (None, None, 0, 0))(system, phase, *rows)


def _between(known: Equilibrium) -> tuple[np.ndarray, np.ndarray]:
    """Temperatures and shares of the second element halfway between neighbours whose regions differ and do not touch."""
    order = np.lexsort([known.x[:, 1], known.temperature])
    temperature, second = [], []
    for i, j in pairwise(order):
        if known.temperature[i] != known.temperature[j] or not (known.converged[i] and known.converged[j]):
            continue
        a, b = (known.compositions[k, known.phase[k] >= 0, 1] for k in (i, j))
        same_region = sorted(known.phase[i]) == sorted(known.phase[j]) and (len(a) == 1 or np.allclose(np.sort(a), np.sort(b), atol=SAME))
        touches = len(a) + len(b) > 2 and min(abs(p - q) for p in a for q in b) < SAME
        if not same_region and not touches:
            temperature.append(known.temperature[i])
            second.append((known.x[i, 1] + known.x[j, 1]) / 2)
    return np.array(temperature), np.array(second)


def _coexisting(known: Equilibrium, k: int) -> TieLines:
    """The different sets of exactly k phases."""
    rows = np.flatnonzero((known.phase >= 0).sum(1) == k)
    phase, x, seen = known.phase[rows, :k], known.compositions[rows, :k], {}
    for row, p, ends in zip(rows, phase, x, strict=True):
        place = np.round(ends / (10 * SAME)).astype(int)
        order = np.lexsort([*place.T, p])
        key = (known.temperature[row], *p[order], *place[order].ravel())
        seen.setdefault(key, (known.temperature[row], p[order], ends[order]))
    kept = sorted(seen.values(), key=lambda line: (line[0], *line[2].ravel()[::-1]))
    n_element = known.x.shape[1]
    return TieLines(
        np.array([line[0] for line in kept]),
        np.array([line[1] for line in kept], int).reshape(-1, k),
        np.array([line[2] for line in kept]).reshape(-1, k, n_element),
    )
