"""Points that a mixture which did not settle has met, from which its next hull is made."""

from __future__ import annotations

import jax
import numpy as np

from matjax.thermo.calphad.composition_sets import Prepared, Sets, batched, energies, moles
from matjax.thermo.hull.lower_hull import lower_hull

_POOL = 64  # points of a hull


class Pool:
    """Points of unsettled rows, from which the next hull is made."""

    def __init__(self, prepared: Prepared, temperature: np.ndarray, x: np.ndarray):
        self.prepared, self.temperature, self.x = prepared, temperature, x
        self.count = np.zeros(len(x), int)
        n_element, n_constituent = prepared.shape
        self.phase, self.y = np.full((len(x), _POOL), -1), np.zeros((len(x), _POOL, n_constituent))

    def add(self, rows: np.ndarray, mixed: Sets, sets: Sets) -> None:
        """The first hull's points, once, and solutions of as many phases as elements; one of fewer would bar the way to its rivals."""
        new = rows[self.count[rows] == 0]
        for source, some in ((mixed, new), (sets, rows[sets.solved[rows] & (sets.phase[rows, -1] >= 0)])):
            for slot in range(source.phase.shape[1]):
                real = some[source.phase[some, slot] >= 0]
                self.extend(real, source.phase[real, slot], source.y[real, slot])

    def extend(self, rows: np.ndarray, phase: np.ndarray, y: np.ndarray) -> None:
        """Points [n] of rows [n]; a full pool forgets its oldest."""
        for row, p, fractions in zip(rows, phase, y, strict=True):
            at = self.count[row] if self.count[row] < _POOL else 2 * self.x.shape[1] + self.count[row] % (_POOL - 2 * self.x.shape[1])
            self.phase[row, at], self.y[row, at] = p, fractions
            self.count[row] += 1

    def lowest(self, rows: np.ndarray) -> Sets:
        """The hull of each row's points as composition sets."""
        phase, y = self.phase[rows], self.y[rows]
        lane, place = np.nonzero(phase >= 0)
        amount = moles(self.prepared, phase, y)
        atoms = np.maximum(amount.sum(-1), 1e-9)
        energy = np.full(phase.shape, np.inf)
        energy[lane, place] = energies(self.prepared, phase[lane, place], y[lane, place], self.temperature[rows][lane]) / atoms[lane, place]
        index, fractions, potentials = batched(_hulls, (self.x[rows], amount / atoms[..., None], energy))
        take = lambda a: np.take_along_axis(a, index.reshape(*index.shape, *(1,) * (a.ndim - 2)), 1)
        return Sets(np.where(index >= 0, take(phase), -1), take(y), fractions / take(atoms), potentials, np.zeros(len(rows), bool))


@jax.jit
def _hulls(x, points, energy):
    hull = jax.vmap(lower_hull)(x, points, energy)
    return hull.indices, hull.fractions, hull.chemical_potentials
