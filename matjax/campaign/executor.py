"""Where an oracle runs: in this process with all crystals at once, or in worker processes with a candidate each.

Whatever happens to a measurement comes back as results: a worker that died, an oracle that raises, hangs, or returns
what is no result. Only ctrl-C passes through.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple, Protocol

from matjax.campaign.codec import decode, encode
from matjax.campaign.oracle import Oracle, failed, failed_by
from matjax.config import spec
from matjax.types import Crystal, Result


class Task(NamedTuple):
    """What to measure: the crystals of one candidate, by its key."""

    key: str
    crystals: tuple[Crystal, ...]


Outcome = tuple[Task, list[Result]]


class Pool(Protocol):
    """Something that measures."""

    def run(self, oracle: Oracle, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Each task once with its results, one per crystal, in the order in which they arrive; takes tasks when it has room."""
        ...


class Executor(Protocol):
    """Settings of a pool."""

    def start(self) -> contextlib.AbstractContextManager[Pool]:
        """The pool; its processes end with the context."""
        ...


@spec
class Inline:
    """In this process; the fast way for an oracle that is vectorised over crystals.

    Attributes:
      n_candidate: Candidates per call of the oracle. All their crystals go in one call; what a kill can cost is one call.
    """

    n_candidate: int = 64

    def __post_init__(self) -> None:
        """Checks the settings."""
        if self.n_candidate < 1:
            raise ValueError(f"n_candidate is {self.n_candidate}; at least 1")

    @contextlib.contextmanager
    def start(self) -> Iterator[Inline]:
        """Itself: there is nothing to start."""
        yield self

    def run(self, oracle: Oracle, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Each task with its results, call by call."""
        waiting = iter(tasks)
        while group := list(itertools.islice(waiting, self.n_candidate)):
            try:
                results = iter(ask(oracle, [crystal for task in group for crystal in task.crystals]))
            except Exception:  # whose fault it is shows when each is asked alone
                yield from ((task, call(oracle, task.crystals)) for task in group)
            else:
                yield from [(task, [next(results) for _ in task.crystals]) for task in group]


@spec
class Processes:
    """In worker processes (spawned, never forked), a candidate at a time; for oracles that take long or may crash.

    Attributes:
      n_worker: Processes at the same time.
      time_limit: Seconds that a candidate may take; then its process is killed and replaced.
    """

    n_worker: int = 2
    time_limit: float = 3600.0

    def __post_init__(self) -> None:
        """Checks the settings."""
        if self.n_worker < 1 or not self.time_limit > 0:
            raise ValueError(f"n_worker is {self.n_worker} and time_limit {self.time_limit}; both must be positive")

    @contextlib.contextmanager
    def start(self) -> Iterator[WorkerPool]:
        """The workers; those still at work are killed at the end."""
        pool = WorkerPool([Worker() for _ in range(self.n_worker)], self.time_limit)
        try:
            yield pool
        finally:
            for worker in pool.workers:
                worker.kill()


class WorkerPool:
    """Workers that live from round to round."""

    def __init__(self, workers: list[Worker], time_limit: float) -> None:
        """Takes the workers; they start with their first task."""
        self.workers, self.time_limit = workers, time_limit

    def run(self, oracle: Oracle, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Each task with its results as they arrive; on ctrl-C first those that have arrived."""
        waiting, busy = iter(tasks), dict[Worker, Task]()
        try:
            while True:
                for worker, task in zip([w for w in self.workers if w not in busy], waiting, strict=False):
                    busy[worker] = task
                    worker.submit(oracle, task)
                if not busy:
                    return
                self._wait(busy)
                yield from self._arrived(busy)
        except KeyboardInterrupt:
            yield from self._arrived(busy, overdue=False)
            raise

    def _wait(self, busy: dict[Worker, Task]) -> None:
        """Until a worker has finished or run over its time."""
        left = min(worker.seconds_left(self.time_limit) for worker in busy)
        wait([worker.future for worker in busy if worker.future], timeout=min(max(left, 0.0), 1.0), return_when=FIRST_COMPLETED)

    def _arrived(self, busy: dict[Worker, Task], overdue: bool = True) -> Iterator[Outcome]:
        """The tasks that ended, which leave `busy`."""
        for worker in list(busy):
            if worker.future and worker.future.done():
                yield (task := busy.pop(worker)), worker.collect(len(task.crystals))
            elif overdue and worker.seconds_left(self.time_limit) <= 0:
                worker.kill()
                late = failed("numerical", f"no answer within {self.time_limit:g} s; the process was killed", self.time_limit)
                yield (task := busy.pop(worker)), [late] * len(task.crystals)


class Worker:
    """One process that is started when needed and replaced when it dies, so that a death is always its own task's."""

    def __init__(self) -> None:
        """Starts nothing."""
        self.pool: ProcessPoolExecutor | None = None
        self.process: Future[int] | None = None
        self.future: Future[list[bytes]] | None = None
        self.begun: float | None = None

    def submit(self, oracle: Oracle, task: Task) -> None:
        """Hands over a task; the clock starts when the process is up."""
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin)
            self.process = self.pool.submit(os.getpid)
        assert self.process is not None
        self.begun = None
        self.process.add_done_callback(self._start_clock)
        self.future = self.pool.submit(call_encoded, oracle, task.crystals)

    def _start_clock(self, future: Future[int]) -> None:
        self.begun = time.monotonic()

    def seconds_left(self, limit: float) -> float:
        """Of the time limit; all of it while the process is starting."""
        return limit if self.begun is None else self.begun + limit - time.monotonic()

    def collect(self, n: int) -> list[Result]:
        """The results of a task that ended."""
        assert self.future is not None
        try:
            return [decode(data) for data in self.future.result()]
        except BrokenProcessPool:
            self.kill()
            message = "the oracle's process died (killed, out of memory, or started from a script without a __main__ guard)"
            return [failed("transient", message)] * n
        except Exception as error:  # the oracle cannot travel to another process
            return [failed("programming", f"{type(error).__name__}: {error}")] * n

    def kill(self) -> None:
        """Ends the process at once, whatever it does."""
        if self.pool is None or self.process is None:
            return
        with contextlib.suppress(BrokenProcessPool, ProcessLookupError):
            os.kill(self.process.result(), signal.SIGKILL)
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.pool = self.process = self.future = None


