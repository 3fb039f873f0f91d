"""A round of learning on the disk: its folder belongs to one set of measurements, its ensemble is trained once."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from matjax.campaign.alloy_cells import AlloyCells, frames
from matjax.campaign.problem import Measured
from matjax.keys import child
from matjax.training.checkpoint import load_model, save_model
from matjax.training.predictor import GraphPredictor
from matjax.types import Visible

if TYPE_CHECKING:
    from matjax.campaign.crystal_problem import CrystalProblem


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
