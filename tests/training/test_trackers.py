"""What a tracker is sent, with stand-ins for the libraries; without them the message says what to install."""

import sys
import types

import pytest

from matjax.training.trackers import numbers, open_trackers

RECORD = {"fit": "ensemble", "epoch": 3, "risk": 0.5, "validation": float("nan"), "unit": "eV", "last": True, "skipped": 2}


def stand_in(monkeypatch, name, **parts) -> None:
    monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**parts))


def test_only_finite_numbers_are_sent() -> None:
    assert numbers(RECORD) == {"ensemble/epoch": 3.0, "ensemble/risk": 0.5, "ensemble/skipped": 2.0}
    assert numbers({"epoch": 1}) == {"epoch": 1.0}


def test_tensorboard(monkeypatch, tmp_path) -> None:
    said = []

    class Writer:
        def __init__(self, folder):
            said.append(folder)

        def add_scalar(self, name, value, step):
            said.append((name, value, step))

        def flush(self):
            said.append("flushed")

        def close(self):
            said.append("closed")

    stand_in(monkeypatch, "tensorboardX", SummaryWriter=Writer)
    (tracker,) = open_trackers(["tensorboard"], tmp_path, {})
    tracker(RECORD)
    tracker.close()
    assert said[0] == str(tmp_path / "tensorboard") and ("ensemble/risk", 0.5, 3) in said and said[-2:] == ["flushed", "closed"]


def test_a_run_of_wandb_keeps_its_identity(monkeypatch, tmp_path) -> None:
    said = []

    class Run:
        id = "abc"

        def log(self, values):
            said.append(values)

        def finish(self):
            said.append("finished")

    stand_in(monkeypatch, "wandb", init=lambda **settings: (said.append(settings), Run())[1])
    for _ in range(2):
        (tracker,) = open_trackers(["wandb"], tmp_path, {"seed": 1})
        tracker(RECORD)
        tracker.close()
    assert [s["id"] for s in said if isinstance(s, dict) and "id" in s] == [None, "abc"]
    assert said[0]["config"] == {"seed": 1} and said[0]["name"] == tmp_path.name
    assert said[1]["ensemble/risk"] == 0.5 and said[2] == "finished"


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_what_is_missing_is_said_aloud(monkeypatch, tmp_path, name, module) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf"needs {module}.*pip install 'matjax\[{name}\]'"):
        open_trackers([name], tmp_path, {})


def test_an_unknown_tracker_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="unknown tracker 'mlflow'; allowed: tensorboard, wandb"):
        open_trackers(["mlflow"], tmp_path, {})
