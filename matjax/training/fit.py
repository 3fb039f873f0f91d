"""The training loop: epochs of packed batches, validation, early stopping, a state that can be resumed."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matjax.graph import Shape, batches
from matjax.keys import child, generator
from matjax.nn import Model
from matjax.training.state import load_state, save_state
from matjax.training.step import Member, Plan, predict_step, train_step
from matjax.types import Graph

Reporter = Callable[[dict[str, float]], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """One fit: the graphs, the shape of batches, what is constant, and how long.

    Attributes:
      train: Labelled graphs.
      validation: Labelled graphs.
      shape: Batch shape.
      constants: `scale`, `average_degree`.
      derivatives: Which derivatives the labels need.
      n_epoch: Passes over the training graphs at most.
      patience: Epochs without a better validation error before stopping; 0 for never.
      members_per_step: Members updated together.
      names: Name of each training graph, for errors.
      last: Keep the parameters of the last epoch instead of the best one.
    """

    train: list[Graph]
    validation: list[Graph]
    shape: Shape
    constants: dict[str, Any]
    derivatives: tuple[str, ...]
    n_epoch: int
    patience: int
    members_per_step: int
    names: tuple[str, ...]
    last: bool = False


def fit(
    task: Task,
    members: Member,
    plan: Plan,
    model: Model,
    key: jax.Array,
    *,
    run_dir: Path | None = None,
    report: Reporter | None = None,
) -> tuple[Any, tuple[dict[str, float], ...]]:
    """Trains an ensemble and returns the parameters of its best epoch and one record per epoch.

    Predictions use the running average of the parameters; the best epoch has the least validation error of the ensemble's
    mean. With a run_dir the state is saved after every epoch, and a later call with the same arguments goes on from there
    to the same result.

    Args:
      task: What to fit.
      members: Fresh members.
      plan: Loss, risk, optimizer.
      model: The network.
      key: Orders the batches.
      run_dir: Where to keep the state.
      report: Called with each epoch's record, `n_epoch`, `last` (the fit ends here) and `scale` (the unit of `validation`).

    Raises:
      FloatingPointError: If a member skipped more than half of an epoch's updates, naming a crystal.
      ValueError: If the state in run_dir belongs to other settings, crystals or another key.
    """
    history: list[dict[str, float]] = []
    settings = _digest(task, members, plan, model, key) if run_dir is not None else ""
    best, best_error = jax.device_get(members.average), np.inf
    if run_dir is not None and (found := load_state(run_dir, members, best, settings)) is not None:
        members, best, history = found
        best_error = min(h["validation"] for h in history)
    for epoch in range(len(history), task.n_epoch):
        if _has_stopped(history, task.patience):
            break
        start, n_batch = time.perf_counter(), 0
        before = np.asarray(members.skipped)
        metrics: dict[str, Any] = {}
        order = generator(child(key, "epoch", epoch)).permutation(len(task.train))
        for batch in batches(task.train, task.shape, cutoff=model.cutoff, order=order):
            members, metrics = train_step(
                members, task.constants, batch, plan, model=model, derivatives=task.derivatives, members_per_step=task.members_per_step
            )
            n_batch += 1
        _check_skipped(np.asarray(members.skipped) - before, n_batch, np.asarray(members.culprit), task.names)
        error = validation_error(task, members.average, model)
        if not np.isfinite(error):
            raise FloatingPointError("the validation error is not finite; look for a broken structure among the validation crystals")
        if error < best_error or task.last:
            best, best_error = jax.device_get(members.average), error
        risk = float(np.mean(metrics["risk"]))
        history.append({"epoch": epoch + 1, "risk": risk, "validation": error, "seconds": time.perf_counter() - start})
        if run_dir is not None:
            save_state(run_dir, members, best, history, settings)
        if report is not None:
            last = epoch + 1 == task.n_epoch or _has_stopped(history, task.patience)
            report({**history[-1], "n_epoch": task.n_epoch, "last": last, "scale": float(task.constants["scale"])})
    return best, tuple(history)


def _digest(task: Task, members: Member, plan: Plan, model: Model, key: jax.Array) -> str:
    """What a saved state belongs to: settings, members as they start, seed, crystals and labels (patience may change)."""
    settings = (model, plan, len(members.number), jax.random.key_data(key).tolist(), task.names, task.shape, task.derivatives, task.last)
    digest = hashlib.sha256(repr(settings).encode())
    for part in (members.params, *((g.edges, g.nodes, g.globals) for g in (*task.train, *task.validation))):
        for array in jax.tree.leaves(part):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _has_stopped(history: list[dict[str, float]], patience: int) -> bool:
    """Whether so many epochs brought no better validation error."""
    return bool(patience and history) and len(history) - 1 - int(np.argmin([h["validation"] for h in history])) >= patience


def validation_error(task: Task, params: Any, model: Model) -> float:
    """Mean absolute error of the ensemble's mean, in units of the model's scale: energy per atom plus force components."""
    energy, forces = [], []
    scale = float(task.constants["scale"])
    for batch in batches(task.validation, task.shape, cutoff=model.cutoff):
        out = predict_step(params, task.constants, batch, model=model, derivatives=task.derivatives)
        g, n_atom = batch.globals, np.maximum(batch.n_node, 1)
        energy.append((np.abs(np.asarray(out.energy).mean(0) - g.energy) / n_atom)[g.mask & (g.has_energy > 0)])
        if out.forces is not None:
            owner = np.repeat(g.has_forces > 0, batch.n_node) & batch.nodes.mask
            forces.append(np.abs(np.asarray(out.forces).mean(0) - batch.nodes.forces)[owner].ravel())
    return float(np.concatenate(energy).mean() + (np.concatenate(forces).mean() if forces else 0.0)) / scale


def _check_skipped(skipped: np.ndarray, n_batch: int, culprit: np.ndarray, names: tuple[str, ...]) -> None:
    if (skipped * 2 > n_batch).any():
        row = int(culprit.max())
        who = f"crystal {names[row]!r} has a loss that is not finite" if row >= 0 else "the gradients are not finite though the losses are"
        raise FloatingPointError(
            f"{int(skipped.max())} of {n_batch} updates were skipped: {who}; check its labels or lower the learning rate"
        )
