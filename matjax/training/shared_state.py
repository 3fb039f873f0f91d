"""The state of a run of several processes: the first one reads and writes it, all have it; any mesh can go on from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matjax.training import state
from matjax.training.distributed import from_first, is_first, text_from_first
from matjax.training.step import Member

FOUND, NOTHING = "found", "nothing"


def save_state(run_dir: Path, members: Member, best: Any, progress: dict[str, Any], settings: dict[str, str]) -> None:
    """Saves a state of host arrays; to be called in every process."""
    if is_first():
        state.save_state(run_dir, members, best, progress, settings)


def load_state(run_dir: Path, members: Member, best: Any, settings: dict[str, str]) -> tuple[Member, Any, dict[str, Any]] | None:
    """The last complete state, or None where there is none; to be called in every process, only the first one's folder counts.

    Args:
      run_dir: Folder of the run.
      members: Members of the structure to restore.
      best: Parameters of the structure to restore.
      settings: What the state must belong to.

    Raises:
      ValueError: In every process, if the state belongs to other settings or cannot be read.
    """
    if jax.process_count() == 1:
        return state.load_state(run_dir, members, best, settings)
    found, said, progress = None, "", {}
    if is_first():
        try:
            found = state.load_state(run_dir, members, best, settings)
            said = NOTHING if found is None else FOUND
        except ValueError as error:  # the others must hear of it before this process ends
            said = str(error)
    said = text_from_first(said)
    if said == NOTHING:
        return None
    if said != FOUND:
        raise ValueError(said)
    if found is not None:
        members, best, progress = found
    members, best = from_first(jax.tree.map(np.asarray, (members, best)))
    return members, best, json.loads(text_from_first(json.dumps(progress)))
