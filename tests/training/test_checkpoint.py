"""A model file gives back the model, and everything that is no model file is refused by name."""

import dataclasses
import json
import os
import pickle
import zipfile

import jax
import numpy as np
import pytest
from ase.data import chemical_symbols
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from matjax.data import Random, Sizes
from matjax.nn import Equivariant
from matjax.training import GraphLearner
from matjax.training import checkpoint as module
from matjax.training.checkpoint import KEY, VERSION, describe_model, load_model, save_model

SETTINGS = {"learner": {"n_epoch": 1}, "note": "Å"}
EVIDENCE = {
    "error": np.array([0.1, -0.2, np.nan]),
    "domain": np.array(["oxide", "nitride", "oxide"]),
    "known": np.array([8, 22], np.int32),
    "single": np.float32(2.0),
}


@pytest.fixture(scope="module")
def visible(flla):
    split = next(Random(0.2, Sizes(max_train=12, validation=4.0, calibration=4.0))(flla.select(np.arange(40)), jax.random.key(0)))
    return split.visible()


@pytest.fixture(scope="module")
def predictor(visible):
    learner = GraphLearner(model=Equivariant(irreps="8x0e+8x1o", n_layer=1, variance=True), members=2, n_epoch=1, batch_size=6)
    return learner.fit(visible, jax.random.key(1))


@pytest.fixture
def file(predictor, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, predictor, EVIDENCE, SETTINGS)
    return path


def header_of(path):
    with safe_open(path, framework="numpy") as opened:
        return json.loads(opened.metadata()[KEY])


def rewritten(path, **changes):
    """The file with another header, arrays as they were, and the digest that belongs to it."""
    header = {**header_of(path), **changes}
    del header["digest"]
    arrays = load_file(path)
    save_file(arrays, path, {KEY: json.dumps({**header, "digest": module._digest(header, arrays)})})
    return path


def refusal(path, error=ValueError):
    """What loading says; it always names the file."""
    with pytest.raises(error) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_predictions_come_back_bit_for_bit(predictor, file, visible):
    loaded = load_model(file).predictor
    before, after = predictor(visible.calibration.crystals), loaded(visible.calibration.crystals)
    for name in ("samples", "noise", "features", "n_atom"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name), strict=True)
    assert (before.label, before.unit) == (after.label, after.unit)


def test_everything_else_comes_back(predictor, file):
    loaded, evidence, settings, versions = load_model(file)
    assert loaded.model == predictor.model and loaded.supervision == predictor.supervision
    assert loaded.shape == predictor.shape and loaded.history == predictor.history
    assert jax.tree.structure(loaded.params) == jax.tree.structure(jax.device_get(predictor.params))
    np.testing.assert_array_equal(loaded.references.energies, predictor.references.energies, strict=True)
    assert settings == SETTINGS and versions["jax"] == jax.__version__ and "matjax" in versions
    assert evidence is not None and evidence.keys() == EVIDENCE.keys()
    for name, column in EVIDENCE.items():
        np.testing.assert_array_equal(evidence[name], column)
        assert evidence[name].dtype.kind == column.dtype.kind


def test_the_header_says_what_supervised_the_model(file, visible):
    taught = header_of(file)["supervision"]
    assert taught["has"] == ["energy"] and taught["structures"] == "relaxed" and taught["reference"] == "elements"
    assert taught["unit"] == "eV/atom" and taught["functional"].startswith("PBE") and taught["data"] == visible.train.key


def test_no_evidence_and_empty_evidence_are_told_apart(predictor, tmp_path):
    for evidence in (None, {}):
        save_model(tmp_path / "m.safetensors", predictor, evidence, {})
        assert load_model(tmp_path / "m.safetensors").evidence == evidence