def ask(oracle: Oracle, crystals: Sequence[Crystal]) -> list[Result]:
    """What an oracle says of crystals, with elastic constants and frames.

    Raises:
      TypeError: If that is not one Result per crystal.
      Exception: Whatever the oracle raises.
    """
    results = list(oracle.measure(crystals, elastic=True, frames=True))
    wrong = next((type(result).__name__ for result in results if not isinstance(result, Result)), None)
    if wrong is not None or len(results) != len(crystals):
        came = f"{len(results)} results" if wrong is None else f"a {wrong}"
        raise TypeError(f"the oracle returned {came} for {len(crystals)} crystals; it must return a Result for each")
    return results


def call(oracle: Oracle, crystals: Sequence[Crystal]) -> list[Result]:
    """What an oracle says; where it raises, that is the result of every crystal."""
    try:
        return ask(oracle, crystals)
    except Exception as error:
        return [failed_by(error)] * len(crystals)


def call_encoded(oracle: Oracle, crystals: Sequence[Crystal]) -> list[bytes]:
    """What a worker does: nothing but bytes goes back, so that nothing can fail on the way."""
    try:
        return [encode(result) for result in call(oracle, crystals)]
    except Exception as error:
        return [encode(failed("programming", f"a result cannot be stored: {type(error).__name__}: {error}"))] * len(crystals)


def _begin() -> None:
    """In a new worker: ctrl-C is the coordinator's business, and a worker ends when its coordinator is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
