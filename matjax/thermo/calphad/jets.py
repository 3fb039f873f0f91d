"""Energies of phases with their first and second derivatives in the site fractions, at the cost of a few energies.

Newton's method needs the Hessian of every phase at every step. The terms of a phase are expanded once, on the host, into monomials of the
site
fractions y and of those of the disordered state. Every derivative of a monomial is a monomial that divides it, so that energy, gradient and
Hessian are sparse sums of coefficient times divisor, with indices that are known beforehand: no differentiation is left to do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import chain
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from matjax.thermo.calphad.system import FLOOR, System, assemble, basis

WIDTH = 8
"""Products that are summed at a time; sums of any length are sums of these."""

Monomial = tuple[int, ...]


class Jets(NamedTuple):
    """Monomials of all phases, padded to one shape: P phases, Z variables, N monomials, R rows of WIDTH products, O derivatives."""

    lift: Array  # [P, Z, Y] the variables: site fractions on mixing sublattices, those of the disordered state
    levels: tuple[Array, ...]  # by degree [P, n, 2] int: each divisor is one of lower degree times a variable
    coefficients: Array  # [K, P, N, J] of each monomial, on each interval of temperature
    quantity: Array  # [P, N, Q] what each monomial adds to, ones and zeros
    own: Array  # [P, N] int, each monomial's place among the divisors
    rows: Array  # [P, R, WIDTH, 2] int, monomial (its coefficient) and divisor
    multiplicity: Array  # [P, R, WIDTH]
    sums: Array  # [P, O, L] int, the rows of each derivative
    gradient: Array  # [P, Q, Z] int, which derivative; O = zero
    hessian: Array  # [P, Q, Z, Z] int
    sites: Array  # [P, Y] sites of each constituent that mixes; 0 = it does not, or padding


class Jet(NamedTuple):
    """Energy, eV per formula unit; its gradient [Y]; Hessian [Y, Y] without that of ideal mixing, k T sites / y on the diagonal."""

    energy: Array
    gradient: Array
    excess_hessian: Array


def jets(system: System) -> Jets:
    """The tables of a system; runs on the host."""
    system = System._make(np.asarray(table) for table in system)
    n_quantity = 3 if (system.magnetic[:, 0] > 0).any() else 1
    return _stack([_phase(system, p, n_quantity) for p in range(len(system.sites))], system)


def coefficients(tables: Jets, system: System, phase, temperature) -> Array:
    """Coefficients of a phase's monomials at a temperature, [N]: computed once for all the steps of a search."""
    return tables.coefficients[jnp.searchsorted(system.breaks, temperature, side="right"), phase] @ basis(system, temperature)


def jet(tables: Jets, system: System, phase, y: Array, temperature, values: Array) -> Jet:
    """Energy of a phase with its derivatives.

    Args:
      tables: Of `jets`.
      system: That they were made of.
      phase: Index; may be traced.
      y: Site fractions [Y].
      temperature: In K.
      values: `coefficients` of that phase at that temperature.
    """
    divisors = _divisors(tables, phase, y)
    totals, gradient, hessian = _polynomials(tables, phase, divisors, values)
    lift, n_quantity = tables.lift[phase], totals.shape[0]
    pad = lambda totals: jnp.pad(totals, (0, 3 - n_quantity))
    excess = lambda totals: assemble(system, phase, pad(totals), jnp.zeros(()), temperature)
    value, slope = jax.value_and_grad(excess)(totals)
    curved = jnp.einsum("q,qij->ij", slope, hessian)
    if n_quantity > 1:  # the magnetic energy is no linear function of its critical temperature and moment
        curved = curved + jnp.einsum("qi,qr,rj->ij", gradient, jax.hessian(excess)(totals), gradient)
    kt, sites = system.boltzmann * temperature, tables.sites[phase]
    log = jnp.log(jnp.maximum(y, FLOOR))
    return Jet(value + kt * (sites * y) @ log, (slope @ gradient) @ lift + kt * sites * (log + 1), lift.T @ curved @ lift)


def value(tables: Jets, system: System, phase, y: Array, temperature, values: Array) -> Array:
    """Energy of a phase alone, eV per formula unit; arguments as of `jet`."""
    divisors = _divisors(tables, phase, y)
    totals = (values * divisors[tables.own[phase]]) @ tables.quantity[phase]
    ideal = -(tables.sites[phase] * y) @ jnp.log(jnp.maximum(y, FLOOR))
    return assemble(system, phase, jnp.pad(totals, (0, 3 - totals.shape[0])), ideal, temperature)


