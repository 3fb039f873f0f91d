"""Settings of every test (implicit broadcasting between ranks is an error) and the data that many tests read."""

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from matjax.data import load
from matjax.types import Dataset

jax.config.update("jax_numpy_rank_promotion", "raise")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background: tests of ctrl-C, and what they start, want it heard
    signal.signal(signal.SIGINT, signal.default_int_handler)

MAPS, MOST_MAPS = Path("/proc/self/maps"), 30_000


@pytest.fixture(autouse=True, scope="module")
def _room_for_programs() -> Iterator[None]:
    """Lets compiled programs go when a process holds many: each takes memory maps, and Linux kills at 65,530 of them."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def flla() -> Dataset:
    """The embedded Materials Project crystals."""
    return load("flla")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that does not ship; tests that need it skip without."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the data that does not ship is absent ({folder.parent.name}/{folder.name} beside the repository)")
    return folder
