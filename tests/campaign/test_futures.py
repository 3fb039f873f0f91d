"""Oracles on workers of somebody else: the campaign is the same one, and workers that die cost an attempt."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from matjax.campaign import Executor, Inline, Submitted, Threads, discover
from matjax.campaign.executor import Task
from matjax.types import Candidate
from matjax.value.acquisition import Thompson
from matjax.value.proposers import Random
from tests.campaign.tiny import ELEMENTS, Remembered, Tiny, Unruly

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def memory(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("memory"))


def picks(memory: str, folder: Path, executor: Executor) -> list[Any]:
    """What a campaign comes to."""
    settings: dict[str, Any] = {"budget": 5, "batch": 3, "pool": 10, "run_dir": folder, "key": jax.random.key(0)}
    trace = discover(Tiny(), Remembered(memory), Random(), Thompson(), executor=executor, **settings)
    return [(row["key"], row["utility"], row["call"]) for row in trace.rows]


def tasks() -> list[Task]:
    return [Task(symbol, tuple(Tiny().cells(Candidate("fcc", (((symbol, 4),),))))) for symbol in ELEMENTS]


def errors(outcomes) -> dict[str, str]:
    found: dict[str, str] = {}
    for task, results in outcomes:
        assert task.key not in found and len(results) == len(task.crystals)
        found[task.key] = next((result.error for result in results if result.error), "")
    return found


def test_threads_and_any_pool_give_the_campaign_of_this_process(memory, tmp_path) -> None:
    wanted = picks(memory, tmp_path / "inline", Inline())
    assert picks(memory, tmp_path / "threads", Threads(3)) == wanted
    with ThreadPoolExecutor(2) as pool:
        assert picks(memory, tmp_path / "pool", Submitted(lambda: pool)) == wanted


def test_no_more_at_once_than_allowed_and_each_once(memory) -> None:
    class Slow:
        """Runs what it was given only when asked for more than one."""

        def __init__(self) -> None:
            self.most, self.under_way = 0, list[tuple[Future, Any, Any]]()

        def submit(self, function, /, *arguments) -> Future:
            self.under_way.append((future := Future(), function, arguments))
            self.most = max(self.most, len(self.under_way))
            if len(self.under_way) == 2:
                for waiting, call, given in self.under_way[::-1]:
                    waiting.set_result(call(*given))
                self.under_way.clear()
            return future

    slow = Slow()
    with Submitted(lambda: slow, n_task=2).start() as pool:
        assert errors(pool.run(Remembered(memory), tasks())) == dict.fromkeys(ELEMENTS, "")
    assert slow.most == 2


def test_what_never_answers_is_given_up_and_late_answers_are_not_heard(memory) -> None:
    class Deaf:
        def submit(self, function, /, *arguments) -> Future:
            return Future()

    with Submitted(Deaf, time_limit=0.2).start() as pool:
        found = errors(pool.run(Remembered(memory), tasks()))
    assert set(found.values()) == {"transient: no answer within 0.2 s of its submission"} and len(found) == 4


def test_a_pool_that_knows_no_cancelling_is_given_up_too(memory) -> None:
    class Stubborn(Future):
        """As Parsl's futures are."""

        def cancel(self) -> bool:
            raise NotImplementedError("Cancel not implemented")

    class Deaf:
        def submit(self, function, /, *arguments) -> Future:
            return Stubborn()

    with Submitted(Deaf, time_limit=0.2).start() as pool:
        assert set(errors(pool.run(Remembered(memory), tasks())).values()) == {"transient: no answer within 0.2 s of its submission"}
    half = ThreadPoolExecutor(1)
    futures = iter([half.submit(lambda: list[bytes]()), Stubborn()])
    with Submitted(lambda: SimpleNamespace(submit=lambda *_: next(futures)), n_task=2).start() as pool:
        under_way = pool.run(Remembered(memory), tasks()[:2])
        assert next(iter(under_way))[0].key == ELEMENTS[0]
        under_way.close()  # type: ignore[attr-defined]
    half.shutdown()


def test_a_pool_that_refuses_is_replaced_once(memory) -> None:
    closed, made = ThreadPoolExecutor(1), list[ThreadPoolExecutor]()
    closed.shutdown()

    def make() -> ThreadPoolExecutor:
        made.append(closed if not made else ThreadPoolExecutor(1))
        return made[-1]

    with Submitted(make).start() as pool:
        assert errors(pool.run(Remembered(memory), tasks())) == dict.fromkeys(ELEMENTS, "")
    assert len(made) == 2
    made[1].shutdown()
    with Submitted(lambda: closed).start() as pool:
        found = errors(pool.run(Remembered(memory), tasks()))
    assert all(error.startswith("transient: the pool of workers: RuntimeError") for error in found.values())