def _divisors(tables: Jets, phase, y: Array) -> Array:
    """All divisors of the phase's monomials; the first is one."""
    z = tables.lift[phase] @ y
    known = jnp.ones(1)
    for level in tables.levels:
        known = jnp.concatenate([known, known[level[phase, :, 0]] * z[level[phase, :, 1]]])
    return known


def _polynomials(tables: Jets, phase, divisors: Array, values: Array) -> tuple[Array, Array, Array]:
    """The polynomials of each quantity, [Q], with gradient [Q, Z] and Hessian [Q, Z, Z] in the variables."""
    totals = (values * divisors[tables.own[phase]]) @ tables.quantity[phase]
    rows = tables.rows[phase]
    parts = (tables.multiplicity[phase] * values[rows[..., 0]] * divisors[rows[..., 1]]).sum(-1)
    sums = jnp.concatenate([parts, jnp.zeros(1)])[tables.sums[phase]].sum(-1)
    sums = jnp.concatenate([sums, jnp.zeros(1)])
    return totals, sums[tables.gradient[phase]], sums[tables.hessian[phase]]


def mixing(system: System) -> np.ndarray:
    """Whether each constituent shares its sublattice, [P, Y]: its site fraction can change."""
    sublattice = np.asarray(system.sublattice)
    return (sublattice >= 0) & ((sublattice[:, :, None] == sublattice[:, None, :]).sum(2) > 1)


class _Phase(NamedTuple):
    """One phase on the host: its variables [Z, Y], and monomials with coefficients [K, J] by quantity."""

    lift: np.ndarray
    monomials: dict[tuple[int, Monomial], np.ndarray]


def _phase(system: System, p: int, n_quantity: int) -> _Phase:
    """Expands the terms of a phase."""
    lift, place = _variables(system, p)
    monomials: dict[tuple[int, Monomial], np.ndarray] = defaultdict(lambda: np.zeros(system.coefficients.shape[::2]))
    for m in np.flatnonzero(system.weight[p]):
        if (quantity := int(system.quantity[p, m])) >= n_quantity:
            continue
        coefficient = system.weight[p, m] * system.coefficients[:, system.parameter[p, m]]
        for monomial, number in _product(place[system.factors[p, m]]).items():
            monomials[quantity, monomial] += number * coefficient
    return _Phase(lift, {key: c for key, c in monomials.items() if np.any(c)})


