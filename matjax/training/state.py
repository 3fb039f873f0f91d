"""The state of a run on disk, by orbax: a killed or interrupted fit goes on where its last epoch ended."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from matjax.interrupt import interrupt_afterwards
from matjax.training.step import Member

logging.getLogger("absl").setLevel(logging.ERROR)  # orbax narrates every save


def save_state(run_dir: Path, members: Member, best: Any, history: list[dict[str, float]], settings: str) -> None:
    """Saves members, best parameters, history and what they belong to; an interrupted save leaves the one before."""
    with interrupt_afterwards(), _manager(run_dir) as manager:
        tree = {"members": jax.tree.map(np.asarray, members._asdict()), "best": jax.tree.map(np.asarray, best)}
        args = ocp.args.Composite(state=ocp.args.StandardSave(tree), history=ocp.args.JsonSave({"settings": settings, "epochs": history}))
        manager.save(len(history), args=args)
        manager.wait_until_finished()


def load_state(run_dir: Path, members: Member, best: Any, settings: str) -> tuple[Member, Any, list[dict[str, float]]] | None:
    """The last complete state, or None where there is none.

    Args:
      run_dir: Folder of the run.
      members: Members of the structure to restore.
      best: Parameters of the structure to restore.
      settings: What the state must belong to.

    Raises:
      ValueError: If the state belongs to other settings or cannot be read.
    """
    with _manager(run_dir) as manager:
        step = manager.latest_step()
        if step is None:
            return None
        like = {"members": jax.tree.map(np.asarray, members._asdict()), "best": jax.tree.map(np.asarray, best)}
        args = ocp.args.Composite(state=ocp.args.StandardRestore(like), history=ocp.args.JsonRestore())
        try:
            found = manager.restore(step, args=args)
        except (ValueError, KeyError, TypeError, OSError, json.JSONDecodeError) as error:
            raise ValueError(
                f"the state in {run_dir} cannot be resumed with these settings: {error}. Choose another folder or delete it"
            ) from error
        if found["history"].get("settings") != settings:
            raise ValueError(
                f"the state in {run_dir} cannot be resumed: it belongs to other settings, crystals or another seed. "
                "Choose another folder or delete it"
            )
        tree = jax.tree.map(jax.numpy.asarray, found["state"])
        return Member(**tree["members"]), jax.device_get(tree["best"]), list(found["history"]["epochs"])


def _manager(run_dir: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False, create=True)
    return ocp.CheckpointManager(Path(run_dir).absolute() / "state", options=options, item_names=("state", "history"))
