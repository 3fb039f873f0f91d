"""Where else the records of a run may go: TensorBoard and Weights & Biases, each an extra. `metrics.jsonl` is always written."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Tracker = Callable[[Mapping[str, Any]], None]
"""Takes the record of an epoch; what is no finite number in it is left out. It may have a `close`."""


class TensorBoard:
    """Event files for `tensorboard --logdir FOLDER`; the fits of a run are separate groups of curves."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Opens the folder's event file.

        Raises:
          ValueError: If tensorboardX is not installed.
        """
        self.writer = _library("tensorboardX", "tensorboard").SummaryWriter(str(folder / "tensorboard"))

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Writes every number of a record at its epoch."""
        for name, value in numbers(record).items():
            self.writer.add_scalar(name, value, record["epoch"])
        self.writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self.writer.close()


class WandB:
    """A run of Weights & Biases named after the folder; a run that goes on keeps its identity."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Starts the run, or goes on with the one that the folder names.

        Raises:
          ValueError: If wandb is not installed.
        """
        library, name = _library("wandb", "wandb"), folder / "wandb.id"
        own = name.read_text(encoding="utf-8").strip() if name.exists() else None
        self.run = library.init(project="matjax", name=folder.name, id=own, resume="allow", config=dict(settings), dir=str(folder))
        name.write_text(self.run.id, encoding="utf-8")

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Logs every number of a record."""
        self.run.log(numbers(record))

    def close(self) -> None:
        """Ends the run."""
        self.run.finish()


TRACKERS: Mapping[str, Callable[[Path, Mapping[str, Any]], TensorBoard | WandB]] = {"tensorboard": TensorBoard, "wandb": WandB}


def open_trackers(names: Sequence[str], folder: Path, settings: Mapping[str, Any]) -> list[TensorBoard | WandB]:
    """The trackers that are named.

    Args:
      names: Any of `TRACKERS`.
      folder: Of the run.
      settings: Plain values that the run was made with.

    Raises:
      ValueError: If there is no such tracker, or what it needs is not installed.
    """
    unknown = [name for name in names if name not in TRACKERS]
    if unknown:
        raise ValueError(f"unknown tracker {unknown[0]!r}; allowed: {', '.join(TRACKERS)}")
    return [TRACKERS[name](folder, settings) for name in names]


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a record, named `fit/quantity` where it belongs to one of several fits."""
    group = f"{record['fit']}/" if "fit" in record else ""
    finite = lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return {f"{group}{name}": float(value) for name, value in record.items() if finite(value)}


def _library(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"the {extra} tracker needs {module}, which cannot be imported ({error}): pip install 'matjax[{extra}]'"
        ) from error
