"""An oracle on somebody else's workers: threads, or anything that has `submit` and gives futures (a cluster's, a queue's).

Only the answers' bytes travel back (see `call_encoded`), so that what an oracle raises or returns cannot break the line.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from matjax.campaign.codec import decode
from matjax.campaign.executor import Outcome, Task, call_encoded
from matjax.campaign.oracle import Oracle, failed
from matjax.config import spec
from matjax.types import Result


class Submits(Protocol):
    """What a pool must have: every `concurrent.futures.Executor` has it (Parsl's and executorlib's are such), and so has a Dask client."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """A future with `add_done_callback`, `result` and `cancel`, which may raise NotImplementedError."""
        ...


@spec
class Threads:
    """Threads of this process, a candidate each: for oracles that wait for something else, a command or a server.

    A thread cannot be ended: an oracle needs a time limit of its own.

    Attributes:
      n_worker: Candidates under way at once.
    """

    n_worker: int = 2

    def __post_init__(self) -> None:
        """Checks the settings."""
        if self.n_worker < 1:
            raise ValueError(f"n_worker is {self.n_worker}; it must be positive")

    @contextlib.contextmanager
    def start(self) -> Iterator[FuturesPool]:
        """The threads; on leaving, what has begun is waited for and nothing else begins."""
        threads = ThreadPoolExecutor(self.n_worker, thread_name_prefix="oracle")
        try:
            yield FuturesPool(threads, self.n_worker)
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


@spec
class Submitted:
    """Somebody's pool, which is not shut down: Dask's `client` or `client.get_executor()`, Parsl's `ParslPoolExecutor`, executorlib's.

    A worker that dies and a pool that is broken are failures of the machine: the candidate is submitted again, as often as
    that class allows, to a new pool where `make` is given.

    Attributes:
      make: Gives something with `submit`; called at the start and again after the pool broke.
      n_task: Candidates under way at once; at least the number of workers.
      time_limit: Seconds from its submission after which a candidate is given up (it may go on running unseen; what it says
        then is not heard). Waiting in the pool's own queue counts.
    """

    make: Callable[[], Submits]
    n_task: int = 8
    time_limit: float = float("inf")

    def __post_init__(self) -> None:
        """Checks the settings."""
        if not callable(self.make):
            raise ValueError(f"make is a {type(self.make).__name__}; give a function that returns the pool, such as `lambda: client`")
        if self.n_task < 1 or not self.time_limit > 0:
            raise ValueError(f"n_task is {self.n_task} and time_limit {self.time_limit}; both must be positive")

    @contextlib.contextmanager
    def start(self) -> Iterator[FuturesPool]:
        """The pool as it is."""
        yield FuturesPool(self.make(), self.n_task, self.time_limit, self.make)


class FuturesPool:
    """Tasks as futures, a limited number at once."""

    def __init__(self, pool: Submits, n_task: int, time_limit: float = float("inf"), make: Callable[[], Submits] | None = None) -> None:
        """Takes something with `submit`, and what makes another one."""
        self.pool, self.n_task, self.time_limit, self.make = pool, n_task, time_limit, make

    def run(self, oracle: Oracle, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Each task once with its results as they arrive; on ctrl-C first those that have arrived."""
        waiting, arrived, busy = iter(tasks), SimpleQueue[Any](), dict[Any, tuple[Task, float]]()
        try:
            while True:
                while len(busy) < self.n_task and (task := next(waiting, None)) is not None:
                    future = self._submit(oracle, task)
                    busy[future] = task, time.monotonic()
                    future.add_done_callback(arrived.put)
                if not busy:
                    return
                with contextlib.suppress(Empty):
                    future = arrived.get(timeout=min(self.time_limit, 1.0))
                    if future in busy:  # else it comes after its time
                        yield (task := busy.pop(future)[0]), collect(future, len(task.crystals))
                yield from self._overdue(busy)
        finally:
            for future in busy:
                withdraw(future)

    def _submit(self, oracle: Oracle, task: Task) -> Any:
        """The future of a task; of a pool that takes none, a future that says so."""
        for further in (True, False):
            try:
                return self.pool.submit(call_encoded, oracle, task.crystals)
            except RuntimeError as error:  # broken, or shut down
                refused = error
                if further and self.make is not None:
                    self.pool = self.make()
        future: Future[list[bytes]] = Future()
        future.set_exception(refused)
        return future

    def _overdue(self, busy: dict[Any, tuple[Task, float]]) -> Iterator[Outcome]:
        """The tasks whose time is over, which leave `busy`."""
        for future, (task, begun) in list(busy.items()):
            if time.monotonic() - begun > self.time_limit:
                withdraw(future)
                del busy[future]
                late = failed("transient", f"no answer within {self.time_limit:g} s of its submission", self.time_limit)
                yield task, [late] * len(task.crystals)


def withdraw(future: Any) -> None:
    """Asks the pool not to run a task; one that knows no way (Parsl) runs it unheard."""
    with contextlib.suppress(NotImplementedError):
        future.cancel()


def collect(future: Any, n: int) -> list[Result]:
    """The results of a future that ended: what it raises is the pool's fault, or says that the oracle cannot travel."""
    try:
        return [decode(data) for data in future.result()]
    except (TypeError, AttributeError, ImportError) as error:  # what pickling raises
        return [failed("programming", f"the oracle does not reach the worker: {type(error).__name__}: {error}")] * n
    except (Exception, CancelledError) as error:  # a worker that died, a pool that is gone
        kind = "programming" if "pickl" in f"{type(error).__name__} {error}".lower() else "transient"
        return [failed(kind, f"the pool of workers: {type(error).__name__}: {error}")] * n
