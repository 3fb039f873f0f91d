"""Sampled site fractions of every phase, and their energies at any temperature: where the search for the lowest mixture begins."""

from __future__ import annotations

from itertools import combinations
from math import comb, prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.spatial import KDTree

from matjax.thermo.calphad.jets import coefficients, mixing, value
from matjax.thermo.calphad.newton import Model
from matjax.thermo.calphad.system import temperature_range
from matjax.thermo.calphad.variants import Variants

SPACING = 40.0
"""Kelvin between the temperatures at which energies are tabulated; between them they are interpolated, to 0.3 J/mol or better."""

N_POINT, LINE = 250, 64
"""Most points of one kind for one phase; steps between two constituents that share one sublattice alone."""

N_NEAR = 6
"""Neighbours of a point, itself among them."""

_ORDERED = 0.4  # difference of site fractions from which a state is called ordered
_NODES = 8  # temperatures that are tabulated in one call


class Samples(NamedTuple):
    """Points, phase by phase.

    Attributes:
      y: Site fractions [N, Y].
      phase: Index [N].
      atoms: Per formula unit [N].
      x: Atomic fractions [N, C].
      start: Where each phase starts [P + 1].
      part: Where each part of a phase starts [S + 1]: what differs between like sublattices, as ordered states do, is a part of its own.
      near: Rows of the nearest points of the same part [N, N_NEAR].
    """

    y: np.ndarray
    phase: np.ndarray
    atoms: np.ndarray
    x: np.ndarray
    start: np.ndarray
    part: np.ndarray
    near: np.ndarray


def samples(model: Model, variants: Variants) -> Samples:
    """The points of a system, one of each set of variants; those without atoms (vacancies alone) are left out."""
    sublattice, content = np.asarray(model.system.sublattice), np.asarray(model.system.content)
    mixes, sites = mixing(model.system), np.asarray(model.sites)
    parts, phases, moles = [], [], []
    for p, own in enumerate(sublattice):
        groups = [np.flatnonzero(own == s) for s in range(own.max() + 1)]
        y = np.zeros((0, len(own)))
        for block in _blocks([g for g in groups if mixes[p, g[0]]], content[p]):
            y = np.concatenate([y, block])
        y = np.round(variants.ordered(np.full(len(y), p), y), 12)
        y = np.unique(y, axis=0) if len(y) else np.zeros((1, len(own)))
        y[:, (own >= 0) & ~mixes[p]] = 1.0
        amount = (y * sites[p]) @ content[p]
        real = amount.sum(1) > 1e-9
        y, amount = y[real], amount[real]
        ordered = _order(y, [g for g in groups if mixes[p, g[0]]], content[p]) > _ORDERED
        for some in (~ordered, ordered):
            parts, phases, moles = [*parts, y[some]], [*phases, np.full(some.sum(), p)], [*moles, amount[some]]
    phase, amount = np.concatenate(phases), np.concatenate(moles)
    atoms = amount.sum(1)
    start = np.searchsorted(phase, np.arange(len(sublattice) + 1))
    parts = [y for y in parts if len(y)]
    part = np.concatenate([[0], np.cumsum([len(y) for y in parts])])
    near = np.concatenate([first + _nearest(y) for first, y in zip(part[:-1], parts, strict=True)])
    return Samples(np.concatenate(parts), phase, atoms, amount / atoms[:, None], start, part, near)


def _order(y: np.ndarray, groups: list[np.ndarray], content: np.ndarray) -> np.ndarray:
    """How much site fractions [n, Y] differ between sublattices with the same constituents, [n]."""
    order = np.zeros(len(y))
    for alike in _like(groups, content):
        for i in alike[1:]:
            order = np.maximum(order, np.abs(y[:, groups[i]] - y[:, groups[alike[0]]]).max(1))
    return order


def _nearest(y: np.ndarray) -> np.ndarray:
    """The N_NEAR nearest of points [n, Y] to each of them, itself among them; itself again where there are fewer."""
    n = min(N_NEAR, len(y))
    near = KDTree(y).query(y, n)[1].reshape(len(y), n)
    return np.concatenate([near, np.repeat(np.arange(len(y))[:, None], N_NEAR - n, 1)], 1)


def _blocks(groups: list[np.ndarray], content: np.ndarray) -> list[np.ndarray]:
    """Site fractions of one phase: a lattice over all sublattices, one on which like sublattices are equal, and scattered points."""
    if not groups:
        return []
    width, sizes = len(content), [len(g) for g in groups]
    blocks = [_spread(width, groups, _lattices(sizes))]
    like = _like(groups, content)
    if len(groups) > 1:
        merged = [[groups[i] for i in alike] for alike in like]
        if any(len(alike) > 1 for alike in like):
            blocks.append(_spread(width, merged, _lattices([len(alike[0]) for alike in merged])))
        blocks.append(_spread(width, groups, _scattered(sizes)))
    return blocks


