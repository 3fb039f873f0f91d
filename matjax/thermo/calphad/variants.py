"""Variants of a phase: site fractions that differ only by an exchange of like sublattices, as the four of an ordered fcc lattice are.

They have one energy and one composition. A search that takes them for different states meets each of them, and mixes two of them
where one state would do; so points are held in one form, and compared in the nearest.
"""

from __future__ import annotations

from itertools import combinations, permutations, product

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from matjax.thermo.calphad.jets import coefficients, value
from matjax.thermo.calphad.newton import Model
from matjax.thermo.calphad.system import temperature_range

_ALIKE = 1e-9  # eV per formula unit between energies that are equal
_ROUND = 1e-9  # site fractions that are equal where variants are put in order


class Variants:
    """Per phase the exchanges of constituents [n, Y] that leave its energy and composition as they are, the identity first."""

    def __init__(self, model: Model):
        self.exchanges = [_exchanges(model, p) for p in range(len(model.sites))]

    def ordered(self, phase: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The variant of each y [n, Y] of phases [n] that is last in lexical order."""
        return self._chosen(phase, y, lambda all_, _: _last(all_))

    def nearest(self, phase: np.ndarray, y: np.ndarray, to: np.ndarray) -> np.ndarray:
        """The variant of each y [n, Y] of phases [n] that is nearest to another state [n, Y]."""
        return self._chosen(phase, y, lambda all_, rows: np.abs(all_ - to[rows, None]).max(-1).argmin(1))

    def _chosen(self, phase: np.ndarray, y: np.ndarray, choose) -> np.ndarray:
        y = y.copy()
        for p in np.unique(phase):
            if p >= 0 and len(self.exchanges[p]) > 1:
                rows = np.flatnonzero(phase == p)
                all_ = y[rows][:, self.exchanges[p]]
                y[rows] = all_[np.arange(len(rows)), choose(all_, rows)]
        return y


def _last(all_: np.ndarray) -> np.ndarray:
    """Which of the variants [n, m, Y] is last in lexical order [n]."""
    left = np.ones(all_.shape[:2], bool)
    for column in np.moveaxis(all_, 2, 0):
        highest = np.where(left, column, -np.inf).max(1, keepdims=True)
        left &= column > highest - _ROUND
    return left.argmax(1)


def _exchanges(model: Model, p: int) -> np.ndarray:
    """The exchanges of one phase: all permutations within groups of sublattices any two of which may be exchanged."""
    own, identity = np.asarray(model.system.sublattice)[p], np.arange(model.sites.shape[1])
    places = [np.flatnonzero(own == s) for s in range(own.max() + 1)]
    kinds: dict[bytes, list[int]] = {}
    for s, place in enumerate(places):
        if len(place) > 1:
            kinds.setdefault(np.asarray(model.system.content)[p][place].tobytes() + np.asarray(model.sites)[p][place].tobytes(), []).append(
                s
            )
    pairs = [pair for alike in kinds.values() for pair in combinations(alike, 2)]
    if not pairs:
        return identity[None]
    swaps = np.stack([_moved(identity, places, pair, pair[::-1]) for pair in pairs])
    equal = {pair for pair, same in zip(pairs, _same(model, p, swaps), strict=True) if same}
    groups: list[list[int]] = []
    for s in range(len(places)):
        home = next((group for group in groups if (group[0], s) in equal), None)
        groups.append([s]) if home is None else home.append(s)
    tables = []
    for choice in product(*(permutations(group) for group in groups)):
        tables.append(_moved(identity, places, [s for group in groups for s in group], [s for part in choice for s in part]))
    return np.stack(tables)


def _moved(identity: np.ndarray, places: list[np.ndarray], to, come) -> np.ndarray:
    """The exchange that puts sublattices `come` where sublattices `to` are."""
    table = identity.copy()
    for s, t in zip(to, come, strict=True):
        table[places[s]] = places[t]
    return table


def _same(model: Model, p: int, swaps: np.ndarray) -> np.ndarray:
    """Whether each swap [n, Y] leaves the energy as it is, at a few site fractions and temperatures."""
    rng, member = np.random.default_rng(0), np.asarray(model.member)[p]
    y = rng.exponential(size=(6, member.shape[1])) * member.any(0)
    y /= np.maximum(y @ member.T @ member, 1e-12)
    low, high = temperature_range(model.system)
    states = np.concatenate([y[None], y[:, swaps].transpose(1, 0, 2)])
    found = np.stack([np.asarray(_energies(model, p, states, t)) for t in (0.7 * low + 0.3 * high, 0.2 * low + 0.8 * high)])
    return np.abs(found[:, 1:] - found[:, :1]).max((0, 2)) < _ALIKE


@jax.jit
def _energies(model: Model, phase, y: Array, temperature) -> Array:
    """Energies per formula unit of one phase at site fractions [n, m, Y]."""
    known = coefficients(model.jets, model.system, phase, temperature)
    return jax.vmap(jax.vmap(lambda y: value(model.jets, model.system, phase, y, temperature, known)))(jnp.asarray(y))
