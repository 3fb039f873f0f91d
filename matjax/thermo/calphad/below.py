"""What lies below the plane of chemical potentials: every phase is searched from its deepest points."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np

from matjax.thermo.calphad import newton
from matjax.thermo.calphad.composition_sets import Prepared, Sets, batched, energies, inside, moles
from matjax.thermo.calphad.newton import Model
from matjax.thermo.calphad.screen import MISSING

N_START, N_DESCENT = 3, 3
"""Places where each phase is looked for; steps of a descent."""

REACH = 0.4
"""k T per atom: points farther above the plane than this start no descent."""

_NEAR, _APART = 0.1, 0.3  # site fractions about a phase that takes part, and about another place, where it is not looked for once more


def below(prepared: Prepared, temperature: np.ndarray, x: np.ndarray, sets: Sets, sampled: np.ndarray) -> tuple[np.ndarray, ...]:
    """Lowest points of phases against the plane: row of the batch, phase, site fractions, driving force per atom."""
    potentials = np.where(x > 0, sets.potentials, -MISSING)
    lane, start = _starts(prepared, temperature, sets, sampled - potentials @ prepared.samples.x.T)
    phase, y = prepared.samples.phase[start], prepared.samples.y[start]
    y = inside(prepared, phase[:, None], y[:, None], x[lane])[:, 0]
    potentials, force, active = np.where(x > 0, potentials, 0.0), np.full(len(lane), np.inf), np.arange(len(lane))
    kernel = lambda *arrays: _descents(prepared.model, *arrays, n_step=N_DESCENT)
    for k in range(8):
        if not len(active):
            break
        some = lane[active]
        arrays = phase[active], y[active], temperature[some], potentials[some]
        y[active], force[active], gain = batched(kernel, arrays, 2 * prepared.size)
        active = active[(np.abs(gain) > 1e-9) & (force[active] - 4 * np.abs(gain) < 0)]
        if k == 0:
            active = active[~_returns(prepared, temperature, potentials, sets, lane[active], phase[active], y[active], force[active])]
    return lane, phase, prepared.variants.ordered(phase, y), force


@partial(jax.jit, static_argnames="n_step")
def _descents(model: Model, phase, y, temperature, potentials, n_step):
    return jax.vmap(partial(newton.descend, n_step=n_step), (None, 0, 0, 0, 0))(model, phase, y, temperature, potentials)


def _starts(prepared: Prepared, temperature: np.ndarray, sets: Sets, reduced: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where to look: each phase's deepest points that are no neighbours of each other or of a composition set of that phase."""
    lanes, starts = [], []
    kt = float(prepared.model.system.boltzmann) * temperature
    for p in range(len(prepared.content)):
        first, last = prepared.samples.start[p : p + 2]
        if last == first + 1:  # no site fraction to vary
            lane = np.flatnonzero(reduced[:, first] < 1e-5)
            lanes, starts = [*lanes, lane], [*starts, np.full(len(lane), first)]
            continue
        mine, y, lane = reduced[:, first:last], prepared.samples.y[first:last], np.arange(len(reduced))
        columns = np.flatnonzero(prepared.mixes[p])
        for slot in range(sets.phase.shape[1]):
            rows = np.flatnonzero((sets.phase[:, slot] == p) & sets.solved)
            known = prepared.variants.ordered(sets.phase[rows, slot], sets.y[rows, slot])
            mine[rows] = np.where(_near(y, known, columns, _NEAR), np.inf, mine[rows])
        for _ in range(N_START):
            place = mine[lane].argmin(1)
            deep = mine[lane, place] < REACH * kt[lane]
            lane, place = lane[deep], place[deep]
            lanes, starts = [*lanes, lane], [*starts, first + place]
            mine[lane] = np.where(_near(y, y[place], columns, _APART), np.inf, mine[lane])
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


def _near(points: np.ndarray, y: np.ndarray, columns: np.ndarray, distance: float) -> np.ndarray:
    """Whether points [n, Y] lie within a distance, in each of some columns, of rows y [m, Y]: [m, n]."""
    near = np.ones((len(y), len(points)), bool)
    for i in columns:
        near &= np.abs(points[None, :, i] - y[:, i, None]) < distance
    return near