def _variables(system: System, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Variables of a phase, and where the indices of A's factors point among them: -1 is one, -2 is zero."""
    width, mixes = system.sublattice.shape[1], mixing(system)[p]
    rows: list[np.ndarray] = list(np.eye(width)[mixes])
    place = np.full(2 * width + 2, -1)
    place[-1] = -2
    place[np.flatnonzero(mixes)] = np.arange(len(rows))
    for i, row in enumerate(system.average[p]):
        if not np.any(row[mixes]):
            continue
        same = [k for k, known in enumerate(rows) if np.allclose(known, row, atol=1e-14)]
        place[width + i] = same[0] if same else len(rows)
        rows += [] if same else [row]
    return np.array(rows).reshape(-1, width), place


def _product(factors: np.ndarray) -> Counter[Monomial]:
    """A product of differences (pairs of variables) as a sum of monomials with their numbers."""
    total: Counter[Monomial] = Counter({(): 1})
    for plus, minus in factors.tolist():
        grown: Counter[Monomial] = Counter()
        for monomial, number in total.items():
            for end, sign in ((plus, 1), (minus, -1)):
                if end != -2:
                    grown[monomial if end == -1 else tuple(sorted((*monomial, end)))] += sign * number
        total = grown
    return Counter({monomial: number for monomial, number in total.items() if number})


def _without(monomial: Monomial, variable: int) -> Monomial:
    at = monomial.index(variable)
    return monomial[:at] + monomial[at + 1 :]


def _derivatives(phase: _Phase, n_quantity: int) -> dict[tuple, list[tuple[int, Monomial, int]]]:
    """What each first (q, i) and second (q, i, j) derivative is a sum of: monomial, divisor, multiplicity."""
    found: dict[tuple, list[tuple[int, Monomial, int]]] = defaultdict(list)
    for k, (quantity, monomial) in enumerate(phase.monomials):
        for i, power in Counter(monomial).items():
            first = _without(monomial, i)
            found[quantity, i].append((k, first, power))
            for j, left in Counter(first).items():
                if i <= j:
                    found[quantity, i, j].append((k, _without(first, j), power * left))
    return found


def _stack(phases: list[_Phase], system: System) -> Jets:
    """Tables of all phases, each padded to the largest."""
    n_quantity = 3 if (system.magnetic[:, 0] > 0).any() else 1
    derivatives = [_derivatives(phase, n_quantity) for phase in phases]
    parts = [
        {*((),), *(m for _, m in phase.monomials), *(divisor for sums in found.values() for _, divisor, _ in sums)}
        for phase, found in zip(phases, derivatives, strict=True)
    ]
    parts = [_closed(part) for part in parts]
    degree = max((len(m) for part in parts for m in part), default=0)
    counts = [max(sum(len(m) == d for m in part) for part in parts) for d in range(degree + 1)]
    starts = np.concatenate([[0], np.cumsum(counts)])
    places = []
    for part in parts:
        by_degree = [sorted(m for m in part if len(m) == d) for d in range(degree + 1)]
        places.append({m: int(starts[d]) + i for d, group in enumerate(by_degree) for i, m in enumerate(group)})
    n_phase, n_variable = len(phases), max(1, *(len(phase.lift) for phase in phases))
    n_monomial = max(1, *(len(phase.monomials) for phase in phases))
    levels = [np.zeros((n_phase, count, 2), int) for count in counts[1:]]
    lift = np.zeros((n_phase, n_variable, system.sublattice.shape[1]))
    coefficient = np.zeros((len(system.coefficients), n_phase, n_monomial, system.coefficients.shape[2]))
    quantity, own = np.zeros((n_phase, n_monomial, n_quantity)), np.zeros((n_phase, n_monomial), int)
    for p, (phase, place) in enumerate(zip(phases, places, strict=True)):
        lift[p, : len(phase.lift)] = phase.lift
        for m, at in place.items():
            if m:
                levels[len(m) - 1][p, at - starts[len(m)]] = place[m[:-1]], m[-1]
        for k, ((q, m), numbers) in enumerate(phase.monomials.items()):
            coefficient[:, p, k], quantity[p, k, q], own[p, k] = numbers, 1.0, place[m]
    sparse = _sums(derivatives, places, n_quantity, n_variable)
    sites = np.where(mixing(system), np.take_along_axis(np.asarray(system.sites), np.maximum(system.sublattice, 0), 1), 0.0)
    arrays = lift, tuple(levels), coefficient, quantity, own, *sparse, sites
    return Jets._make(tuple(map(jnp.asarray, a)) if isinstance(a, tuple) else jnp.asarray(a) for a in arrays)


def _closed(part: set[Monomial]) -> set[Monomial]:
    """With every prefix, from which a monomial is built."""
    return {m[:n] for m in part for n in range(len(m) + 1)}


def _sums(derivatives: list[dict], places: list[dict[Monomial, int]], n_quantity: int, n_variable: int) -> tuple[np.ndarray, ...]:
    """rows, multiplicity, sums, gradient and hessian of `Jets`."""
    cut = [{key: [terms[i : i + WIDTH] for i in range(0, len(terms), WIDTH)] for key, terms in found.items()} for found in derivatives]
    n_phase, n_row = len(cut), max(1, *(sum(map(len, found.values())) for found in cut))
    n_sum, longest = max(1, *map(len, cut)), max([1, *map(len, chain(*(found.values() for found in cut)))])
    rows, multiplicity = np.zeros((n_phase, n_row, WIDTH, 2), int), np.zeros((n_phase, n_row, WIDTH))
    sums = np.full((n_phase, n_sum, longest), n_row)
    gradient = np.full((n_phase, n_quantity, n_variable), n_sum)
    hessian = np.full((n_phase, n_quantity, n_variable, n_variable), n_sum)
    for p, (found, place) in enumerate(zip(cut, places, strict=True)):
        row = 0
        for o, (key, pieces) in enumerate(found.items()):
            sums[p, o, : len(pieces)] = np.arange(row, row + len(pieces))
            for piece in pieces:
                rows[p, row, : len(piece)] = [(k, place[divisor]) for k, divisor, _ in piece]
                multiplicity[p, row, : len(piece)] = [number for *_, number in piece]
                row += 1
            if len(key) == 2:
                gradient[(p, *key)] = o
            else:
                hessian[p, key[0], key[1], key[2]] = hessian[p, key[0], key[2], key[1]] = o
    return rows, multiplicity, sums, gradient, hessian
