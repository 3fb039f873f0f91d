"""Several processes, one per machine or per GPU, that train together: joining, and what the first one does for all.

Nothing here is done on import. A launcher (`srun`, `mpirun`, or a person with three environment variables) starts the same
command or script in every process; `join` finds the others.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
"""Where process 0 listens (host:port), how many processes there are, and which one this is, from 0."""

LAUNCHERS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
"""Number of processes, as `srun` and `mpirun` tell them; JAX finds out the rest."""


def join(environment: Mapping[str, str] | None = None) -> bool:
    """Joins the other processes of this run, where a launcher started any; alone it does nothing.

    Call it once, before anything is computed. Afterwards `jax.devices()` are the devices of all processes, and
    `GraphLearner(mesh=...)` spreads a fit over them.

    Args:
      environment: Variables of the process; `os.environ` by default.

    Returns:
      Whether there are other processes.

    Raises:
      ValueError: If only some of `VARIABLES` are set, or they make no sense.
    """
    environment = os.environ if environment is None else environment
    given = {name: environment[name] for name in VARIABLES if environment.get(name)}
    launched = max((int(environment.get(name, "1")) for name in LAUNCHERS), default=1)
    if not given and launched == 1:
        return False
    if given and len(given) < len(VARIABLES):
        raise ValueError(f"{', '.join(given)} is set but {', '.join(v for v in VARIABLES if v not in given)} is not; set all three or none")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    if not given:
        jax.distributed.initialize()
        return jax.process_count() > 1
    address, n_process, process = _checked(*given.values())
    jax.distributed.initialize(address, n_process, process)
    return n_process > 1


def is_first() -> bool:
    """Whether this process is the one that writes files and speaks."""
    return jax.process_index() == 0


@contextmanager
def folder_of_process(folder: Path) -> Iterator[Path]:
    """The folder in the first process, one that is deleted at the end in every other: each can write what it likes."""
    if is_first():
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="matjax-") as scratch:
        yield Path(scratch)


def to_host(tree: Any) -> Any:
    """NumPy arrays of a tree whose arrays may be spread over devices of other processes; call it in every process."""
    fetch = lambda x: multihost_utils.process_allgather(x, tiled=True) if isinstance(x, jax.Array) and not x.is_fully_addressable else x
    return jax.device_get(tree if jax.process_count() == 1 else jax.tree.map(fetch, tree))


def from_first(tree: Any) -> Any:
    """What the first process has, in every process; the trees are alike in structure, shapes and dtypes."""
    return tree if jax.process_count() == 1 else jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(tree))


def text_from_first(text: str) -> str:
    """The text of the first process, in every process."""
    if jax.process_count() == 1:
        return text
    content = np.frombuffer(text.encode(), np.uint8)
    room = np.zeros(int(from_first(np.int32(len(content)))), np.uint8)
    room[: len(content)] = content[: len(room)]
    return from_first(room).tobytes().decode()


def _checked(address: str, n_process: str, process: str) -> tuple[str, int, int]:
    """The three variables, as numbers.

    Raises:
      ValueError: If they make no sense.
    """
    said = ", ".join(f"{name}={value}" for name, value in zip(VARIABLES, (address, n_process, process), strict=True))
    if not (n_process.isdigit() and process.isdigit() and int(process) < int(n_process)):
        raise ValueError(f"{said}: processes are counted from 0, and there must be more of them than this one's number")
    if not address.rpartition(":")[2].isdigit() or ":" not in address:
        raise ValueError(f"{said}: the address of process 0 has the form host:port, such as 10.0.0.1:9911")
    return address, int(n_process), int(process)