def _spread(width: int, groups: list, columns: list[np.ndarray]) -> np.ndarray:
    """Puts fractions [n, size] into the places of each group, or of each of several groups."""
    y = np.zeros((len(columns[0]), width))
    for places, fractions in zip(groups, columns, strict=True):
        for place in places if isinstance(places, list) else [places]:
            y[:, place] = fractions
    return y


def _like(groups: list[np.ndarray], content: np.ndarray) -> list[list[int]]:
    """Sublattices with the same constituents, grouped."""
    kinds: dict[bytes, list[int]] = {}
    for i, group in enumerate(groups):
        kinds.setdefault(content[group].tobytes(), []).append(i)
    return list(kinds.values())


def _lattices(sizes: list[int]) -> list[np.ndarray]:
    """The finest product of simplex lattices with at most N_POINT points; end members at least."""
    count = lambda steps: prod(comb(steps + size - 1, size - 1) for size in sizes)
    finest = max((steps for steps in range(1, LINE + 1) if count(steps) <= N_POINT), default=1)
    tables = [_simplex(size, finest) for size in sizes]
    index = np.indices([len(table) for table in tables]).reshape(len(tables), -1)
    return [table[i] for table, i in zip(tables, index, strict=True)]


def _simplex(size: int, steps: int) -> np.ndarray:
    """Compositions on a lattice of the simplex."""
    bars = np.array(list(combinations(range(steps + size - 1), size - 1))).reshape(-1, size - 1)
    edges = np.concatenate([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), steps + size - 1)], 1)
    return (np.diff(edges, axis=1) - 1) / steps


def _scattered(sizes: list[int]) -> list[np.ndarray]:
    """Low-discrepancy compositions, half of them near the end members."""
    total, n = sum(sizes), N_POINT // 2
    primes = [k for k in range(2, 200) if all(k % i for i in range(2, k))][:total]
    uniform = np.stack([_corput(n, base) for base in primes], 1)
    weights = np.split(-np.log(uniform), np.cumsum(sizes)[:-1], axis=1)
    power = np.where(np.arange(n) % 2, 1.0, 3.0)[:, None]
    return [(w**power) / (w**power).sum(1, keepdims=True) for w in weights]


def _corput(n: int, base: int) -> np.ndarray:
    """The first n numbers of the van der Corput sequence."""
    index, value_, place = np.arange(20, n + 20), np.zeros(n), 1.0
    while index.any():
        place /= base
        value_ += place * (index % base)
        index //= base
    return value_


class Table:
    """Energies per atom of the points at any temperature, tabulated where they are asked for."""

    def __init__(self, model: Model, points: Samples):
        self.model, self.points = model, points
        low, high = temperature_range(model.system)
        self.nodes = np.linspace(low, high, max(4, 1 + int(np.ceil((high - low) / SPACING))))
        self.known = np.zeros(len(self.nodes), bool)
        self.values = np.full((len(self.nodes), len(points.y)), np.nan)

    def energies(self, temperature: np.ndarray) -> np.ndarray:
        """Energies per atom [n, N] at temperatures [n] in K, in eV."""
        spacing = self.nodes[1] - self.nodes[0]
        first = np.clip(((temperature - self.nodes[0]) / spacing).astype(int) - 1, 0, len(self.nodes) - 4)
        self._fill(first)
        s = (temperature - self.nodes[first]) / spacing
        weights = [np.prod([(s - j) / (i - j) for j in range(4) if j != i], 0) for i in range(4)]
        return np.asarray(_interpolate(self.values, first, np.stack(weights, 1)))

    def _fill(self, first: np.ndarray) -> None:
        wanted = np.zeros(len(self.nodes), bool)
        wanted[(np.unique(first)[:, None] + np.arange(4)).ravel()] = True
        todo = np.flatnonzero(wanted & ~self.known)
        for i in range(0, len(todo), _NODES):
            some = np.resize(todo[i : i + _NODES], _NODES)
            self.values[some] = np.asarray(_tabulate(self.model, self.points.phase, self.points.y, self.nodes[some])) / self.points.atoms
        self.known[todo] = True


@jax.jit
def _tabulate(model: Model, phase: Array, y: Array, temperature: Array) -> Array:
    """Energies per formula unit of points [N] at a few temperatures."""
    phases = jnp.arange(len(model.sites))

    def at(t):
        known = jax.vmap(coefficients, (None, None, 0, None))(model.jets, model.system, phases, t)
        return jax.vmap(lambda p, y: value(model.jets, model.system, p, y, t, known[p]))(phase, y)

    return jax.lax.map(at, temperature)


@jax.jit
def _interpolate(values: Array, first: Array, weights: Array) -> Array:
    rows = [weights[:, i : i + 1] * values[first + i] for i in range(4)]
    return rows[0] + rows[1] + rows[2] + rows[3]
