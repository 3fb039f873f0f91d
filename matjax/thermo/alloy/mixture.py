"""The lowest mixture of phases by column generation, with a certificate.

The hull of a grid over all compositions gives a first slope (chemical potentials). At the slope, the points of each solution
that lie deepest below the plane are found by Newton descent on the simplex; they join the hull, which gives a new slope, and
so on. The driving force that is left bounds what any mixture could still gain.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from matjax.config import spec
from matjax.simulate.prototypes import LATTICES
from matjax.thermo.alloy.composition_grid import faces as all_faces
from matjax.thermo.alloy.composition_grid import grid as grid_of
from matjax.thermo.alloy.composition_grid import projection, regions
from matjax.thermo.alloy.gibbs import Terms, gibbs_liquid, gibbs_solution
from matjax.thermo.alloy.landscape import Landscape
from matjax.thermo.alloy.liquid import LIQUID
from matjax.thermo.alloy.solution import evaluate
from matjax.thermo.free_energy.vibration import debye_free_energy, debye_temperature
from matjax.thermo.hull.lower_hull import Hull, lower_hull
from matjax.thermo.order.entropy import configurational_entropy
from matjax.units import BOLTZMANN

SEPARATION = 0.10
"""Distance in composition (half the sum of absolute differences) from which the same lattice counts as another phase."""

N_LATTICE = len(LATTICES)
_TINY = 1e-300
_LONGEST = 2.0  # step of a descent, in the logarithm of a fraction
_SOFTEST = 0.002  # eV, least curvature of a descent in units where ideal mixing has kT
_STIFF = 100.0  # eV, curvature against leaving the simplex or a face
_THETA = (5.0, 5000.0)  # K, Debye temperatures of the table
_N_TABLE = 32


@spec
class Search:
    """How the lowest mixture is searched.

    Attributes:
      n_active: Most elements of a candidate; a landscape may have more.
      n_grid: Steps of the grid over compositions, 1 / n_grid apart; edges have four times as many.
      n_round: Rounds of column generation.
      n_step: Newton steps of each descent.
    """

    n_active: int = 5
    n_grid: int = 10
    n_round: int = 8
    n_step: int = 5


SEARCH = Search()


class Compounds(NamedTuple):
    """Compounds: x [n, n_active]; energy [n]; mask [n], False where other elements are in it."""

    x: Array
    energy: Array
    mask: Array


class System(NamedTuple):
    """The candidate's elements alone: one member's landscape of them, compounds with at least one row, and K."""

    landscape: Landscape
    compounds: Compounds
    temperature: Array


class Mixture(NamedTuple):
    """The lowest mixture of phases other than the candidate.

    Attributes:
      x: Compositions [n_active, n_active].
      phase: Index in LATTICES, N_LATTICE + number of the compound, or LIQUID [n_active].
      face: Elements that the phase has more of than the candidate, where only the separation keeps the two apart
        [n_active, n_active]; all False elsewhere.
      fractions: Share of the atoms [n_active].
      slope: Chemical potentials [n_active], eV/atom.
      gap: No mixture is lower by more than this, eV/atom.
    """

    x: Array
    phase: Array
    face: Array
    fractions: Array
    slope: Array
    gap: Array


class _Points(NamedTuple):
    """Points of phases: x [n, n_active]; energy [n]; phase [n]; mask [n]; face [n, n_active]."""

    x: Array
    energy: Array
    phase: Array
    mask: Array
    face: Array


class _Starts(NamedTuple):
    """Where descents begin, in groups of one solution: x, face [g, n, n_active]; solution [g]; share of the face, mask [g, n]."""

    x: Array
    solution: Array
    face: Array
    share: Array
    mask: Array


def gibbs_of(system: System, phase: Array, x: Array, terms: Terms) -> Array:
    """Exact Gibbs energies of phases [n] at compositions [n, n_active], eV/atom."""
    solution = jax.vmap(lambda lattice, x: gibbs_solution(system.landscape, lattice, x, system.temperature, terms))
    compound = jnp.clip(phase - N_LATTICE, 0, len(system.compounds.mask) - 1)
    solid = jnp.where(phase < N_LATTICE, solution(jnp.clip(phase, 0, N_LATTICE - 1), x), system.compounds.energy[compound])
    if system.landscape.liquid is None:
        return solid
    return jnp.where(phase == LIQUID, gibbs_liquid(system.landscape, x, system.temperature, terms), solid)


def on_face(at: Array, face: Array, x: Array) -> Array:
    """The same points as they move with the candidate: the share of a face's elements is the candidate's plus SEPARATION."""
    inside, outside = (jnp.where(side, at, 0.0).sum(-1, keepdims=True) for side in (face, ~face))
    share = jnp.where(face, x[None], 0.0).sum(-1, keepdims=True) + SEPARATION
    # The other elements may share nothing but rounding: their sum is taken, never 1 - inside, which may vanish where it does not.
    moved = at * jnp.where(face, share / jnp.maximum(inside, _TINY), (1 - share) / jnp.maximum(outside, _TINY))
    return jnp.where(face.any(-1, keepdims=True), moved, at)


def lowest_mixture(system: System, phase: Array, x: Array, terms: Terms, search: Search) -> Mixture:
    """The mixture of phases other than the candidate (`phase` at `x`) that has the lowest Gibbs energy.

    Not to be differentiated: at the optimum only the explicit dependence of energies and faces counts.
    """
    grid, n_active = grid_of(len(x), search.n_grid), len(x)
    n_solution, smooth = len(_solutions(system)), _smooth_on_grid(system, grid, terms)
    quartic = (smooth @ projection(n_active, search.n_grid)).reshape(n_solution, n_active**2, n_active**2)
    on_grid = _allowed(system, smooth - _entropy(system, grid, terms)[None], grid, phase, x)
    points, n_fixed = _first(system, phase, x, grid, on_grid)
    n_new = (n_solution + len(all_faces(n_active))) * 2 * n_active
    grow = lambda y: jnp.concatenate([y, jnp.broadcast_to(y[:1], (search.n_round * n_new, *y.shape[1:]))])
    points = jax.tree.map(grow, points)._replace(mask=jnp.pad(points.mask, (0, search.n_round * n_new)))

    def extend(k: int, state: tuple[_Points, Array, Array]) -> tuple[_Points, Array, Array]:
        points, bound, best = state
        hull = lower_hull(x, points.x, points.energy, points.mask)
        # Slopes of successive hulls jump about at first: nearer to the slope of the best bound they settle sooner.
        slope = hull.chemical_potentials
        memory = 0.5 * jnp.maximum(1 - (k + 1) / search.n_round, 0.0)
        slope = jnp.where(jnp.isfinite(bound), slope + memory * (best - slope), slope)
        starts = _starts(system, phase, x, search.n_grid, on_grid, points, hull, slope)
        new = _descend(system, quartic, phase, x, terms, search.n_step, starts, slope)
        put = lambda pool, some: jax.lax.dynamic_update_slice_in_dim(pool, some, n_fixed + k * n_new, 0)
        points = jax.tree.map(put, points, new)
        below = jnp.min(jnp.asarray(jnp.where(points.mask, points.energy - points.x @ slope, jnp.inf)))
        below = x @ slope + jnp.minimum(below, (on_grid - (grid @ slope)[None]).min())
        return points, jnp.maximum(bound, below), jnp.where(below > bound, slope, best)

    points, bound, _ = jax.lax.fori_loop(0, search.n_round, extend, (points, jnp.asarray(-jnp.inf), jnp.zeros(n_active)))
    points = jax.tree.map(lambda pool, some: jnp.concatenate([pool, some]), points, _here(system, phase, x, terms))
    hull = lower_hull(x, points.x, points.energy, points.mask)
    of = lambda y: y[hull.indices]
    gap = jnp.maximum(hull.energy - bound, 0.0)
    return Mixture(of(points.x), of(points.phase), of(points.face), hull.fractions, hull.chemical_potentials, gap)


def _solutions(system: System) -> np.ndarray:
    """The phases whose composition varies: the lattices, and the liquid where there is one."""
    liquid = [] if system.landscape.liquid is None else [LIQUID]
    return np.array([*range(N_LATTICE), *liquid], np.int32)


def _row(phase: Array) -> Array:
    """Where a solution stands among them; of a compound, any."""
    return jnp.where(phase == LIQUID, N_LATTICE, jnp.minimum(phase, N_LATTICE - 1))


def _entropy(system: System, at: np.ndarray, terms: Terms) -> Array:
    """Configurational entropy times T."""
    return system.temperature * configurational_entropy(at) if terms.configurational else jnp.zeros(len(at))


def _smooth_on_grid(system: System, grid: np.ndarray, terms: Terms) -> Array:
    """Energies of every solution on the grid but for configurational entropy [n_solution, n_grid]."""
    solid = _solid_on_grid(system, grid, terms)
    if system.landscape.liquid is None:
        return solid
    liquid = gibbs_liquid(system.landscape, grid, system.temperature, dataclasses.replace(terms, configurational=False))
    return jnp.concatenate([solid, liquid[None]])


def _solid_on_grid(system: System, grid: np.ndarray, terms: Terms) -> Array:
    landscape = system.landscape
    smooth = evaluate(landscape.enthalpy, grid)
    if not terms.vibrational:
        return smooth
    bulk, shear, volume = (jnp.exp(evaluate(s, grid)) for s in (landscape.log_bulk, landscape.log_shear, landscape.log_volume))
    theta = debye_temperature(bulk, shear, volume, jnp.broadcast_to(grid @ landscape.mass, bulk.shape))
    return smooth + _tabled(system.temperature, theta)


def _tabled(temperature: Array, theta: Array) -> Array:
    """Debye free energies from a Chebyshev series in log theta: one table for thousands of Debye temperatures."""
    low, high = np.log(_THETA)
    angles = np.pi * (np.arange(_N_TABLE) + 0.5) / _N_TABLE
    nodes = np.exp(low + (high - low) * (1 + np.cos(angles)) / 2)
    to_series = np.cos(np.arange(_N_TABLE)[:, None] * angles[None]) * 2 / _N_TABLE
    series = to_series @ debye_free_energy(jnp.broadcast_to(temperature, nodes.shape), nodes)
    at = 2 * (jnp.log(jnp.clip(theta, *_THETA)) - low) / (high - low) - 1
    last, value = jnp.zeros_like(at), jnp.zeros_like(at)
    for k in reversed(range(1, _N_TABLE)):
        last, value = value, 2 * at * value - last + series[k]
    return at * value - last + series[0] / 2


def _allowed(system: System, energy: Array, grid: np.ndarray, phase: Array, x: Array) -> Array:
    """Energies [n_solution, n_grid], infinite where a phase is the candidate's own or has other elements than the candidate.

    An absent element by itself stays: it takes no share, and keeps its chemical potential finite.
    """
    foreign = (grid * (x <= 0)[None]).sum(-1)
    own = _is_own(jnp.asarray(_solutions(system))[:, None], jnp.asarray(grid)[None], phase, x)
    return jnp.where(own | ((foreign > 0) & (foreign < 1 - 1e-9))[None], jnp.inf, energy)


def _is_own(lattice: Array, at: Array, phase: Array, x: Array) -> Array:
    """Whether a point of a lattice is the candidate's own phase."""
    distance = jnp.abs(at - x.reshape((1,) * (at.ndim - 1) + x.shape)).sum(-1) / 2
    return (lattice == phase) & (distance < SEPARATION - 1e-9)


