"""Runs a shell command and ends it with everything that it started. A program of its own: it imports nothing of matjax.

Called as `guard.py DESCRIPTOR COMMAND`. The descriptor is the reading end of a pipe whose other end the caller holds: it
closes when the caller wants the command ended, and when the caller itself ends, however that happens.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36
"""Linux: processes below this one that lose their parent become its children, also those that left its session."""


def descendants(pid: int) -> Iterator[int]:
    """Ids of the processes below one, from /proc; none where there is no /proc."""
    if not os.path.isdir(f"/proc/{pid}/task"):
        return
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as file:
            for child in file.read().split():
                yield from descendants(int(child))
                yield int(child)


def end_descendants() -> None:
    """Kills what is below this process until nothing is left."""
    while below := list(descendants(os.getpid())):
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def end_with_caller(descriptor: int) -> None:
    """Waits until the caller closes its end, then ends everything."""
    while os.read(descriptor, 1):
        pass
    end_descendants()
    os.killpg(0, signal.SIGKILL)


def main(descriptor: int, command: str) -> int:
    """The command's exit code; 128 + the signal where it died by one, as shells have it."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    threading.Thread(target=end_with_caller, args=(descriptor,), daemon=True).start()
    code = subprocess.call(command, shell=True)
    end_descendants()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
