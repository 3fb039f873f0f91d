"""A fit that was killed goes on to the same bits, wherever it was; a damaged state is never taken for a whole one."""

import dataclasses
import shutil
import warnings

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from matjax.training import epoch
from matjax.training.epoch import Saving
from matjax.training.metrics import NAME, read_metrics
from matjax.training.state import load_state, save_state
from matjax.training.step import Member

KEY = jax.random.key(0)
OFTEN = Saving(state_steps=2, metrics_steps=1)
SETTINGS = {"plan.ema": "0.9", "members": "2"}


class Killed(Exception):
    """The power went."""


def killed_after(n_update: int, monkeypatch) -> None:
    """The next fit dies after so many updates."""
    real, done = epoch.train_step, []

    def step(*arguments, **settings):
        if len(done) == n_update:
            raise Killed
        done.append(1)
        return real(*arguments, **settings)

    monkeypatch.setattr(epoch, "train_step", step)


@pytest.fixture(scope="module")
def whole(learner, visible, tmp_path_factory):
    """A run that nobody interrupted, its folder and its updates per epoch."""
    folder = tmp_path_factory.mktemp("whole")
    predictor = short(learner).fit(visible, KEY, run_dir=folder, saving=Saving(metrics_steps=1))
    rows = read_metrics(folder / NAME)
    return predictor, folder, max(row.get("position", 0) for row in rows)


def short(learner):
    return dataclasses.replace(learner, n_epoch=3)


@pytest.mark.parametrize("where", ["within the first epoch", "within the second", "after the last update of one", "before any save"])
def test_a_killed_fit_goes_on_to_the_same_bits(learner, visible, whole, tmp_path, monkeypatch, where) -> None:
    predictor, folder, n = whole
    assert n >= 4, "an epoch has updates to be killed between"
    killed = {"within the first epoch": 3, "within the second": n + 3, "after the last update of one": 2 * n, "before any save": 1}[where]
    with monkeypatch.context() as context, pytest.raises(Killed):
        killed_after(killed, context)
        short(learner).fit(visible, KEY, run_dir=tmp_path, saving=OFTEN)
    done = []
    with monkeypatch.context() as context:
        real = epoch.train_step
        context.setattr(epoch, "train_step", lambda *a, **k: (done.append(1), real(*a, **k))[1])
        resumed = short(learner).fit(visible, KEY, run_dir=tmp_path, saving=OFTEN)
    assert len(done) <= 3 * n - killed + 1, "what was saved is not done again"
    jax.tree.map(np.testing.assert_array_equal, resumed.params, predictor.params)
    same = lambda record: {name: value for name, value in record.items() if name != "seconds"}
    assert [same(r) for r in resumed.history] == [same(r) for r in predictor.history]
    timed = ("seconds", "crystals_per_second")
    rows = [[{k: v for k, v in row.items() if k not in timed} for row in read_metrics(f / NAME)] for f in (folder, tmp_path)]
    assert rows[0] == rows[1], "every line once, and each as it would have been"


def test_the_clock_asks_for_a_save_too() -> None:
    assert Saving(state_minutes=2.0).state_is_due(7, 121.0) and not Saving(state_minutes=2.0).state_is_due(7, 119.0)
    assert not Saving(state_minutes=0.0).state_is_due(7, 1e9)
    assert Saving(state_steps=3).state_is_due(9, 0.0) and not Saving(state_steps=3).state_is_due(10, 0.0)


@pytest.fixture(scope="module")
def members() -> Member:
    random = np.random.default_rng(0)
    params = {"a": {"kernel": random.normal(size=(2, 30, 40)).astype(np.float32)}, "b": random.normal(size=(2, 5)).astype(np.float32)}
    one = np.ones(2, np.int32)
    state = ({"mu": params, "count": one}, ())
    return Member(one, np.ones((2, 2), np.uint32), params["b"], params, params, (), (), state, (), one, one, one)


@pytest.fixture(scope="module")
def saved(members, tmp_path_factory):
    """A folder with two states; the second has other numbers."""
    folder = tmp_path_factory.mktemp("saved")
    save_state(folder, members, members.params, {"position": 1}, SETTINGS)
    save_state(folder, jax.tree.map(lambda x: x + 1, members), members.params, {"position": 2}, SETTINGS)
    return folder


def load(folder, members, settings=SETTINGS):
    found = load_state(folder, members, members.params, settings)
    assert found is not None
    return found


def test_the_newest_state_comes_back_bit_for_bit(saved, members) -> None:
    found, best, progress = load(saved, members)
    assert progress == {"position": 2}
    jax.tree.map(np.testing.assert_array_equal, found, jax.tree.map(lambda x: x + 1, members))
    jax.tree.map(np.testing.assert_array_equal, best, members.params)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax leaves tasks behind when a read fails
@pytest.mark.parametrize("damage", ["cut", "removed", "flipped"])
def test_whatever_is_damaged_in_the_newest_state_the_one_before_is_taken(saved, members, tmp_path, damage) -> None:
    """Every file of it in turn: the answer is that of one of the two states, and said aloud where it is the older."""
    newest = lambda folder: max((folder / "state").iterdir(), key=lambda path: int(path.name))
    files = [path.relative_to(newest(saved)) for path in newest(saved).rglob("*") if path.is_file()]
    fell_back = 0
    for i, name in enumerate(files):
        folder = tmp_path / str(i)
        shutil.copytree(saved, folder)
        path = newest(folder) / name
        content = path.read_bytes()
        if damage == "removed":
            path.unlink()
        elif damage == "cut":
            path.write_bytes(content[: len(content) // 2])
        else:
            path.write_bytes(content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 0xFF]) + content[len(content) // 2 + 1 :])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found, _, progress = load(folder, members)
        shift = progress["position"] - 1
        jax.tree.map(np.testing.assert_array_equal, found, jax.tree.map(lambda x, by=shift: x + by, members))
        assert (shift == 0) == any("goes on from the one before" in str(w.message) for w in said), name
        fell_back += shift == 0
        if shift == 0:
            assert load(folder, members)[2] == {"position": 1}, "the damaged one is gone"
    assert fell_back >= 2


def test_a_damaged_state_alone_is_refused(members, tmp_path) -> None:
    save_state(tmp_path, members, members.params, {"position": 1}, SETTINGS)
    for path in (tmp_path / "state").glob("*/words/*"):
        path.write_text("{")
    with pytest.raises(ValueError, match="cannot be resumed: it is damaged"):
        load(tmp_path, members)


def test_a_setting_that_differs_is_named(saved, members) -> None:
    with pytest.raises(ValueError, match="cannot be resumed: plan.ema was 0.9 and is now 0.99"):
        load(saved, members, {**SETTINGS, "plan.ema": "0.99"})
    with pytest.raises(ValueError, match="cannot be resumed: plan.new was not set and is now 1"):
        load(saved, members, {**SETTINGS, "plan.new": "1"})


def test_no_state_is_none(members, tmp_path) -> None:
    assert load_state(tmp_path, members, members.params, SETTINGS) is None


@pytest.mark.parametrize("error", [PermissionError("not yours"), MemoryError()])
def test_a_trouble_of_the_machine_deletes_no_state(saved, members, tmp_path, monkeypatch, error) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)

    def refuse(*_, **__):
        raise error

    with monkeypatch.context() as context:
        context.setattr(ocp.CheckpointManager, "restore", refuse)
        with pytest.raises(type(error)):
            load(folder, members)
    assert load(folder, members)[2] == {"position": 2}