def _here(system: System, phase: Array, x: Array, terms: Terms) -> _Points:
    """The other solutions at the candidate's own composition."""
    lattice = jnp.asarray(_solutions(system))
    at = jnp.broadcast_to(x[None], (len(lattice), len(x)))
    return _Points(at, gibbs_of(system, lattice, at, terms), lattice, lattice != phase, jnp.zeros(at.shape, bool))


def _first(system: System, phase: Array, x: Array, grid: np.ndarray, on_grid: Array) -> tuple[_Points, int]:
    """What the first hull is made of: pure elements, the phases of the grid's own hull, and the compounds."""
    n_active, compounds = len(x), system.compounds
    energy = on_grid.min(0)
    lattice = jnp.asarray(_solutions(system))[(on_grid == energy[None]).argmax(0)]
    mask = jnp.isfinite(energy)
    energy = jnp.where(mask, energy, 0.0)
    hull = lower_hull(x, grid, energy, mask)
    rows = jnp.concatenate([jnp.arange(n_active, dtype=jnp.int32), jnp.maximum(hull.indices, 0)])
    number = jnp.arange(len(compounds.mask), dtype=jnp.int32) + N_LATTICE
    return _Points(
        x=jnp.concatenate([jnp.asarray(grid)[rows], compounds.x]),
        energy=jnp.concatenate([energy[rows], compounds.energy]),
        phase=jnp.concatenate([lattice[rows], number]),
        mask=jnp.concatenate([mask[rows], compounds.mask & (number != phase)]),
        face=jnp.zeros((2 * n_active + len(number), n_active), bool),
    ), 2 * n_active + len(number)


