"""The training loop: epochs of packed batches, validation, early stopping, a state that can be resumed within an epoch."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from matjax.graph import Shape
from matjax.nn import Model
from matjax.training.accumulate import check_additive
from matjax.training.distributed import is_first
from matjax.training.economy import economical
from matjax.training.epoch import Run, Saving
from matjax.training.identity import identity
from matjax.training.labelling import Graphs
from matjax.training.metrics import NAME, MetricsFile
from matjax.training.placement import Placement
from matjax.training.progress import Progress, Record
from matjax.training.shared_state import load_state, save_state
from matjax.training.step import Member, Plan
from matjax.training.validation import check_choice, validation_errors

Reporter = Callable[[dict[str, Any]], None]


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
      mesh: Devices to spread members and batches over, or None for the default one.
      choose_by: Which validation error chooses the epoch: "mean", "worst_domain" or "mean_of_domains".
      matmul: Precision of matrix products (see `economy`).
    """

    train: Graphs
    validation: Graphs
    shape: Shape
    constants: dict[str, Any]
    derivatives: tuple[str, ...]
    n_epoch: int
    patience: int
    members_per_step: int
    names: tuple[str, ...]
    last: bool = False
    mesh: Mesh | None = None
    choose_by: str = "mean"
    matmul: str = "default"


def fit(
    task: Task,
    members: Member,
    plan: Plan,
    model: Model,
    key: jax.Array,
    *,
    run_dir: Path | None = None,
    report: Reporter | None = None,
    saving: Saving | None = None,
) -> tuple[Any, tuple[Record, ...]]:
    """Trains an ensemble and returns the parameters of its best epoch and one record per epoch.

    Predictions use the running average of the parameters; the best epoch has the least validation error. With a run_dir the
    state is saved after every epoch and as `saving` says, and a later call with the same arguments goes on from there to the
    same result; `metrics.jsonl` there has losses, gradient norms and validation errors.

    Args:
      task: What to fit.
      members: Fresh members.
      plan: Loss, risk, optimizer.
      model: The network.
      key: Orders the batches.
      run_dir: Where to keep the state and the metrics.
      report: Called with each epoch's record, `n_epoch`, `last` (the fit ends here), `scale` (the unit of `validation`),
        `crystals_per_second`, `skipped` (updates, most of any member) and `culprit` (a crystal that made one be skipped, or None).
      saving: How often to write within an epoch; every ten minutes by default.

    Raises:
      FloatingPointError: If a member skipped more than half of an epoch's updates, naming a crystal.
      ValueError: If the state in run_dir belongs to other settings, crystals or another key, or the risk cannot be accumulated.
    """
    check_choice(task.choose_by)
    if plan.accumulate > 1:
        check_additive(plan.risk)
    model = economical(model, task.matmul)
    settings = identity(task, members, plan, model, key) if run_dir is not None else {}
    progress, best = Progress(), jax.device_get(members.average)
    if run_dir is not None and (found := load_state(run_dir, members, best, settings)) is not None:
        members, best, values = found
        progress = Progress.from_json(values)
    graphs = task.train + task.validation  # type: ignore[operator] (both are of one kind)
    place = Placement.of(task.mesh, task.shape, graphs, model.cutoff)
    members, constants = place.members(members), place.everywhere(task.constants)
    log = MetricsFile(run_dir / NAME, len(progress.epochs), progress.position) if run_dir is not None and is_first() else None

    def keep(members: Member, progress: Progress) -> None:
        if run_dir is not None:
            save_state(run_dir, place.host(members), best, progress.to_json(), settings)

    def write(row: Record) -> None:
        if log is not None:
            log.append(row)

    run = Run(task, plan, model, key, place, constants, saving or Saving(), keep, write)
    while len(progress.epochs) < task.n_epoch and not _has_stopped(progress.epochs, task.patience):
        members, progress = run.epoch(members, progress)
        skipped = place.host(members.skipped) - np.asarray(progress.skipped)
        culprit = int(place.host(members.culprit).max()) if skipped.any() else -1
        _check_skipped(skipped, progress.position, culprit, task.names)
        start = time.perf_counter()
        errors = validation_errors(task, members.average, model, place)
        error = errors[task.choose_by]
        if not np.isfinite(error):
            raise FloatingPointError("the validation error is not finite; look for a broken structure among the validation crystals")
        if task.last or error < min((e["validation"] for e in progress.epochs), default=np.inf):
            best = place.host(members.average)
        means, seconds = progress.means(), progress.seconds + time.perf_counter() - start
        record = {"epoch": len(progress.epochs) + 1, "risk": float(means["risk"].mean()), "validation": error, "seconds": seconds}
        more = {
            "crystals_per_second": len(task.train) / progress.seconds,
            "skipped": int(skipped.max()),
            "culprit": task.names[culprit] if 0 <= culprit < len(task.names) else None,
        }
        write({**record, **run.rate(members), **means, **{f"validation/{name}": e for name, e in errors.items()}, **more})
        progress = progress.next_epoch(record)
        keep(members, progress)
        if report is not None:
            last = record["epoch"] == task.n_epoch or _has_stopped(progress.epochs, task.patience)
            report({**record, **more, "n_epoch": task.n_epoch, "last": last, "scale": float(task.constants["scale"])})
    return best, progress.epochs


def _has_stopped(epochs: tuple[Record, ...], patience: int) -> bool:
    """Whether so many epochs brought no better validation error."""
    return bool(patience and epochs) and len(epochs) - 1 - int(np.argmin([e["validation"] for e in epochs])) >= patience


def _check_skipped(skipped: np.ndarray, n_update: int, culprit: int, names: tuple[str, ...]) -> None:
    if (skipped * 2 > n_update).any():
        who = (
            f"crystal {names[culprit]!r} has a loss that is not finite"
            if culprit >= 0
            else "the gradients are not finite though the losses are"
        )
        raise FloatingPointError(
            f"{int(skipped.max())} of {n_update} updates were skipped: {who}; check its labels or lower the learning rate"
        )