def test_a_failed_save_leaves_the_file_before(predictor, file, monkeypatch):
    before = file.read_bytes()
    monkeypatch.setattr(module.os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_model(file, predictor, None, {})
    assert file.read_bytes() == before and os.listdir(file.parent) == [file.name]


def test_a_model_that_is_not_finite_is_not_saved(predictor, tmp_path):
    broken = dataclasses.replace(predictor, params=jax.tree.map(lambda x: np.full_like(x, np.nan), predictor.params))
    with pytest.raises(ValueError, match="params/.* not finite"):
        save_model(tmp_path / "m.safetensors", broken, None, {})
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert "truncated or damaged" in refusal(file)


def test_every_damaged_byte_is_found(file):
    content = file.read_bytes()
    for place in np.random.default_rng(0).integers(8, len(content), 60):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        refusal(file)


def test_missing_empty_and_folder(file):
    assert "no such model file" in refusal(file.with_name("absent.safetensors"), FileNotFoundError)
    assert f"did you mean {file}?" in refusal(file.parent)
    file.write_bytes(b"")
    assert "is empty" in refusal(file)


def test_foreign_files_are_refused_in_their_own_words(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"weight": np.zeros(3)}, path, {"format": "pt"})
    assert "no model of matjax (its metadata say format 'pt')" in refusal(path)
    save_file({"weight": np.zeros(3)}, path)
    assert "no model of matjax" in refusal(path)
    path.write_bytes(pickle.dumps({"weight": np.zeros(3)}))
    assert "pickle" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02")
    assert "pickle" in refusal(path)
    path.write_text("\n<!DOCTYPE html><html>Not Found</html>")
    assert "web page" in refusal(path)
    path.write_text("Cu 0 0 0\n" * 20)
    assert "is not a model file" in refusal(path)


def test_a_newer_format_asks_for_a_newer_matjax(file):
    assert "install a newer matjax" in refusal(rewritten(file, version=VERSION + 1))


def test_a_pickle_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "bang"),)

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    refusal(path)
    assert not (tmp_path / "bang").exists()


def test_a_header_of_other_settings_is_refused(file):
    model = header_of(file)["model"] | {"depth": 3}
    assert "model.depth is not a setting" in refusal(rewritten(file, model=model))
    assert "header" in refusal(rewritten(file, version="new"))


def test_equal_models_are_equal_files(predictor, file, tmp_path):
    for k in range(5):
        save_model(tmp_path / f"{k}.safetensors", predictor, EVIDENCE, SETTINGS)
        assert (tmp_path / f"{k}.safetensors").read_bytes() == file.read_bytes()


def test_the_header_alone_describes_the_model(predictor, file, visible):
    said = describe_model(file)
    symbols = {chemical_symbols[z] for c in visible.train.crystals for z in c.numbers}
    assert set(said["elements"]) == symbols and said["cutoff"] == predictor.model.cutoff and said["format"] == VERSION
    assert said["label"] == "formation_energy_per_atom" and said["unit"] == "eV/atom" and said["units"]["forces"] == "eV/Å"
    assert said["n_train"] == len(visible.train) and said["data"] == visible.train.key and said["settings"] == SETTINGS


def test_describing_reads_no_array(file, tmp_path):
    """A file whose arrays are garbage of the right length is described, and refused where its arrays are needed."""
    content = bytearray(file.read_bytes())
    content[-200:] = bytes(200)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(content)
    assert describe_model(broken) == describe_model(file)
    assert "damaged" in refusal(broken)
    for error, path in ((FileNotFoundError, tmp_path / "none"), (ValueError, tmp_path)):
        with pytest.raises(error, match=str(path)):
            describe_model(path)


def test_an_older_format_is_migrated_step_by_step_or_refused(file, predictor, monkeypatch):
    monkeypatch.setattr(module, "VERSION", VERSION + 2)
    assert "no longer reads: open it with matjax" in refusal(file)
    renamed = lambda header: {**{k: v for k, v in header.items() if k != "settings"}, "options": header["settings"]}
    back = lambda header: {**header, "settings": {**header["options"], "migrated": True}}
    monkeypatch.setattr(module, "MIGRATIONS", {VERSION: renamed, VERSION + 1: back})
    assert load_model(file).settings == {**SETTINGS, "migrated": True}
    assert describe_model(file)["format"] == VERSION + 2


def test_settings_that_a_file_lacks_are_defaults_and_those_that_it_has_too_many_are_named(file):
    header = header_of(file)
    fewer = {name: value for name, value in header["model"].items() if name != "learned"}
    assert load_model(rewritten(file, model=fewer)).predictor.model == Equivariant(irreps="8x0e+8x1o", n_layer=1, variance=True)
    assert "model.flux is not a setting of equivariant" in refusal(rewritten(file, model={**header["model"], "flux": 1}))
