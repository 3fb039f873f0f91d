"""A process of its own for an oracle that may hang, die, or need an environment: limits, and nothing left behind.

The worker leads a group of processes, so that what it starts ends with it: at the time limit, when the caller ends, and when
the caller is killed (its end of the worker's standard input closes). Starting takes seconds, so a sound worker is kept for the
next call.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import chdir
from multiprocessing.connection import Connection
from pathlib import Path

from matjax.campaign.oracle import Oracle, failed, failed_by
from matjax.types import Crystal, Result

START_LIMIT = 120.0
"""Seconds for a worker to start and import what it needs; not counted against a crystal."""


@dataclasses.dataclass(frozen=True, eq=False)
class Worker:
    """A running worker: its process, the line to it, and its folder for everything it writes."""

    process: subprocess.Popen
    line: Connection
    folder: tempfile.TemporaryDirectory


def measure_apart(
    oracle: Oracle, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False, time_limit: float
) -> list[Result]:
    """Measures crystals in a worker process, one at a time; a worker that is lost is replaced for the next crystal.

    Args:
      oracle: Measures in the worker.
      crystals: What to measure.
      elastic: As for any oracle.
      frames: As for any oracle.
      time_limit: Seconds per crystal, after which the worker and all it started are ended.
    """
    results: list[Result] = []
    worker: Worker | None = None
    try:
        for crystal in crystals:
            start = time.perf_counter()
            try:
                worker = worker or _kept_worker() or start_worker()
                results.append(_ask(worker, (oracle, crystal, elastic, frames), time_limit))
            except (OSError, EOFError, RuntimeError) as error:
                cost = time.perf_counter() - start
                results.append(failed_by(error, cost) if worker is None else _lost(worker, error, cost))
                if worker is not None:
                    stop_worker(worker)
                worker = None
    except BaseException:
        if worker is not None:
            stop_worker(worker)
        raise
    if worker is not None:
        _kept().append(worker)
    return results


@functools.cache
def _kept() -> list[Worker]:
    """Idle workers of this process, which end with it."""
    kept: list[Worker] = []
    atexit.register(lambda: [stop_worker(worker) for worker in kept])
    return kept


def _kept_worker() -> Worker | None:
    """An idle worker that still lives, or None."""
    kept = _kept()
    while kept:
        worker = kept.pop()
        if worker.process.poll() is None:
            return worker
        stop_worker(worker)
    return None


def environment(folder: str) -> dict[str, str]:
    """The worker's environment: one thread, the caller's modules, libraries of installed wheels, temporary files in its folder."""
    inherited = os.environ
    libraries = [os.path.join(sys.prefix, "lib"), inherited.get("LD_LIBRARY_PATH", "")]
    return {
        **inherited,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path),
        "LD_LIBRARY_PATH": os.pathsep.join(path for path in libraries if path),
        "TMPDIR": folder,
    }


def start_worker() -> Worker:
    """Starts a worker and waits until it is ready.

    Raises:
      RuntimeError: If it ends before it is ready, with its last words.
      TimeoutError: If it is not ready within START_LIMIT.
    """
    folder = tempfile.TemporaryDirectory(prefix="matjax-worker-")
    ours, theirs = socket.socketpair()
    code = f"from matjax.campaign.worker import serve; serve({theirs.fileno()})"
    with theirs, open(Path(folder.name) / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder.name,
            env=environment(folder.name),
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    worker = Worker(process, Connection(ours.detach()), folder)
    try:
        if not worker.line.poll(START_LIMIT):
            raise TimeoutError(f"the worker was not ready within {START_LIMIT:.0f} s")
        worker.line.recv()
    except BaseException as error:
        words = _last_words(worker)
        stop_worker(worker)
        if isinstance(error, EOFError | ConnectionError):
            raise RuntimeError(f"the worker did not start: {words}") from error
        raise
    return worker


def stop_worker(worker: Worker) -> None:
    """Ends a worker with everything it started, and removes its folder."""
    try:
        os.killpg(worker.process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # the whole group has ended already
    worker.process.wait()
    worker.line.close()
    if worker.process.stdin is not None:
        worker.process.stdin.close()
    worker.folder.cleanup()


def serve(descriptor: int) -> None:
    """The worker's side: answers requests (oracle, crystal, elastic, frames) with results until the line closes."""
    threading.Thread(target=_end_with_caller, daemon=True).start()
    line = Connection(descriptor)
    line.send("ready")
    while True:
        try:
            oracle, crystal, elastic, frames = line.recv()
        except EOFError:
            return
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            try:
                (result,) = oracle.measure([crystal], elastic=elastic, frames=frames)
            except Exception as error:  # whatever an oracle raises is an answer about this crystal
                result = failed_by(error)
        line.send(result)


def _end_with_caller() -> None:
    """Waits for the end of standard input, which the caller holds open as long as it lives; then clears up and ends the group."""
    while os.read(0, 1):
        pass
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _ask(worker: Worker, request: tuple, time_limit: float) -> Result:
    """The worker's answer.

    Raises:
      TimeoutError: If none came in time.
      EOFError: If the worker died.
    """
    worker.line.send(request)
    if not worker.line.poll(time_limit):
        raise TimeoutError(f"no answer within {time_limit:g} s; the worker and all it started were ended")
    return worker.line.recv()


def _lost(worker: Worker, error: Exception, cost: float) -> Result:
    """The result of a crystal whose worker hung or died."""
    if isinstance(error, TimeoutError):
        return failed("transient", str(error), cost)
    try:
        code = worker.process.wait(10)
        how = f"died by signal {signal.Signals(-code).name}" if code < 0 else f"died with exit code {code}"
    except subprocess.TimeoutExpired:
        how = "closed its line"
    return failed("transient", f"the worker {how}: {_last_words(worker)}", cost)


def _last_words(worker: Worker) -> str:
    """The end of what a worker wrote."""
    lines = (Path(worker.folder.name) / "log").read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it wrote nothing"
