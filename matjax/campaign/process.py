"""A shell command as a process that never outlives its caller, with a time limit and last words."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from matjax.campaign import guard


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code (128 + signal where it died by one; None beyond the time limit) and what it wrote."""

    code: int | None
    stdout: str
    stderr: str


def run_command(command: str, folder: Path, *, stdin: Path, time_limit: float | None = None) -> Outcome:
    """Runs a shell command in a folder; when it returns, nothing that the command started is left.

    Args:
      command: For the shell.
      folder: Where it stands, and where `stdout` and `stderr` are written; `TMPDIR` points there too.
      stdin: Its standard input.
      time_limit: Seconds, after which it and all it started are killed.
    """
    out, err = folder / "stdout", folder / "stderr"
    with open(stdin) as given, open(out, "w") as to_out, open(err, "w") as to_err:
        with guarded(command, folder, given, to_out, to_err) as process:
            try:
                code = process.wait(time_limit)
            except subprocess.TimeoutExpired:
                code = None
    return Outcome(code, out.read_text(errors="replace"), err.read_text(errors="replace"))


@contextlib.contextmanager
def guarded(
    command: str, folder: Path, stdin: IO[str] | int, stdout: IO[str] | int, stderr: IO[str] | int
) -> Iterator[subprocess.Popen[str]]:
    """The running command; it ends, with all that it started, at the latest with the context.

    Args:
      command: For the shell.
      folder: Where it stands.
      stdin: Its input, as for `subprocess.Popen`.
      stdout: Its output.
      stderr: Its errors.
    """
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", guard.__file__, str(reading), command],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            cwd=folder,
            env={"OMP_NUM_THREADS": "1", **os.environ, "TMPDIR": str(folder)},
            pass_fds=[reading],
            start_new_session=True,
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    try:
        yield process
    finally:
        os.close(writing)  # the guard ends the command
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def last_words(text: str, n_line: int = 5) -> str:
    """The end of what a command wrote, on one line."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " | ".join(lines[-n_line:])[-500:] if lines else "it wrote nothing"
