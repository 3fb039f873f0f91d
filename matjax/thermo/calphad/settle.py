"""Newton's method on mixtures whose phases are given; phases that turn out not to take part are taken out."""

from __future__ import annotations

import jax
import numpy as np

from matjax.thermo.calphad import newton
from matjax.thermo.calphad.composition_sets import FEW, MANY, Prepared, Sets, moles
from matjax.thermo.calphad.newton import Mixtures, Model
from matjax.thermo.calphad.variants import Variants

N_STEP, N_TURN = 5, 4
"""Steps of a turn; turns that the same phases get."""

_SAME = 1e-4  # site fractions that count as equal
_GONE, _LOST = -0.02, 1.0  # atoms in a phase that is on its way out; atoms missing where nothing will come of it


def settle(prepared: Prepared, temperature: np.ndarray, x: np.ndarray, sets: Sets) -> Sets:
    """Solves for the equilibrium of given composition sets.

    Phases with negative amounts, and one of two that are the same, are taken out; where no solution is found, the sets stay what they
    were. Those that are left come first.
    """
    trial = Sets(*(part.copy() for part in sets))
    trial.solved[:] = False
    todo, turn = np.arange(len(x)), np.zeros(len(x), int)
    while len(todo):
        missing = _advance(prepared, temperature, x, trial, todo)
        changed = _reduce(prepared, trial, todo, missing)
        trial.solved[todo[changed]] = False
        turn[todo] = np.where(changed, 0, turn[todo] + 1)
        hopeless = ~(missing < _LOST) | (turn[todo] >= N_TURN)
        todo = todo[changed | ~(trial.solved[todo] | hopeless)]
    for part, given in zip(trial[:4], sets[:4], strict=True):
        part[~trial.solved] = given[~trial.solved]
    order = np.argsort(trial.phase < 0, axis=1, kind="stable")
    ahead = lambda part: np.take_along_axis(part, order.reshape(*order.shape, *(1,) * (part.ndim - 2)), 1)
    return trial._replace(phase=ahead(trial.phase), y=ahead(trial.y), amounts=ahead(trial.amounts))


@jax.jit
def _solved(model: Model, mixtures, temperature, x, n_step):
    mixtures, residual = newton.solve(model, Mixtures(*mixtures), temperature, x, n_step)
    return mixtures.y, mixtures.amounts, mixtures.potentials, residual.mass, residual.solved


def _advance(prepared: Prepared, temperature: np.ndarray, x: np.ndarray, sets: Sets, todo: np.ndarray) -> np.ndarray:
    """A turn of steps on rows of `sets`, in batches that hold as many phases as they can; returns the atoms missing before the last."""
    missing, present = np.full(len(todo), np.inf), sets.phase[todo] >= 0
    total = np.concatenate([[0], np.cumsum(present.sum(1))])
    first = 0
    while first < len(todo):
        n_list, n_row = (MANY, MANY // 2) if total[-1] - total[first] > FEW or len(todo) - first > FEW // 2 else (FEW, FEW // 2)
        last = min(first + n_row, int(np.searchsorted(total, total[first] + n_list, side="right")) - 1)
        rows = todo[np.minimum(np.arange(first, first + n_row), last - 1)]
        n = last - first
        lane, column = np.nonzero(present[first:last])
        phase, owner = np.full(n_list, -1), np.zeros(n_list, int)
        phase[: len(lane)], owner[: len(lane)] = sets.phase[rows[lane], column], lane
        y = sets.y[rows[owner], 0]
        y[: len(lane)] = sets.y[rows[lane], column]
        slot = np.full((n_row, sets.phase.shape[1]), n_list)
        slot[lane, column] = np.arange(len(lane))
        slot[n:] = slot[n - 1]
        mixtures = (phase, owner, y, slot, sets.amounts[rows], sets.potentials[rows])
        y, amounts, potentials, mass, solved = map(np.asarray, _solved(prepared.model, mixtures, temperature[rows], x[rows], N_STEP))
        rows = rows[:n]
        sets.y[rows[lane], column] = y[: len(lane)]
        sets.amounts[rows], sets.potentials[rows], sets.solved[rows] = amounts[:n], potentials[:n], solved[:n]
        missing[first:last] = np.where(np.isfinite(potentials[:n]).all(1) & np.isfinite(amounts[:n]).all(1), mass[:n], np.inf)
        first = last
    sets.solved[todo] &= np.isfinite(missing)
    return missing


def _reduce(prepared: Prepared, sets: Sets, rows: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Takes one superfluous composition set out of each mixture; says which mixtures had one."""
    phase, y, amounts = sets.phase[rows], sets.y[rows], sets.amounts[rows]
    present, solved = phase >= 0, sets.solved[rows]
    lowest = np.where(present, amounts, np.inf).argmin(1)
    atoms = np.where(present, amounts * moles(prepared, phase, y).sum(-1), np.inf).min(1)
    negative = np.where(solved, atoms < -1e-10, (atoms < _GONE) & (missing < _LOST))
    twice, second = _twins(prepared.variants, phase, y)
    twice &= solved
    change = (negative | twice) & (present.sum(1) > 1)
    drop = np.where(twice, second, lowest)
    sets.phase[rows[change], drop[change]] = -1
    sets.amounts[rows[change], drop[change]] = 0.0
    return change


def _twins(variants: Variants, phase: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether a mixture holds the same composition set twice, and which slot is the second."""
    slots = np.arange(phase.shape[1])
    same = (phase[:, :, None] == phase[:, None, :]) & (phase >= 0)[:, :, None] & (slots[:, None] > slots[None, :])
    lane, i, j = np.nonzero(same)
    same[lane, i, j] = np.abs(variants.nearest(phase[lane, i], y[lane, i], y[lane, j]) - y[lane, j]).max(-1) < _SAME
    return same.any((1, 2)), same.any(2).argmax(1)
