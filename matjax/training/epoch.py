"""One epoch: updates in a fixed order, metrics summed on the way, the state saved in between where a run asks for it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from matjax.graph import epoch_batches
from matjax.nn import Model
from matjax.nn.layout import with_room
from matjax.training.accumulate import grouped
from matjax.training.placement import Placement
from matjax.training.progress import Progress, Record
from matjax.training.step import Member, Plan, train_step
from matjax.types import Graph

if TYPE_CHECKING:
    from matjax.training.fit import Task

FOLD = 64  # updates whose metrics wait on the device before they are summed


@dataclasses.dataclass(frozen=True)
class Saving:
    """How often a run with a folder writes between the ends of epochs, where it always does; no result depends on it.

    Attributes:
      state_steps: Updates between saved states; 0 for none.
      state_minutes: Minutes between saved states; 0 for none. With several processes steps alone count, because clocks differ.
      metrics_steps: Updates between lines in `metrics.jsonl`; 0 for none.
    """

    state_steps: int = 0
    state_minutes: float = 10.0
    metrics_steps: int = 0

    def state_is_due(self, position: int, since: float) -> bool:
        """Whether to save after so many updates of an epoch, so many seconds after the last time."""
        by_clock = bool(self.state_minutes) and jax.process_count() == 1 and since >= 60 * self.state_minutes
        return by_clock or bool(self.state_steps) and position % self.state_steps == 0

    def metrics_are_due(self, position: int) -> bool:
        """Whether to write a line after so many updates of an epoch."""
        return bool(self.metrics_steps) and position % self.metrics_steps == 0


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What does not change during a fit.

    Attributes:
      task: Graphs, shapes, members per step.
      plan: Loss, risk, optimizer.
      model: The network.
      key: Orders the batches.
      place: Where arrays live.
      constants: Of the network, placed.
      saving: How often to write within an epoch.
      keep: Saves the state.
      write: Adds a row to the metrics.
    """

    task: Task
    plan: Plan
    model: Model
    key: jax.Array
    place: Placement
    constants: Any
    saving: Saving
    keep: Callable[[Member, Progress], None]
    write: Callable[[Record], None]

    def epoch(self, members: Member, progress: Progress) -> tuple[Member, Progress]:
        """Does what is left of an epoch; members are donated."""
        if progress.position == 0:
            progress = dataclasses.replace(progress, skipped=tuple(self.place.host(members.skipped).tolist()))
        start = saved = time.perf_counter()
        waiting: list[dict[str, jax.Array]] = []
        for graph in self._updates(len(progress.epochs), progress.position):
            members, metrics = self._update(members, graph)
            waiting.append(metrics)
            now, position = time.perf_counter(), progress.position + len(waiting)
            state_is_due = self.saving.state_is_due(position, now - saved)
            if self.saving.metrics_are_due(position):
                row = {"epoch": len(progress.epochs) + 1, "position": position}
                self.write({**row, **self.rate(members), **self.place.host(metrics)})
            if len(waiting) == FOLD or state_is_due:
                progress, start, waiting = progress.after(self.place.host(waiting), now - start), now, []
            if state_is_due:
                self.keep(members, progress)
                start = saved = time.perf_counter()
        return members, progress.after(self.place.host(waiting), time.perf_counter() - start)

    def rate(self, members: Member) -> Record:
        """Updates done so far, and the step size of the latest."""
        step = int(self.place.host(members.step).max())
        optimizer = self.plan.optimizer
        step_size = optimizer.schedule.build(optimizer.learning_rate, self.plan.n_step)
        return {"step": step, "learning_rate": np.asarray(step_size(step - 1)).item()}

    def _updates(self, epoch: int, position: int) -> Iterator[Graph]:
        """The graphs of an epoch's updates, always in the same order, from one of them on."""
        task, start = self.task, position * self.plan.accumulate
        # Batches that are added up may be dealt anew together: then every process reads all of them.
        read = self.place.read if self.plan.accumulate == 1 else None
        batches = epoch_batches(task.train, task.shape, epoch, start, cutoff=self.model.cutoff, key=self.key, read=read)
        return grouped(batches, self.plan.accumulate)

    def _update(self, members: Member, graph: Graph) -> tuple[Member, dict[str, jax.Array]]:
        return train_step(
            members,
            self.constants,
            self.place.batch(graph),
            self.plan,
            model=self.model if self.task.mesh is not None else with_room(self.model, graph),
            derivatives=self.task.derivatives,
            members_per_step=self.task.members_per_step,
            mesh=self.task.mesh,
        )
