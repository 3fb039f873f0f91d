"""A process of its own: the same answers, limits that hold, and nothing that outlives its caller."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ase.build import bulk

from matjax.campaign import AseOracle, Emt, Recipe, failure_class
from matjax.campaign import worker as workers
from matjax.campaign.worker import environment, measure_apart
from matjax.data.convert import from_ase
from matjax.types import Crystal

EMT = ("Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")


def crystal(symbol: str) -> Crystal:
    return from_ase(bulk(symbol, cubic=True))


def moody(pids: Path, time_limit: float) -> AseOracle:
    return AseOracle("tests.campaign.calculators.Moody", EMT, (("pids", str(pids)),), Recipe(n_copy=1), time_limit)


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.fixture
def no_worker(monkeypatch) -> None:
    """As if no worker were kept."""
    monkeypatch.setattr(workers, "_kept", lambda: [])


def until(condition, seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return met


def test_what_hangs_or_dies_fails_alone(tmp_path) -> None:
    crystals = [crystal(symbol) for symbol in ("Cu", "Al", "Pd", "Au", "Ni")]
    results = moody(tmp_path / "pids", time_limit=5.0).measure(crystals, elastic=True, frames=True)
    assert [r.status for r in results] == ["converged", "failed", "failed", "failed", "converged"]
    assert [failure_class(r) for r in results[1:4]] == ["transient", "transient", "numerical"]
    assert results[1].error == "transient: no answer within 5 s; the worker and all it started were ended" and results[1].cost >= 5
    assert "the worker died by signal SIGSEGV" in results[2].error
    assert not any(is_running(int(pid)) for pid in (tmp_path / "pids").read_text().split())
    (here,) = Emt(Recipe(n_copy=1)).measure([crystals[0]], elastic=True, frames=True)
    assert here.labels == results[0].labels and here.crystal.key == results[0].crystal.key and here.frames.key == results[0].frames.key
    assert (here.elastic == results[0].elastic).all()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_caller_that_is_killed_takes_the_worker_along(tmp_path) -> None:
    pids = tmp_path / "pids"
    code = f"""
from tests.campaign.test_worker import crystal, moody
moody({str(pids)!r}, 600.0).measure([crystal("Al")])
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(tmp_path)}
    caller = subprocess.Popen([sys.executable, "-c", code], env=env)
    assert until(pids.exists)
    started = [int(pid) for pid in pids.read_text().split()]
    assert all(map(is_running, started))
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    assert until(lambda: not any(map(is_running, started)))
    assert not list(tmp_path.glob("matjax-*"))


def test_a_worker_has_a_place_and_an_environment_of_its_own() -> None:
    (result,) = AseOracle("tests.campaign.calculators.Writing", EMT, time_limit=60.0).measure([crystal("Cu")])
    folder, here, threads = result.error.partition("] ")[2].split("|")
    assert Path(folder).parts[:3] == Path(here).parts[:3] and "matjax-worker-" in here and here != os.getcwd()
    assert threads == "1" and not Path(here).exists() and not Path(folder).exists()
    set_by_launcher = environment("/scratch")
    assert set_by_launcher["LD_LIBRARY_PATH"].split(os.pathsep)[0] == os.path.join(sys.prefix, "lib")
    assert set_by_launcher["TMPDIR"] == "/scratch" and set_by_launcher["PATH"] == os.environ["PATH"]


def test_a_sound_worker_is_kept_for_the_next_call() -> None:
    measure_apart(Emt(), [crystal("Cu")], time_limit=60.0)
    (kept,) = workers._kept()
    assert measure_apart(Emt(), [crystal("Cu")], time_limit=60.0)[0].converged and workers._kept() == [kept]
    kept.process.kill()
    kept.process.wait()
    assert measure_apart(Emt(), [crystal("Cu")], time_limit=60.0)[0].converged and workers._kept() != [kept]
    assert not Path(kept.folder.name).exists()


def test_a_worker_that_does_not_start_says_why(monkeypatch, no_worker) -> None:
    monkeypatch.setattr(workers, "environment", lambda folder: {"PYTHONPATH": folder, "PYTHONHOME": folder})
    (result,) = measure_apart(Emt(), [crystal("Cu")], time_limit=60.0)
    assert result.error.startswith("programming: RuntimeError: the worker did not start: ") and len(result.error) > 60


def test_a_worker_that_is_never_ready_is_given_up(monkeypatch, no_worker) -> None:
    monkeypatch.setattr(workers, "START_LIMIT", 0.0)
    results = measure_apart(Emt(), [crystal("Cu"), crystal("Ni")], time_limit=60.0)
    assert [r.error for r in results] == ["transient: TimeoutError: the worker was not ready within 0 s"] * 2