def test_settings_are_checked() -> None:
    with ThreadPoolExecutor(1) as pool:
        for make in (lambda: Threads(0), lambda: Submitted(pool), lambda: Submitted(lambda: pool, 0)):  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="positive|give a function"):
                make()


@pytest.mark.slow
def test_a_worker_that_is_killed_breaks_the_pool_and_the_next_one_goes_on(memory, tmp_path) -> None:
    context, pools = multiprocessing.get_context("spawn"), list[ProcessPoolExecutor]()

    def make() -> ProcessPoolExecutor:
        pools.append(ProcessPoolExecutor(1, mp_context=context))
        return pools[-1]

    settings: dict[str, Any] = {"budget": 2, "batch": 2, "pool": 5, "run_dir": tmp_path / "run", "key": jax.random.key(0)}
    oracle = Unruly(memory, str(tmp_path), (("Ag", "die", 1),))
    trace = discover(Tiny(), oracle, Random(), Thompson(), executor=Submitted(make, n_task=1), **settings)
    for pool in pools:
        pool.shutdown()
    assert len(pools) == 2 and [row["status"] for row in trace.rows] == ["converged"] * 2


@pytest.mark.slow
def test_a_dask_cluster_of_two_workers_gives_the_campaign_of_this_process(memory, tmp_path) -> None:
    distributed = pytest.importorskip("distributed", reason="needs Dask: pip install 'matjax[dask]'")
    wanted = picks(memory, tmp_path / "inline", Inline())
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        assert picks(memory, tmp_path / "futures", Submitted(lambda: client)) == wanted
        assert picks(memory, tmp_path / "executor", Submitted(lambda: client.get_executor(pure=False))) == wanted


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:os.fork\\(\\) was called:RuntimeWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning:parsl.*"
)
def test_two_workers_of_parsl_give_the_campaign_of_this_process(memory, tmp_path, monkeypatch) -> None:
    parsl = pytest.importorskip("parsl", reason="needs Parsl: pip install 'matjax[parsl]'")
    from parsl.concurrent import ParslPoolExecutor  # pyright: ignore[reportMissingImports]
    from parsl.providers import LocalProvider  # pyright: ignore[reportMissingImports]

    wanted = picks(memory, tmp_path / "inline", Inline())
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # where its programs are, also if not activated
    provider = LocalProvider(max_blocks=1, worker_init=f"export PYTHONPATH={ROOT}")
    workers = parsl.HighThroughputExecutor(address="127.0.0.1", max_workers_per_node=2, provider=provider)
    with ParslPoolExecutor(parsl.Config([workers], run_dir=str(tmp_path / "parsl"), initialize_logging=False)) as pool:
        assert picks(memory, tmp_path / "futures", Submitted(lambda: pool)) == wanted
        oracle = Unruly(memory, str(tmp_path), (("Ag", "die", 1),))
        with Submitted(lambda: pool, n_task=2).start() as running:
            found = errors(running.run(oracle, tasks()))
        assert found.pop("Ag").startswith("transient: the pool of workers: WorkerLost") and not any(found.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:os.fork\\(\\) was called:RuntimeWarning", "ignore::ResourceWarning")
def test_two_workers_of_executorlib_give_the_campaign_of_this_process(memory, tmp_path, monkeypatch) -> None:
    executorlib = pytest.importorskip("executorlib", reason="needs executorlib: pip install 'matjax[executorlib]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    wanted = picks(memory, tmp_path / "inline", Inline())
    with executorlib.SingleNodeExecutor(max_workers=2, block_allocation=True) as pool:
        assert picks(memory, tmp_path / "futures", Submitted(lambda: pool)) == wanted
    oracle = Unruly(memory, str(tmp_path), (("Ag", "die", 1),))
    with executorlib.SingleNodeExecutor(max_workers=2) as pool, Submitted(lambda: pool, n_task=2).start() as running:
        found = errors(running.run(oracle, tasks()))
    assert found.pop("Ag").startswith("transient: the pool of workers: ExecutorlibSocketError") and not any(found.values())
