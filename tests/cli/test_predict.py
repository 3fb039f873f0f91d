"""`matjax predict` on files of real crystals: rows that agree with the model, and input that is no gift."""

import csv
import dataclasses
import io
import json

import ase.build
import ase.io
import jax
import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from matjax.cli.predict import predict
from matjax.cli.predict_run import _acceptable, _heads, answer, load_trusted, read_inputs, show
from matjax.data import Random, Sizes
from matjax.data.convert import to_ase
from matjax.nn import Equivariant, Head
from matjax.toml import to_dict
from matjax.training import GraphLearner
from matjax.training.checkpoint import save_model
from matjax.training.supervision import target_per_atom
from matjax.types import Prediction
from matjax.uncertainty.cross_fit import CrossFit
from matjax.uncertainty.trust import Trust


@pytest.fixture(scope="module")
def small(flla):
    return flla.select([i for i, c in enumerate(flla.crystals) if len(c) <= 8][:60])


@pytest.fixture(scope="module")
def model(small, tmp_path_factory):
    """A tiny ensemble with intervals of both kinds; the leave-domain-out errors are its calibration errors, enlarged."""
    split = next(Random(0.1, Sizes(validation=5.0, calibration=25.0, target=0.0, test_inside=0.0))(small, jax.random.key(0)))
    network = Equivariant(irreps="8x0e+8x1o", n_layer=1)
    predictor = GraphLearner(network, members=2, n_epoch=1, batch_size=8).fit(split.visible(), jax.random.key(1))
    said = predictor(split.calibration.crystals)
    error = said.mean - target_per_atom(split.calibration, "formation_energy_per_atom")
    cross = CrossFit(3 * error, np.resize(np.array(["oxide", "nitride"]), len(error)), 1 + np.abs(error))
    trust = Trust(level=0.8).fit(predictor(split.train.crystals), said, error, split.train, cross)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, predictor, trust.evidence, {"train": {"trust": to_dict(trust.settings)}})
    return path


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    """Five CIF files, tables beside them that name none of them, and a file that is no CIF."""
    path = tmp_path_factory.mktemp("cifs")
    for name, crystal in zip(small.ids[:5], small.crystals[:5], strict=True):
        ase.io.write(path / f"{name}.cif", to_ase(crystal))
    (path / "bad.cif").write_text("nothing of the kind")
    for table in ("predictions.csv", "other.csv"):
        (path / table).write_text("name,value\nx,1\n")
    return path


