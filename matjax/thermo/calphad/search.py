"""Lowest mixtures of phases for a batch of temperatures and compositions, by column generation and Newton's method.

The hull of sampled points says which phases take part, and roughly how. Newton's method solves for the equilibrium of these; then every
phase is searched for anything below the plane of the chemical potentials found. What lies below joins the points, and the next hull
says how to go on. Only what is not settled is carried into the next round. The loop runs on the host, its kernels are compiled.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from matjax.thermo.calphad.below import below
from matjax.thermo.calphad.composition_sets import Prepared, Sets, batched, energies, inside, moles
from matjax.thermo.calphad.pool import Pool
from matjax.thermo.calphad.screen import lowest
from matjax.thermo.calphad.settle import settle

BELOW = 1e-7
"""eV/atom that a phase may lie below the plane: nothing found deeper settles a point."""

N_ROUND, N_HULL = 16, 4
"""Rounds; those after which the hull of what was met is read in more than one way."""

_CLOSE = 0.02  # site fractions between points that become one in any case where the phase sags between them
_HIGH = 0.004  # eV/atom above the plane of a mixture that is not solved, up to which points join its next hull
_ALIKE = 1e-9  # eV/atom between energies of the same solution


def equilibrate(prepared: Prepared, temperature: np.ndarray, x: np.ndarray) -> tuple[Sets, np.ndarray]:
    """Composition sets of every point, and the deepest driving force that the last search met, eV/atom (nan: unsettled)."""
    sampled = prepared.table.energies(temperature)
    mixed = _screen(prepared, x, sampled)
    sets = _merge(prepared, temperature, x, mixed)
    gap, pool = np.full(len(x), np.nan), Pool(prepared, temperature, x)
    todo, refuted, barred = np.arange(len(x)), np.full(len(x), np.inf), np.full(sets.phase.shape, -1)
    for k in range(N_ROUND):
        start = _take(sets, todo)
        some = settle(prepared, temperature[todo], x[todo], start)
        energy = (x[todo] * np.where(x[todo] > 0, some.potentials, 0.0)).sum(1)
        # What was refuted before comes back where the hull is degenerate: then the hull's own plane leads on.
        members, change = np.sort(some.phase, 1), energy - refuted[todo]
        same = some.solved & ((change > _ALIKE) | ((change > -_ALIKE) & (members == barred[todo]).all(1)))
        some.solved[same], some.potentials[same] = False, start.potentials[same]
        refuted[todo[some.solved]], barred[todo[some.solved]] = energy[some.solved], members[some.solved]
        lane, phase, y, force = below(prepared, temperature[todo], x[todo], some, sampled[todo])
        deepest = np.zeros(len(todo))
        np.minimum.at(deepest, lane, force)
        done = some.solved & (deepest >= -BELOW)
        gap[todo[done]] = deepest[done]
        _put(sets, todo, some)
        if done.all():
            break
        left = ~done[lane] & (force < np.where(some.solved[lane], -BELOW, _HIGH))
        pool.add(todo[~done], mixed, sets)
        pool.extend(todo[lane[left]], phase[left], y[left])
        joined = _join(prepared, sets, todo[lane[left]], phase[left], y[left], force[left])
        todo = todo[~done]
        again = np.setdiff1d(todo, joined)
        if len(again):
            found, way = pool.lowest(again), max(k - N_HULL, 0) % 3  # three ways to read a hull that did not settle
            found = _largest(found) if way == 2 else found
            _put(sets, again, _merge(prepared, temperature[again], x[again], found, _CLOSE if way == 1 else 1.0))
    return sets, gap


def _join(prepared: Prepared, sets: Sets, row: np.ndarray, phase: np.ndarray, y: np.ndarray, force: np.ndarray) -> np.ndarray:
    """Adds the deepest phase below the plane to each solution that has a place left; says which solutions these are."""
    order = np.argsort(force, kind="stable")
    row, first = np.unique(row[order], return_index=True)
    free = sets.solved[row] & (sets.phase[row, -1] < 0)
    row, pick = row[free], order[first[free]]
    slot = (sets.phase[row] >= 0).sum(1)
    sets.phase[row, slot], sets.y[row, slot] = phase[pick], y[pick]
    sets.amounts[row, slot] = 1e-3 / np.maximum(moles(prepared, phase[pick], y[pick]).sum(-1), 1e-9)
    return row


def _take(sets: Sets, rows: np.ndarray) -> Sets:
    return Sets(*(part[rows] for part in sets))


def _put(sets: Sets, rows: np.ndarray, some: Sets) -> None:
    for whole, part in zip(sets, some, strict=True):
        whole[rows] = part


def _screen(prepared: Prepared, x: np.ndarray, sampled: np.ndarray) -> Sets:
    """The hull of the sampled points as composition sets, one per point."""
    index, fractions, potentials = batched(partial(_lowest, prepared), (x, sampled))
    if np.any((index < 0) & (fractions > 1e-6) & (x > 0)):
        bad = int(np.flatnonzero(((index < 0) & (fractions > 1e-6) & (x > 0)).any(1))[0])
        raise ValueError(f"no mixture of the phases has the composition {x[bad].tolist()}: it lies outside of what they can hold")
    phase = np.where(index >= 0, prepared.samples.phase[index], -1)
    amounts = np.where(index >= 0, fractions / prepared.samples.atoms[index], 0.0)
    return Sets(phase, prepared.samples.y[index], amounts, potentials, np.zeros(len(x), bool))


def _lowest(prepared: Prepared, x, sampled):
    width = prepared.points.shape[0] - sampled.shape[1]
    return lowest(x, prepared.points, np.pad(sampled, ((0, 0), (0, width)), constant_values=1e6), prepared.thin)


def _merge(prepared: Prepared, temperature: np.ndarray, x: np.ndarray, sets: Sets, apart: float = 1.0) -> Sets:
    """Joins points of one phase, up to `apart` from each other, between which it sags: they are one composition set, no miscibility gap."""
    atoms = moles(prepared, sets.phase, sets.y).sum(-1)
    phase = np.where(sets.amounts * atoms > 1e-7, sets.phase, -1)
    y, amounts = sets.y.copy(), np.where(phase >= 0, sets.amounts, 0.0)
    a, b = np.triu_indices(phase.shape[1], 1)
    lane, pair = np.nonzero((phase[:, a] == phase[:, b]) & (phase[:, a] >= 0))
    if len(lane):
        i, j = a[pair], b[pair]
        y[lane, j] = prepared.variants.nearest(phase[lane, i], y[lane, j], y[lane, i])
        middle = (y[lane, i] + y[lane, j]) / 2
        energy = energies(prepared, phase[lane, i], middle, temperature[lane])
        plane = (moles(prepared, phase[lane, i], middle) * np.where(x[lane] > 0, sets.potentials[lane], 0.0)).sum(-1)
        one = (energy < plane) & (np.abs(y[lane, i] - y[lane, j]).max(-1) < apart)
        for n, p, q in zip(lane[one], i[one], j[one], strict=True):
            if phase[n, p] >= 0 and phase[n, q] >= 0:
                share = amounts[n, q] / (amounts[n, p] + amounts[n, q])
                y[n, p] = (1 - share) * y[n, p] + share * y[n, q]
                amounts[n, p] += amounts[n, q]
                phase[n, q], amounts[n, q] = -1, 0.0
    return Sets(phase, inside(prepared, phase, y, x), amounts, sets.potentials, np.zeros(len(x), bool))


def _largest(sets: Sets) -> Sets:
    """One point per phase, the largest: a barrier, as between order and disorder, need not be a miscibility gap."""
    phase, amounts = sets.phase.copy(), sets.amounts.copy()
    same = (phase[:, :, None] == phase[:, None, :]) & (phase[:, :, None] >= 0)
    total, slots = (same * amounts[:, None, :]).sum(2), np.arange(phase.shape[1])
    order = np.where(same, amounts[:, None, :] - 1e-12 * slots, -np.inf).argmax(2)
    keep = (order == slots) & (phase >= 0)
    return sets._replace(phase=np.where(keep, phase, -1), amounts=np.where(keep, total, 0.0))
