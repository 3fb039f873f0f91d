"""Where a fit stands: the epochs that are finished, and what of the next one is done. It is saved with the state, as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Record = dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Progress:
    """Finished epochs, and the part of the next one that is done.

    Attributes:
      epochs: One record per finished epoch.
      position: Updates done in the epoch that follows.
      seconds: Time that they took.
      skipped: Updates that each member had skipped before this epoch.
      sums: {metric: [2, n_member]}: sum of weight times metric over the updates, and sum of weight; what is not finite is left out.
    """

    epochs: tuple[Record, ...] = ()
    position: int = 0
    seconds: float = 0.0
    skipped: tuple[int, ...] = ()
    sums: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def after(self, updates: Sequence[Mapping[str, np.ndarray]], seconds: float) -> Progress:
        """With the metrics [n_member] of further updates, each of the weight that its crystals have together."""
        sums = dict(self.sums)
        for metrics in updates:
            for name in metrics.keys() - {"weight"}:
                value = np.asarray(metrics[name], np.float64)
                known = np.isfinite(value)
                weight = np.where(known, metrics["weight"], 0.0)
                sums[name] = sums.get(name, 0.0) + np.stack([weight * np.where(known, value, 0.0), weight])
        return dataclasses.replace(self, position=self.position + len(updates), seconds=self.seconds + seconds, sums=sums)

    def means(self) -> dict[str, np.ndarray]:
        """Mean of every metric over the crystals of the updates [n_member]; NaN where there was none."""
        with np.errstate(invalid="ignore"):
            return {name: total / weight for name, (total, weight) in sorted(self.sums.items())}

    def next_epoch(self, record: Record) -> Progress:
        """With one more epoch finished, at the start of the next."""
        return Progress((*self.epochs, record))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        sums = {name: np.asarray(value).tolist() for name, value in self.sums.items()}
        return {**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}, "sums": sums}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        """What `to_json` gave."""
        sums = {name: np.asarray(value, np.float64) for name, value in values["sums"].items()}
        return cls(tuple(values["epochs"]), values["position"], values["seconds"], tuple(values["skipped"]), sums)
