"""Settings of every test (implicit broadcasting between ranks is an error) and the data that many tests read."""

from pathlib import Path

import jax
import pytest

from matjax.data import load
from matjax.types import Dataset

jax.config.update("jax_numpy_rank_promotion", "raise")


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
