"""The state of a run on disk, by orbax: a killed or interrupted fit goes on where it last saved, also within an epoch."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from matjax.interrupt import interrupt_afterwards
from matjax.training.identity import difference
from matjax.training.step import Member

logging.getLogger("absl").setLevel(logging.ERROR)  # orbax narrates every save

VERSION = 2
KEPT = 2  # the newest, and one to fall back to


class DamagedState(Exception):
    """A saved state that cannot be read, or is not what was saved."""


def save_state(run_dir: Path, members: Member, best: Any, progress: Mapping[str, Any], settings: Mapping[str, str]) -> None:
    """Saves members, best parameters, progress and what they belong to; an interrupted save leaves the one before.

    Args:
      run_dir: Folder of the run.
      members: Host arrays of the members.
      best: Parameters of the best epoch so far.
      progress: Plain values: where the fit stands.
      settings: {setting: value} that the state belongs to (`identity`).
    """
    tree = _tree(members, best)
    words = {"version": VERSION, "settings": dict(settings), "progress": dict(progress), "digest": _digest(tree)}
    with interrupt_afterwards(), _manager(run_dir) as manager:
        args = ocp.args.Composite(state=ocp.args.StandardSave(tree), words=ocp.args.JsonSave(words))
        manager.save((manager.latest_step() or 0) + 1, args=args)
        manager.wait_until_finished()


def load_state(run_dir: Path, members: Member, best: Any, settings: Mapping[str, str]) -> tuple[Member, Any, dict[str, Any]] | None:
    """The newest whole state (members, best parameters, progress), or None where there is none.

    A state that cannot be read or is not what was saved (a disk that was full, a copy that was cut off) is deleted with a
    warning, and the one before it is taken: the fit does some updates again.

    Args:
      run_dir: Folder of the run.
      members: Members of the structure to restore.
      best: Parameters of the structure to restore.
      settings: What the state must belong to.

    Raises:
      ValueError: If the state belongs to other settings, naming the first one that differs, or none can be read.
    """
    with _manager(run_dir) as manager:
        for step in sorted(manager.all_steps(), reverse=True):
            try:
                words = _words(manager, step)
                if (reason := _refusal(words, settings)) is not None:
                    raise ValueError(f"the state in {run_dir} cannot be resumed: {reason}. Choose another folder or delete it")
                tree = jax.tree.map(jax.numpy.asarray, _arrays(manager, step, _tree(members, best), words["digest"]))
                return Member(**tree["members"]), jax.device_get(tree["best"]), words["progress"]
            except DamagedState as error:
                if len(manager.all_steps()) == 1:
                    raise ValueError(
                        f"the state in {run_dir} cannot be resumed: it is damaged, or from an older matjax ({error}). "
                        "Choose another folder or delete it"
                    ) from error
                warnings.warn(
                    f"{run_dir}: the newest saved state is damaged and was deleted; the fit goes on from the one before ({error})",
                    stacklevel=2,
                )
                manager.delete(step)
    return None


def _refusal(words: Mapping[str, Any], settings: Mapping[str, str]) -> str | None:
    """Why a state is not that of these settings, or None."""
    if words["version"] != VERSION:
        return f"it has format version {words['version']} and this matjax reads {VERSION}"
    return difference(words["settings"], settings)


def _words(manager: ocp.CheckpointManager, step: int) -> dict[str, Any]:
    """What stands beside the arrays."""
    try:
        words = manager.restore(step, args=ocp.args.Composite(words=ocp.args.JsonRestore()))["words"]
        return {name: words[name] for name in ("version", "settings", "progress", "digest")}
    except (MemoryError, PermissionError):  # of the machine, not of the state
        raise
    except Exception as error:  # whatever a damaged file makes orbax raise
        raise DamagedState(f"{type(error).__name__}: {error}") from error


def _arrays(manager: ocp.CheckpointManager, step: int, like: Any, digest: str) -> Any:
    """The arrays, if they are those that were saved."""
    try:
        tree = manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(like)))["state"]
    except (MemoryError, PermissionError):  # of the machine, not of the state
        raise
    except Exception as error:  # whatever a damaged file makes orbax raise
        raise DamagedState(f"{type(error).__name__}: {error}") from error
    if _digest(tree) != digest:
        raise DamagedState("its arrays are not those that were saved")
    return tree


def _tree(members: Member, best: Any) -> dict[str, Any]:
    return {"members": jax.tree.map(np.asarray, members._asdict()), "best": jax.tree.map(np.asarray, best)}


def _digest(tree: Any) -> str:
    digest = hashlib.sha256()
    for array in jax.tree.leaves(tree):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _manager(run_dir: Path) -> ocp.CheckpointManager:
    folder = Path(run_dir).absolute() / "state"
    folder.mkdir(parents=True, exist_ok=True)
    options = {"max_to_keep": KEPT, "enable_async_checkpointing": False, "create": False}
    if jax.process_count() == 1:
        return ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(**options), item_names=("state", "words"))
    # Of several processes one reads and writes; without this orbax waits for the others.
    alone = {jax.process_index()}
    mine = ocp.options.MultiprocessingOptions(jax.process_index(), alone, f"process_{jax.process_index()}")
    handlers = {
        kind: make(multiprocessing_options=mine)
        for kind, make in (("state", ocp.StandardCheckpointHandler), ("words", ocp.JsonCheckpointHandler))
    }
    return ocp.CheckpointManager(
        folder, options=ocp.CheckpointManagerOptions(**options, multiprocessing_options=mine), item_handlers=handlers
    )
