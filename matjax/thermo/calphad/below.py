"""What lies below the plane of chemical potentials: every phase is searched from its deepest points."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from matjax.thermo.calphad import newton
from matjax.thermo.calphad.composition_sets import Prepared, Sets, batched, energies, inside, moles
from matjax.thermo.calphad.newton import Descent, Model
from matjax.thermo.calphad.screen import MISSING

N_START, STEPS = 4, (3, 3, 3, 4, 6, 6)
"""Places where each part of a phase is looked for; steps of the turns of a descent, after each of which the hopeless are left."""

REACH = 0.4
"""k T per atom: points farther above the plane than this start no descent."""

_SETTLED, _HOPE, _SHORTEST = 1e-9, 6.0, 0.01  # eV/atom still to gain; heights above the plane in units of that; length of steps
_NEAR, _APART = 0.1, 0.3  # site fractions about a phase that takes part, and about another place, where it is not looked for once more


def below(prepared: Prepared, temperature: np.ndarray, x: np.ndarray, sets: Sets, sampled: np.ndarray) -> tuple[np.ndarray, ...]:
    """Lowest points of phases against the plane: row of the batch, phase, site fractions, driving force per atom."""
    potentials = np.where(x > 0, sets.potentials, -MISSING)
    lane, start = _starts(prepared, temperature, sets, sampled - potentials @ prepared.samples.x.T)
    phase, y = prepared.samples.phase[start], prepared.samples.y[start]
    y = inside(prepared, phase[:, None], y[:, None], x[lane])[:, 0]
    potentials, far = np.where(x > 0, potentials, 0.0), np.full(len(lane), np.inf)
    found, active = (y, y.copy(), np.zeros_like(y), np.ones(len(lane)), far, far.copy()), np.arange(len(lane))
    _, best, _, length, force, gain = found
    for k, n_step in enumerate(STEPS):
        if not len(active):
            break
        arrays = (phase[active], *(part[active] for part in found), temperature[lane[active]], potentials[lane[active]])
        for whole, part in zip(found, batched(partial(_descents, prepared.model, n_step), arrays), strict=True):
            whole[active] = part
        hope = np.abs(gain[active])
        active = active[(hope > _SETTLED) & (force[active] < _HOPE * hope) & (length[active] > _SHORTEST)]
        if k == 0:
            back = _returns(prepared, temperature, potentials, sets, lane[active], phase[active], best[active], force[active])
            active = active[~back]
    return lane, phase, prepared.variants.ordered(phase, best), force


@jax.jit
def _descents(model: Model, n_step, phase, y, best, way, length, force, gain, temperature, potentials):
    one = lambda phase, start, t, mu: newton.descend(model, phase, start, t, mu, n_step)
    return jax.vmap(one)(phase, Descent(y, best, way, length, force, gain), temperature, potentials)


def _starts(prepared: Prepared, temperature: np.ndarray, sets: Sets, reduced: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where to look: each phase's deepest points that are no neighbours of each other or of a composition set of that phase."""
    lanes, starts = [], []
    kt = float(prepared.model.system.boltzmann) * temperature
    for first, last in zip(prepared.samples.part[:-1], prepared.samples.part[1:], strict=True):
        p = prepared.samples.phase[first]
        if not prepared.mixes[p].any():  # no site fraction to vary
            lane = np.flatnonzero(reduced[:, first] < 1e-5)
            lanes, starts = [*lanes, lane], [*starts, np.full(len(lane), first)]
            continue
        y, columns = prepared.samples.y[first:last], np.flatnonzero(prepared.mixes[p])
        lane, place = np.nonzero(reduced[:, first:last] < REACH * kt[:, None])
        deepest = reduced[lane, first + place] <= reduced[lane[:, None], prepared.samples.near[first + place]].min(1)
        lane, place = lane[deepest], place[deepest]
        for slot in range(sets.phase.shape[1]):
            own = np.flatnonzero((sets.phase[lane, slot] == p) & sets.solved[lane])
            if len(own):
                row = lane[own]
                near = _near(y[place[own]], prepared.variants.ordered(sets.phase[row, slot], sets.y[row, slot]), columns, _NEAR)
                lane, place = np.delete(lane, own[near]), np.delete(place, own[near])
        order = np.lexsort((reduced[lane, first + place], lane))
        lane, place = lane[order], place[order]
        for k in range(N_START):
            row, at, count = np.unique(lane, return_index=True, return_counts=True)
            lanes, starts = [*lanes, row], [*starts, first + place[at]]
            if k < N_START - 1:
                left = ~_near(y[place], y[np.repeat(place[at], count)], columns, _APART)
                lane, place = lane[left], place[left]
    return np.concatenate(lanes), np.concatenate(starts)


def _returns(prepared: Prepared, temperature, potentials, sets: Sets, lane, phase, y, force) -> np.ndarray:
    """Which descents lead back to a composition set of their phase: it sags between the two, by half the height at least."""
    item, slot = np.nonzero((sets.phase[lane] == phase[:, None]) & sets.solved[lane, None] & (force[:, None] > 0))
    returns = np.zeros(len(lane), bool)
    if len(item):
        row, p = lane[item], phase[item]
        middle = (y[item] + prepared.variants.nearest(p, sets.y[row, slot], y[item])) / 2
        amount = moles(prepared, p, middle)
        height = energies(prepared, p, middle, temperature[row]) - (amount * potentials[row]).sum(1)
        returns[item[height < 0.5 * force[item] * amount.sum(1)]] = True
    return returns


def _near(a: np.ndarray, b: np.ndarray, columns: np.ndarray, distance: float) -> np.ndarray:
    """Whether site fractions a and b [n, Y] lie within a distance in each of some columns, [n]."""
    near = np.ones(len(a), bool)
    for i in columns:
        near &= np.abs(a[:, i] - b[:, i]) < distance
    return near