def _starts(system: System, phase: Array, x: Array, n_grid: int, on_grid: Array, points: _Points, hull: Hull, slope: Array) -> _Starts:
    """On each solution the hull's compositions and the deepest grid point of each majority element; every face of the separation."""
    n_active, faces, majority = len(x), jnp.asarray(all_faces(len(x))), regions(len(x), n_grid)
    grid = jnp.asarray(grid_of(n_active, n_grid))
    present = (x > 0).astype(x.dtype)
    depth = (on_grid - (grid @ slope)[None])[:, majority]  # [n_solution, n_active, n_region]
    region, element = depth.argmin(-1), np.arange(n_active)[None]
    deepest = grid[jnp.asarray(majority)[element, region]]  # [n_solution, n_active, n_active]
    known = jnp.broadcast_to(points.x[hull.indices][None], deepest.shape)
    at = 0.98 * jnp.concatenate([known, deepest], 1) + 0.02 * (present / present.sum()).reshape(1, 1, -1)
    at = jnp.where(x.reshape(1, 1, -1) > 0, at, 0.0)
    reached = [jnp.broadcast_to((hull.fractions > 0)[None], depth.shape[:2]), jnp.isfinite(depth.min(-1))]

    share = jnp.where(faces, x.reshape(1, 1, -1), 0.0).sum(-1) + SEPARATION
    real = (faces @ present > 0) & (~faces @ present > 0) & (share <= 1) & (phase < N_LATTICE)
    own = jnp.full(len(faces), _row(phase), jnp.int32)
    return _Starts(
        x=jnp.concatenate([at, jnp.broadcast_to(x.reshape(1, 1, -1), faces.shape)]),
        solution=jnp.concatenate([jnp.arange(len(at), dtype=jnp.int32), own]),
        face=jnp.concatenate([jnp.zeros(at.shape, bool), faces]),
        share=jnp.concatenate([jnp.zeros(at.shape[:2]), share]),
        mask=jnp.concatenate([jnp.concatenate(reached, 1), real]),
    )


