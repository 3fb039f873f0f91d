"""A fit whose graphs lie on disk is the fit in memory, bit for bit, and reads no edge that it does not train on."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from matjax.graph import cache
from matjax.training import GraphLearner
from matjax.types import Dataset, Visible

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def short(learner: GraphLearner) -> GraphLearner:
    return dataclasses.replace(learner, n_epoch=2, use_target=True)


@pytest.fixture(scope="module")
def held() -> np.ndarray:
    return np.arange(24) % 3


@pytest.fixture(scope="module")
def in_memory(short: GraphLearner, visible: Visible, held: np.ndarray):
    return short.fit(visible, KEY, held_from=held)


def on_disk(learner: GraphLearner, folder: Path) -> GraphLearner:
    return dataclasses.replace(learner, graph_cache=str(folder))


def assert_same(found, expected) -> None:
    jax.tree.map(np.testing.assert_array_equal, (found.params, found.constants), (expected.params, expected.constants))
    assert found.shape == expected.shape
    assert [r["validation"] for r in found.history] == [r["validation"] for r in expected.history]


def test_the_fit_is_the_same(short: GraphLearner, visible: Visible, held: np.ndarray, in_memory, tmp_path: Path, monkeypatch) -> None:
    for _ in range(2):  # neighbours are looked for once, whoever asks next
        assert_same(on_disk(short, tmp_path).fit(visible, KEY, held_from=held), in_memory)
        monkeypatch.setattr(cache, "neighbours", None)


def test_only_batches_are_read(short: GraphLearner, visible: Visible, tmp_path: Path, monkeypatch) -> None:
    read, real = [], cache._Shard.read
    monkeypatch.setattr(cache._Shard, "read", lambda shard, row: (read.append(row), real(shard, row))[1])
    on_disk(short, tmp_path / "graphs").fit(visible, KEY, run_dir=tmp_path / "run")
    n_train, n_validation, n_target = len(visible.train), len(visible.validation), len(visible.target)
    assert len(read) == 2 * (n_train + n_target + n_validation) + 1  # and one for the shapes of parameters


def test_a_run_goes_on_where_it_was(short: GraphLearner, visible: Visible, tmp_path: Path) -> None:
    cached = on_disk(short, tmp_path / "graphs")
    whole = cached.fit(visible, KEY)

    def stop(record) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached.fit(visible, KEY, run_dir=tmp_path / "run", report=stop)
    assert_same(cached.fit(visible, KEY, run_dir=tmp_path / "run"), whole)


@pytest.mark.parametrize("what", ["label", "crystal"])
def test_a_run_of_other_data_is_refused(short: GraphLearner, visible: Visible, tmp_path: Path, what: str) -> None:
    cached = dataclasses.replace(on_disk(short, tmp_path / "graphs"), n_epoch=1)
    cached.fit(visible, KEY, run_dir=tmp_path / "run")
    train = visible.train
    if what == "label":
        name = short.label
        other = dataclasses.replace(train, labels={**train.labels, name: np.asarray(train.labels[name]) + 0.1 * np.eye(len(train))[0]})
    else:
        first = dataclasses.replace(train.crystals[0], positions=train.crystals[0].positions + 0.01 * np.eye(len(train.crystals[0]), 3))
        other = dataclasses.replace(train, crystals=(first, *train.crystals[1:]))
    with pytest.raises(ValueError, match="training crystals or their labels are others"):
        cached.fit(dataclasses.replace(visible, train=other), KEY, run_dir=tmp_path / "run")


def test_the_shape_of_a_set_is_the_same(short: GraphLearner, small: Dataset, tmp_path: Path) -> None:
    assert on_disk(short, tmp_path).shape_for(small).shape == short.shape_for(small).shape