def run(*arguments):
    """The command as a user types it."""
    app = typer.Typer()
    app.command("predict")(predict)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_rows_are_what_model_and_trust_say(model, folder, small, tmp_path):
    result = run(model, folder, "--out", tmp_path / "p.csv", "--json")
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout)
    rows = sorted(found["rows"], key=lambda row: small.ids.index(row["record"]))
    predictor, trust = load_trusted(model)
    said = predictor(read_inputs([str(folder)]).crystals)
    assert trust is not None
    judged = trust(said, read_inputs([str(folder)]).crystals)
    assert judged.half_width_outside is not None
    order = np.argsort([small.ids.index(row["record"]) for row in found["rows"]])
    for name, column in {
        "mean": said.mean,
        "std": judged.std,
        "half_width": judged.half_width,
        "half_width_ldo": judged.half_width_outside,
    }.items():
        assert [row[name] for row in rows] == list(column[order])
    assert [row["mean"] for row in rows] == pytest.approx(predictor(small.crystals[:5]).mean, abs=1e-3)  # CIF rounds positions
    assert [row["flag"] for row in rows] == list(judged.flag[order]) and found["level"] == 0.8
    assert found["label"] == "formation_energy_per_atom" and found["unit"] == "eV/atom"
    with (tmp_path / "p.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [float(row["mean"]) for row in written] == [row["mean"] for row in found["rows"]]
    assert {row["unit"] for row in written} == {"eV/atom"} and [row["formula"] for row in written] == [
        row["formula"] for row in found["rows"]
    ]


def test_a_bad_file_is_set_aside_and_said(model, folder):
    result = run(model, folder)
    assert result.exit_code == 0 and f"set aside: {folder}: bad: bad.cif" in result.stderr and "set aside" not in result.stdout
    assert [record for _, record, _ in read_inputs([str(folder)]).set_aside] == ["bad"]
    both = read_inputs([str(folder / "bad.cif"), str(folder)])
    assert len(both.crystals) == 5 and [file for file, *_ in both.set_aside] == [str(folder / "bad.cif"), str(folder)]


def test_nothing_usable_is_an_error(model, folder):
    bad = str(folder / "bad.cif")
    with pytest.raises(ValueError, match="bad.cif: no usable record"):
        read_inputs([bad])
    with pytest.raises(ValueError, match="none of the 2 files can be used; the first: .*bad.cif"):
        read_inputs([bad, bad])
    assert isinstance(run(model, folder / "absent.cif").exception, FileNotFoundError)
    assert isinstance(run(folder / "absent.safetensors", folder).exception, FileNotFoundError)


def test_labels_of_the_files_are_not_looked_at(small, tmp_path):
    """NaN energies, absurd formation energies and units do not matter to who only wants a prediction."""
    frames = [to_ase(c) for c in small.crystals[:2]]
    for frame in frames:
        frame.info = {"energy": float("nan"), "formation_energy_per_atom": -4e4}
    ase.io.write(tmp_path / "frames.extxyz", frames)
    given = read_inputs([str(tmp_path / "frames.extxyz")])
    assert [row["record"] for row in given.rows] == ["frame 0", "frame 1"] and not given.set_aside
    assert [row["n_atom"] for row in given.rows] == [len(c) for c in small.crystals[:2]]


def test_an_embedded_set_is_named_like_a_file():
    assert len(read_inputs(["flla"]).crystals) == 3938


def test_an_element_that_training_never_saw_is_flagged(model, small, tmp_path):
    ase.io.write(tmp_path / "new.extxyz", [ase.build.bulk("Xe", "fcc", a=6.2), to_ase(small.crystals[0])])
    result = run(model, tmp_path / "new.extxyz", "--json")
    first, second = json.loads(result.stdout)["rows"]
    assert first["flag"] and "Xe never seen in training" in first["reason"] and "Xe" not in second["reason"]
    assert "of 2" in run(model, tmp_path / "new.extxyz").stdout


def test_crystals_that_the_model_cannot_take_are_set_aside(model, small):
    predictor, _ = load_trusted(model)
    table = dataclasses.replace(predictor, model=predictor.model.clone(embedding="table"))  # as if it had learned a row per element
    given = dataclasses.replace(read_inputs(["flla"]), rows=read_inputs(["flla"]).rows[:3])
    first, last, *_ = [c for c in small.crystals if set(c.numbers) <= set(predictor.supervision.elements)]
    xenon = dataclasses.replace(first, numbers=np.full(len(first), 54))
    mixed = dataclasses.replace(given, crystals=(first, xenon, last))
    kept = _acceptable(table, mixed)
    assert [*map(id, kept.crystals)] == [id(first), id(last)] and kept.rows == (given.rows[0], given.rows[2])
    ((file, record, reason),) = kept.set_aside
    assert (file, record) == ("flla", given.rows[1]["record"]) and reason.startswith("has Xe, which")
    with pytest.raises(ValueError, match="none of the 1 crystals; the first: flla: .* has Xe"):
        _acceptable(table, dataclasses.replace(given, crystals=(xenon,), rows=given.rows[:1]))


def test_a_misspelt_potential_is_answered_with_the_closest_name(folder):
    error = run("--model", "nequix-oam1", folder).exception
    assert isinstance(error, ValueError) and "did you mean nequix-oam-1" in str(error)


def test_derivatives_of_an_energy_model_are_refused_before_anything_is_read(model):
    error = run(model, "no such file", "--derivatives").exception
    assert isinstance(error, ValueError) and "forces refused" in str(error) and "trained on energy of relaxed structures" in str(error)


def test_derivatives_are_the_models(model, small):
    """The same network, as if it had been trained on forces: means over members, the largest force, its spread."""
    predictor, trust = load_trusted(model)
    taught = dataclasses.replace(predictor.supervision, has=("energy", "forces"))
    predictor = dataclasses.replace(predictor, supervision=taught)
    given = dataclasses.replace(read_inputs(["flla"]), crystals=small.crystals[:3], rows=read_inputs(["flla"]).rows[:3])
    rows = answer(predictor, trust, given, derivatives=True).rows
    for row, crystal in zip(rows, small.crystals[:3], strict=True):
        alone = predictor([crystal], derivatives=("forces",)).forces
        assert alone is not None
        np.testing.assert_allclose(row["forces"], alone.mean(0), atol=2e-4)
        sizes = np.linalg.norm(alone.mean(0), axis=1)
        assert row["max_force"] == pytest.approx(sizes.max(), abs=2e-4) and "stress" not in row
        if sizes.max() > 1e-3:
            spread = np.linalg.norm(alone.std(0, ddof=1)[sizes.argmax()])
            assert row["max_force_std"] == pytest.approx(spread, abs=1e-3)


def test_heads_are_told_per_crystal_and_per_atom():
    draw = np.random.default_rng(0)
    said = {"gap": draw.normal(size=(2, 2)), "charge": draw.normal(size=(2, 5))}
    prediction = Prediction(draw.normal(size=(2, 2)), n_atom=np.array([2, 3]), heads=said)
    found = _heads(prediction, (Head("gap"), Head("charge", per="atom"), Head("untrained")))
    assert set(found) == {"head_gap", "head_charge"} and np.array_equal(found["head_gap"], said["gap"].mean(0))
    assert [len(x) for x in found["head_charge"]] == [2, 3] and found["head_charge"][1][2] == said["charge"][:, 4].mean()


def test_a_model_without_calibration_gives_plain_values(model, folder, tmp_path):
    predictor, _ = load_trusted(model)
    save_model(tmp_path / "plain.safetensors", predictor, None, {})
    result = run(tmp_path / "plain.safetensors", folder)
    assert result.exit_code == 0 and "without intervals" in result.stdout and "±" not in result.stdout
    found = json.loads(run(tmp_path / "plain.safetensors", folder, "--json").stdout)
    assert found["level"] is None and "half_width" not in found["rows"][0] and "flag" not in found["rows"][0]


@pytest.mark.parametrize("name, words", [("p.xlsx", "written as .csv or .json"), ("no/folder/p.csv", "there is no folder")])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path, name, words):
    error = run("absent.safetensors", "absent.cif", "--out", tmp_path / name).exception
    assert isinstance(error, ValueError) and words in str(error)


def test_the_table_shows_names_as_they_are_and_infinite_widths(model, small):
    predictor, trust = load_trusted(model)
    given = read_inputs(["flla"])
    rows = tuple({**row, "record": f"[bold]{k}"} for k, row in enumerate(given.rows[:60]))
    found = answer(predictor, trust, dataclasses.replace(given, crystals=small.crystals, rows=rows))
    found = dataclasses.replace(found, rows=({**found.rows[0], "half_width_ldo": None}, *found.rows[1:]))
    console = Console(file=io.StringIO(), width=160)
    show(console, found)
    text = console.file.getvalue()
    assert "[bold]49" in text and "[bold]50" not in text and "10 more" in text and "∞" in text
    assert f"±: {trust.interval.guarantee}" in text