def _descend(system: System, quartic: Array, phase: Array, x: Array, terms: Terms, n_step: int, starts: _Starts, slope: Array) -> _Points:
    """Minima of G - slope @ x from every start by damped Newton steps that keep fractions positive.

    The descent follows enthalpy and vibrations through a quartic in the fractions (of which a Redlich-Kister surface is one,
    and vibrations nearly); energies that are returned are exact, so only the place is approximate, and the loss second order.
    """
    kt = BOLTZMANN * system.temperature if terms.configurational else jnp.zeros(())
    n_active, matrix, tangent = len(x), quartic[starts.solution], slope.reshape(-1, 1, 1)
    first = lambda y: jnp.moveaxis(y, -1, 0)  # fractions come first: all descents side by side
    face, share = first(starts.face), starts.share

    def step(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        at, best, lowest = state
        log, root = jnp.log(jnp.maximum(at, _TINY)), jnp.sqrt(at)
        pairs = (at[:, None] * at[None]).reshape(-1, *at.shape[1:])
        half = jnp.einsum("gpq,pgn->qgn", matrix, pairs).reshape(n_active, *at.shape)
        force = (half * at[None]).sum(1)
        value = (at * (force + kt * log - tangent)).sum(0)
        better = value < lowest
        best, lowest = jnp.where(better[None], at, best), jnp.where(better, value, lowest)

        # In units of the square root of the fractions ideal mixing has the curvature kT in every direction; what would change
        # the share of the face or of the rest is made stiff.
        sides = [y / jnp.maximum(jnp.sqrt((y**2).sum(0)), _TINY)[None] for y in (jnp.where(face, root, 0.0), jnp.where(face, 0.0, root))]
        gradient = root * jnp.where(at > 0, 4 * force + kt * log - tangent, 0.0)
        gradient = gradient - sum(y * (y * gradient).sum(0)[None] for y in sides)
        stiff = lambda i, j: _STIFF * sum(y[i] * y[j] for y in sides)
        rows = [
            [12 * root[i] * root[j] * half[i, j] + stiff(i, j) + (kt if i == j else 0.0) for j in range(i + 1)] for i in range(n_active)
        ]
        move = -_solve(rows, list(gradient)) / jnp.maximum(root, 1e-150)
        move = move * jnp.minimum(1.0, _LONGEST / jnp.maximum(jnp.abs(move).max(0), _TINY))[None]
        return _onto(at * jnp.exp(move), face, share), best, lowest

    at = _onto(first(starts.x), face, share)
    _, at, _ = jax.lax.fori_loop(0, n_step, step, (at, at, jnp.full(share.shape, jnp.inf)))
    at = jnp.moveaxis(at, 0, -1)
    flat = lambda y: y.reshape(-1, *y.shape[2:])
    lattice = jnp.broadcast_to(jnp.asarray(_solutions(system))[starts.solution][:, None], share.shape)
    mask = starts.mask & ~_is_own(lattice, at, phase, x)
    return _valid(_Points(flat(at), gibbs_of(system, flat(lattice), flat(at), terms), flat(lattice), flat(mask), flat(starts.face)))


def _valid(points: _Points) -> _Points:
    """The points with a number for energy and a composition; the others are masked pure elements, so that a hull meets no NaN."""
    composition = (points.x >= 0).all(-1) & (jnp.abs(points.x.sum(-1) - 1) < 1e-9)
    mask = points.mask & composition & jnp.isfinite(points.energy)
    return points._replace(
        x=jnp.where(mask[:, None], points.x, jnp.eye(points.x.shape[-1])[:1]),
        energy=jnp.where(mask, points.energy, 0.0),
        mask=mask,
        face=points.face & mask[:, None],
    )


def _solve(lower: list[list[Array]], right: list[Array]) -> Array:
    """Solves small symmetric systems, given by rows of the lower triangle, by L D L^T with pivots made positive.

    So the solution is a direction of descent also where the matrix is not positive.
    """
    n = len(right)
    lower = [list(row) for row in lower]
    pivots, forward = [], []
    for j in range(n):
        pivot = lower[j][j] - sum(lower[j][k] ** 2 * pivots[k] for k in range(j))
        pivots.append(jnp.maximum(jnp.abs(pivot), _SOFTEST))
        for i in range(j + 1, n):
            lower[i][j] = (lower[i][j] - sum(lower[i][k] * lower[j][k] * pivots[k] for k in range(j))) / pivots[j]
        forward.append(right[j] - sum(lower[j][k] * forward[k] for k in range(j)))
    solution = [right[0]] * n
    for i in reversed(range(n)):
        solution[i] = forward[i] / pivots[i] - sum(lower[k][i] * solution[k] for k in range(i + 1, n))
    return jnp.stack(solution)


def _onto(at: Array, face: Array, share: Array) -> Array:
    """Scales positive numbers so that those of the face sum to its share and the others to what remains (fractions first)."""
    inside, outside = jnp.where(face, at, 0.0), jnp.where(face, 0.0, at)
    unit = lambda y: y / jnp.maximum(y.sum(0), _TINY)[None]
    return unit(inside) * share[None] + unit(outside) * (1 - share)[None]
