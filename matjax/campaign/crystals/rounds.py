"""A round of learning, whatever the crystals: a folder for one set of measurements, one training, doubt by what it gets wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from scipy.stats import norm

from matjax.campaign.crystals.cells import AlloyCells, frames
from matjax.campaign.crystals.surrogate import Doubt
from matjax.campaign.problem import Measured
from matjax.keys import child, generator
from matjax.training.checkpoint import load_model, save_model
from matjax.training.predictor import GraphPredictor
from matjax.types import Visible

if TYPE_CHECKING:
    from matjax.campaign.crystals.problem import CrystalProblem


FEWEST = 4
"""Fewest errors that calibrate a spread."""


def claim(folder: Path, problem: CrystalProblem, table: AlloyCells, key: jax.Array) -> None:
    """Refuses the files of a round that was learned from other settings or measurements.

    Raises:
      ValueError: If the folder holds another round's files.
    """
    digest = hashlib.sha256(repr((problem, jax.random.key_data(key).tolist(), table.keys)).encode())
    digest.update(np.ascontiguousarray(table.energy).tobytes())
    mark = folder / "learned_from.txt"
    if mark.exists() and mark.read_text(encoding="utf-8") != digest.hexdigest():
        raise ValueError(f"{folder} was learned from other settings or measurements; it belongs to another campaign: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    partial = mark.with_name(f".{mark.name}.partial")  # a mark cut short by a kill would lock the campaign out of its own folder
    partial.write_text(digest.hexdigest(), encoding="utf-8")
    os.replace(partial, mark)


def train(problem: CrystalProblem, seen: Sequence[Measured], round: int, run_dir: Path, key: jax.Array) -> GraphPredictor:
    """The ensemble trained on the frames of what was seen, from its file where the round was learned before.

    The first round's starts from nothing; every other goes on from the last round's.
    """
    folder = run_dir / "rounds" / f"{round:03d}"
    path = folder / "model.safetensors"
    if path.exists():
        return load_model(path).predictor
    learner, start = problem.learner, None
    if round:
        start = load_model(run_dir / "rounds" / f"{round - 1:03d}" / "model.safetensors").predictor
        learner = dataclasses.replace(learner, n_epoch=problem.n_epoch_more)
    data = frames(seen, problem.known_set.frames)
    held = np.arange(len(data)) % 20 == 19
    nothing = data.select([])
    visible = Visible(data.select(~held), data.select(held), nothing, nothing)
    predictor = learner.fit(visible, child(key, "fit"), start=start, run_dir=folder / "fit")
    folder.mkdir(parents=True, exist_ok=True)
    save_model(path, predictor, None, {"round": round, "n_train": len(visible.train)})
    return predictor


def remembered(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray] | None:
    """What the ensemble of this round said of these cells before; None if it was not asked, or of others."""
    if not path.exists():
        return None
    with np.load(path) as kept:
        return {name: kept[name] for name in kept.files if name != "keys"} if kept["keys"].tolist() == list(keys) else None


def errors_so_far(
    run_dir: Path,
    round: int,
    table: AlloyCells,
    say: Callable[[GraphPredictor, AlloyCells], np.ndarray],
    errors_of: Callable[[AlloyCells, np.ndarray, AlloyCells, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Errors and spreads of earlier rounds, with those on the last batch, which the last ensemble had never seen [2, n].

    Args:
      run_dir: Of the campaign.
      round: From 1.
      table: Everything measured.
      say: Enthalpies by an ensemble [n_member, n].
      errors_of: (known cells, what was said of them, new cells, what is said of these) to errors and spreads [2, n].

    Raises:
      ValueError: If the last round was learned from other measurements.
    """
    folder = run_dir / "rounds" / f"{round - 1:03d}"
    with np.load(folder / "cells.npz") as kept:
        keys, enthalpy, errors = kept["keys"].tolist(), kept["enthalpy"], kept["errors"]
    is_new = np.array([key not in set(keys) for key in table.keys])
    if not is_new.any():
        return errors
    before, new = table.select(~is_new), table.select(is_new)
    if list(before.keys) != keys:
        raise ValueError(f"{folder} was learned from other measurements than this campaign holds; it belongs to another campaign")
    said = say(load_model(folder / "model.safetensors").predictor, new)
    return np.concatenate([errors, errors_of(before, enthalpy, new, said)], 1)


def errors_of_candidates(new: AlloyCells, guess: np.ndarray, n_imagined: int) -> np.ndarray:
    """Errors per candidate, and the spread of the members [2, n_candidate], eV/atom.

    Args:
      new: Measured cells, several of one candidate in a row or apart.
      guess: What the members say of them [n_member, n].
      n_imagined: How many of a candidate's cells a prediction looks at; the truth is the mean of all.
    """
    of = [[i for i, key in enumerate(new.keys) if key == wanted] for wanted in dict.fromkeys(new.keys)]
    mean = np.stack([guess[:, rows[:n_imagined]].mean(1) for rows in of], 1)
    return np.stack([np.array([new.energy[rows].mean() for rows in of]) - mean.mean(0), mean.std(0, ddof=1)])


def doubt_of(problem: CrystalProblem, errors: np.ndarray, spreads: np.ndarray) -> Doubt:
    """How far the members' spread falls short.

    Where the members agree they are still wrong, by the decoration of a cell for one: the error on the half with the smaller spread
    is a floor. What both together miss is the factor.
    """
    if len(errors) < FEWEST:
        return Doubt(problem.pessimism.spread or 1.0, float(problem.surfaces.enthalpy.noise))
    floor = np.sqrt(np.mean(errors[spreads <= np.median(spreads)] ** 2))
    return Doubt(float(problem.pessimism.spread_factor(errors / np.hypot(spreads, floor))), float(floor))


def facts_of(doubt: Doubt, errors: np.ndarray, left: np.ndarray, measured: Mapping[str, Measured]) -> dict[str, float | int]:
    """What a round's record shows of its model: calibration, errors that are left on known cells [n] (eV/atom), size of the data."""
    return {
        "spread_factor": doubt.factor,
        "spread_floor": doubt.floor,
        "n_calibration": int(errors.shape[1]),
        "mae_cells": float(np.abs(left).mean()),
        "n_frames": int(sum(len(r.frames.ids) for m in measured.values() for r in m.results if r.frames is not None)),
    }


def draws(n_member: int, key: jax.Array, n: int = 4) -> np.ndarray:
    """Where each member stands in what is left open of n properties, in standard deviations [n, n_member]."""
    quantiles = norm.ppf((np.arange(n_member) + 0.5) / n_member)
    quantiles = quantiles / max(quantiles.std(), 1e-9) if n_member > 1 else np.zeros(1)
    rng = generator(key)
    return np.stack([rng.permutation(quantiles) for _ in range(n)])
