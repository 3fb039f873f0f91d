"""`matjax train` on a file of real crystals: what it writes, how it goes on after a stop, what it refuses."""

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import jax
import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from matjax.cli.predict_run import load_trusted
from matjax.cli.train import train
from matjax.cli.train_run import QUICK, TrainConfig, _units, label_to_learn, train_model
from matjax.cli.train_view import TrainView, show, suspicious
from matjax.data.convert import to_ase
from matjax.data.read import read
from matjax.nn import GeometryTensor
from matjax.nn.head import Head
from matjax.override import override
from matjax.toml import from_toml, to_toml
from matjax.training.checkpoint import load_model

LABEL = "formation_energy_per_atom"
TINY = (
    "learner.model.irreps=8x0e+8x1o",
    "learner.model.n_layer=1",
    "learner.members=2",
    "learner.n_epoch=2",
    "learner.batch_size=8",
    "calibration=20",
    "validation=5",
    "test=6",
    "leave_out=half",
)


@pytest.fixture(scope="module")
def data(flla, tmp_path_factory) -> Path:
    """Sixty small crystals in two groups, and one without the label."""
    path = tmp_path_factory.mktemp("data") / "crystals.extxyz"
    rows = [i for i, c in enumerate(flla.crystals) if len(c) <= 8][:61]
    frames = [to_ase(flla.crystals[i]) for i in rows]
    for k, (frame, i) in enumerate(zip(frames, rows, strict=True)):
        frame.info = {"id": flla.ids[i], "half": "ab"[k % 2]} | ({LABEL: float(flla.labels[LABEL][i])} if k < 60 else {})
    ase.io.write(path, frames)
    return path


@pytest.fixture(scope="module")
def config(data) -> TrainConfig:
    return override(TrainConfig(data=str(data)), TINY)


def run(*arguments: object):
    """The command as a user types it."""
    app = typer.Typer()
    app.command("train")(train)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def command(data, out, *more):
    settings = [text for setting in TINY for text in ("--set", setting)]
    return run("--data", data, "--out", out, *settings, *more)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "whole"
    result = command(data, out)
    assert result.exit_code == 0, result.exception
    return out, result.output


def refusal(*arguments) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, ValueError), result.output
    return str(result.exception)


def test_a_run_leaves_model_settings_and_history(finished, config):
    out, output = finished
    assert from_toml(out / "config.toml", TrainConfig) == config
    rows = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [(r["fit"], r["epoch"]) for r in rows] == [(fit, e) for fit in ("ensemble", "leave-domain-out") for e in (1, 2)]
    assert all(r["unit"] == "eV/atom" and np.isfinite(r["validation"]) for r in rows)
    for words in ("60 crystals with formation_energy_per_atom: 29 train, 5 validate, 20 calibrate, 6 test", "epoch 2 of 2", "(half)"):
        assert words in output
    assert f"next: matjax predict {out}/model.safetensors FILES" in output


def test_what_is_printed_is_what_the_model_does(finished, config):
    """The numbers of the summary, once more from the file and the data."""
    out, output = finished
    checkpoint, (predictor, trust) = load_model(out / "model.safetensors"), load_trusted(out / "model.safetensors")
    measured, test = checkpoint.settings["measured"], config.split(config.load()[0]).test_outside
    said, target = predictor(test.crystals), test.labels[LABEL]
    assert measured["mae_test"] == pytest.approx(np.mean(np.abs(said.mean - target)), rel=1e-9)
    assert trust is not None
    judged = trust(said, test.crystals)
    assert judged.half_width_outside is not None
    assert measured["coverage"] == np.mean([abs(m - t) <= w for m, t, w in zip(said.mean, target, judged.half_width, strict=True)])
    assert measured["half_width_ldo"] == pytest.approx(np.median(judged.half_width_outside))
    assert f"cover {100 * measured['coverage']:.0f}%" in output
    rows = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    validation = config.split(config.load()[0]).validation
    best = min(r["validation"] for r in rows if r["fit"] == "ensemble")
    assert np.mean(np.abs(predictor(validation.crystals).mean - validation.labels[LABEL])) == pytest.approx(best, rel=1e-4)


