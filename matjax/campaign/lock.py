"""One coordinator per campaign: a lock of the operating system on the folder, which a killed process leaves open."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

NAME = "campaign.lock"


@contextlib.contextmanager
def lock(run_dir: Path) -> Iterator[None]:
    """Holds the folder for this process.

    Raises:
      ValueError: If another process holds it; the message names it.
    """
    with open(run_dir / NAME, "a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(
                f"{run_dir} is being worked on by {holder(run_dir) or 'another process'}; "
                "a campaign has one coordinator: wait for it, stop it, or choose another folder"
            ) from error
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        stream.flush()
        yield


def holder(run_dir: Path) -> str | None:
    """Who holds the folder ("process 123 on host"), or None where nobody does. Takes nothing."""
    try:
        with open(run_dir / NAME, encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return stream.read().strip() or "another process"
    except OSError:
        pass
    return None