def test_the_parts_share_no_crystal_and_know_no_unlabelled_one(config, data):
    split = config.split(config.load()[0])
    parts = [set(part.ids) for part in (split.train, split.validation, split.calibration, split.test_outside)]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 60 and len(read(data)) == 61


def test_the_same_command_again_trains_nothing_and_changes_nothing(finished, data):
    out, _ = finished
    before = {name: (out / name).read_bytes() for name in ("model.safetensors", "history.jsonl")}
    result = command(data, out)
    assert result.exit_code == 0 and "epoch 1 of" not in result.output
    assert {name: (out / name).read_bytes() for name in before} == before


def test_other_settings_or_data_do_not_mix_with_a_run(finished, data):
    out, _ = finished
    assert "other settings" in str(command(data, out, "--seed", 7).exception)
    assert "other settings" in str(run("--out", out, "--quick").exception)


@pytest.mark.parametrize("stop", [("ensemble", 1), ("leave-domain-out", 1)], ids=["first fit", "second fit"])
def test_a_stop_after_an_epoch_costs_nothing(finished, config, tmp_path, stop):
    def tell(row):
        if (row["fit"], row["epoch"]) == stop:
            raise KeyboardInterrupt

    dataset, label = config.load()
    with pytest.raises(KeyboardInterrupt):
        train_model(config, dataset, label, tmp_path, tell)
    assert not (tmp_path / "model.safetensors").exists()
    told = []
    train_model(config, dataset, label, tmp_path, told.append)
    assert (told[0]["fit"], told[0]["epoch"]) == (stop[0], stop[1] + 1)
    assert_same_model(tmp_path, finished[0])
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 4


def assert_same_model(a: Path, b: Path) -> None:
    """Equal weights, evidence and results, bit for bit."""
    one, two = (load_model(out / "model.safetensors") for out in (a, b))
    jax.tree.map(np.testing.assert_array_equal, one.predictor.params, two.predictor.params)
    assert one.evidence is not None and two.evidence is not None
    for name, column in one.evidence.items():
        np.testing.assert_array_equal(column, two.evidence[name])
    assert one.settings["measured"] == two.settings["measured"]


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_the_same_command_finishes(data, tmp_path):
    code = (
        "import signal, typer; from matjax.cli.train import train;"
        "signal.signal(signal.SIGINT, signal.default_int_handler); typer.run(train)"
    )
    settings = [text for setting in (*TINY, "learner.n_epoch=40") for text in ("--set", setting)]
    repository = Path(__file__).parents[2]

    def start(out):
        arguments = [sys.executable, "-c", code, "--data", str(data), "--out", str(out), *settings]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=repository, env=os.environ)

    with start(tmp_path / "cut") as cut, start(tmp_path / "whole") as whole:
        while cut.poll() is None and not (tmp_path / "cut" / "history.jsonl").exists():
            time.sleep(0.05)
        cut.send_signal(signal.SIGINT)
        said, _ = cut.communicate(timeout=120)
        assert cut.returncode == 130 and "the same command goes on" in said and "Traceback" not in said, said
        assert not (tmp_path / "cut" / "model.safetensors").exists()
        with start(tmp_path / "cut") as again:
            said, _ = again.communicate(timeout=300)
        assert again.returncode == 0 and "ensemble: epoch 1 of 40" not in said, said
        said, _ = whole.communicate(timeout=300)
        assert whole.returncode == 0 and "ensemble: epoch 1 of 40" in said, said
    assert_same_model(tmp_path / "cut", tmp_path / "whole")


def test_settings_come_from_file_then_quick_then_options_then_set(tmp_path):
    printed = run("--quick", "--seed", 3, "--set", "learner.n_epoch=9", "--print-config")
    (tmp_path / "mine.toml").write_text(printed.output)
    expected = dataclasses.replace(override(override(TrainConfig(), QUICK), ["learner.n_epoch=9"]), seed=3)
    assert from_toml(tmp_path / "mine.toml", TrainConfig) == expected
    assert run(tmp_path / "mine.toml", "--print-config").output == printed.output
    again = run(tmp_path / "mine.toml", "--quick", "--label", "x", "--units", "x=Ha", "--print-config").output
    assert from_toml(again, TrainConfig) == dataclasses.replace(override(expected, QUICK), label="x", units=("x=Ha",))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--set", "learner.n_epochs=3"], "did you mean 'n_epoch'"),
        (["--set", "calibration=10"], "need at least 19; raise `calibration`"),
        (["--set", "leave_out=anoin"], "did you mean 'anion'"),
        (["--set", "leave_out=composition"], "leave_out=none does without"),
        (["--set", "learner.n_epoch=0"], "learner.n_epoch is 0"),
        (["--set", "learner.use_target=true"], "unlabelled crystals"),
        (["--set", "learner.model.charge=true"], "use GraphLearner.fit in Python"),
        (["--set", "learner.fidelity=functional"], "use GraphLearner.fit in Python"),
        (["--label", "gap"], "no label 'gap'"),
        (["--data", "fla"], "did you mean 'flla'"),
        (["--data", "flla", "--units", "energy"], "not of the form label=unit"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(arguments, words, tmp_path):
    assert words in refusal(*arguments, "--out", tmp_path / "run", "--set", "max_train=40")
    assert not list(tmp_path.rglob("ensemble"))


def test_an_element_that_a_table_cannot_learn_is_refused_before_the_fit(config, data, tmp_path):
    frames = ase.io.read(data, ":")[:60]
    stranger = config.split(config.load()[0]).validation.ids[0]
    next(frame for frame in frames if frame.info["id"] == stranger).numbers[0] = 54
    ase.io.write(tmp_path / "strange.extxyz", frames)
    plain = override(config, [f"data={tmp_path / 'strange.extxyz'}"])
    table = override(plain, ["learner.model.embedding=table"])
    dataset, label = table.load()
    with pytest.raises(ValueError, match=f"validation crystals .*{stranger}.* have .*Xe.*embedding='table'"):
        train_model(table, dataset, label, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert stranger in plain.split(dataset).validation.ids  # physical descriptors represent it


def test_labels_of_heads_are_not_learned_twice_and_not_alone(flla, config):
    head = Head("formation_energy_per_atom")
    learner = dataclasses.replace(config.learner, model=config.learner.model.clone(heads=(head,)))
    some = dataclasses.replace(flla.select(np.arange(3)), labels={LABEL: np.zeros(3), "gap": np.ones(3)})
    assert label_to_learn(some, learner) == "gap"
    with pytest.raises(ValueError, match=r"a model of heads alone is trained in Python: GraphLearner\.fit"):
        label_to_learn(dataclasses.replace(some, labels={LABEL: np.zeros(3)}), learner)


def test_a_named_label_brings_the_labels_of_heads_along(flla, tmp_path):
    frames = [to_ase(crystal) for crystal in flla.crystals[:4]]
    for k, frame in enumerate(frames):
        frame.info = {LABEL: -0.5 * k, "gap": 1.5 * k, "density": 2.5 * k}
    ase.io.write(tmp_path / "two.extxyz", frames)
    config = TrainConfig(data=str(tmp_path / "two.extxyz"), label=LABEL)
    assert list(config.load()[0].labels) == [LABEL]
    dataset, label = override(config, ['learner.model.heads=[{name="gap", unit="eV"}]']).load()
    assert label == LABEL and set(dataset.labels) == {LABEL, "gap"}


TENSOR = ("learner.model.kind=geometry_tensor", "learner.model.n_channel=8", "learner.model.hidden=8")


def test_settings_name_a_geometry_tensor(config):
    small = override(config, TENSOR)
    assert small.learner.model == GeometryTensor(n_channel=8, hidden=8) and from_toml(to_toml(small), TrainConfig) == small
    with pytest.raises(ValueError, match=r"learner.model: kind is missing \(n_channel .*, the default\); allowed: equivariant, geom"):
        from_toml("learner.model.n_channel = 8", TrainConfig)


@pytest.mark.slow
def test_a_geometry_tensor_is_trained_by_name(config, tmp_path):
    small = override(config, [*TENSOR, "leave_out=none", "learner.n_epoch=1", "learner.members=1"])
    dataset, label = small.load()
    predictor = load_model(train_model(small, dataset, label, tmp_path / "run").path).predictor
    assert isinstance(predictor.model, GeometryTensor) and predictor.model.n_channel == 8
    assert np.isfinite(predictor(dataset.crystals[:3]).mean).all()


def test_units_are_named_by_label():
    assert _units(("energy=Ha", "stress = GPa")) == {"energy": "Ha", "stress": "GPa"} and _units(()) == {}


def test_the_left_out_column_is_one_that_tells_domains_apart(flla, config):
    assert TrainConfig().column(flla) == "anion"
    oxides = flla.select(np.array([8 in c.numbers for c in flla.crystals]))
    assert TrainConfig().column(oxides) == "n_elements"
    assert override(TrainConfig(), ["learner.domain=crystal_system"]).column(oxides) == "crystal_system"
    alike = dataclasses.replace(oxides.select(np.arange(15)), domains={})
    assert TrainConfig().column(alike) is None and TrainConfig(leave_out="none").column(flla) is None
    assert TrainConfig(leave_out="elements").column(flla) == "elements"


def test_a_model_that_loses_to_composition_says_so(finished, config):
    out, _ = finished
    predictor, trust = load_trusted(out / "model.safetensors")
    measured = load_model(out / "model.safetensors").settings["measured"]
    for mae, loses in ((9.0, True), (0.0, False)):
        console = Console(file=io.StringIO(), width=100)
        show(console, type("Trained", (), dict(measured=measured | {"mae_test": mae}, predictor=predictor, path=out, trust=trust)))
        assert ("composition alone is better" in console.file.getvalue()) == loses


def test_time_left_leaves_the_compilation_out():
    view = TrainView(Console(file=io.StringIO()), fits=2, n_epoch=10)
    row = {"fit": "ensemble", "n_epoch": 10, "risk": 0.1, "validation": 0.2, "unit": "eV", "last": False}
    row |= {"crystals_per_second": 1234.5, "skipped": 0, "culprit": None}
    for epoch, seconds, words in ((1, 60.0, "at most 19:00 left"), (2, 3.0, "00:54 left"), (3, 5.0, "01:08 left")):
        view({**row, "epoch": epoch, "seconds": seconds})
        assert view.console.file.getvalue().splitlines()[-1].endswith(words)
    assert "1,234 crystals/s" in view.console.file.getvalue()
    view({**row, "epoch": 4, "seconds": 4.0, "skipped": 2, "culprit": "mp-7"})
    assert "ensemble: 2 updates of epoch 4 were skipped by mp-7" in view.console.file.getvalue()
    view({**row, "epoch": 5, "seconds": 4.0, "last": True})  # stopped early: the second fit remains
    assert view.console.file.getvalue().splitlines()[-1].endswith("00:40 left")


def test_suspicious_labels_are_listed_and_many_are_counted():
    assert suspicious([]) == []
    lines = suspicious([(f"mp-{i}", "far") for i in range(1200)])
    assert lines[0].startswith("1,200 training labels look wrong") and lines[1] == "  mp-0: far"
    assert len(lines) == 7 and lines[-1] == "  and 1,195 more"


def test_the_command_is_imported_without_jax():
    code = "import sys, matjax.cli.train, matjax.cli.predict; assert not {'jax', 'numpy', 'ase'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
