"""Nequix weights in matjax's layers, against energies, forces and stress that the nequix package gave."""

import json
from pathlib import Path

import numpy as np
import pytest

import matjax
from matjax.training.nequix import load_nequix
from matjax.training.pretrained import NAMED, potential
from matjax.types import Crystal

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "nequix"
REFERENCE = Path(__file__).parent / "nequix_reference.json"
needs_weights = pytest.mark.skipif(not FOLDER.exists(), reason="the weights of Nequix are not beside the repository")


@pytest.fixture(scope="module")
def reference():
    return json.loads(REFERENCE.read_text())


@pytest.mark.slow
@needs_weights
def test_energies_forces_and_stress_are_those_of_the_nequix_package(reference):
    crystals = [Crystal(np.array(r["lattice"]), np.array(r["positions"]), np.array(r["numbers"])) for r in reference["crystals"]]
    said = load_nequix(FOLDER / f"{reference['model']}.nqx")(crystals, derivatives=("forces", "stress"))
    ends = np.cumsum([len(c) for c in crystals])[:-1]
    for row, energy, forces, stress in zip(
        reference["crystals"], said.samples[0], np.split(said.forces[0], ends), said.stress[0], strict=True
    ):
        np.testing.assert_allclose(energy, row["energy"] / len(row["numbers"]), atol=1e-5)
        np.testing.assert_allclose(forces, row["forces"], atol=1e-4)
        np.testing.assert_allclose(stress, row["stress"], atol=1e-5)


@needs_weights
@pytest.mark.parametrize("name", NAMED)
def test_every_named_file_loads_into_our_layers(name):
    loaded = potential(name, folder=FOLDER)
    assert len(loaded.supervision.elements) == 89
    assert loaded.model.cutoff == 6.0


@needs_weights
def test_the_package_has_a_door():
    assert matjax.potential is potential
    with pytest.raises(AttributeError, match="no attribute 'potentials'"):
        getattr(matjax, "potentials")  # noqa: B009


@needs_weights
def test_a_truncated_file_is_refused(tmp_path):
    whole = (FOLDER / "nequix-mp-1.nqx").read_bytes()
    for size in (len(whole) // 2, 100):
        (tmp_path / "cut.nqx").write_bytes(whole[:size])
        with pytest.raises(ValueError, match="cut.nqx"):
            load_nequix(tmp_path / "cut.nqx")
    with (FOLDER / "nequix-mp-1.nqx").open("rb") as file:
        file.readline()
        for _ in range(6):
            np.lib.format.read_array(file)
            (tmp_path / "cut.nqx").write_bytes(whole[: file.tell()])
            with pytest.raises(ValueError, match=r"cut\.nqx: the file is truncated"):
                load_nequix(tmp_path / "cut.nqx")
    (tmp_path / "long.nqx").write_bytes(whole + whole[whole.index(b"\n") + 1 :][:1000])
    with pytest.raises(ValueError, match=r"long\.nqx"):
        load_nequix(tmp_path / "long.nqx")


@needs_weights
def test_settings_that_our_layers_do_not_express_are_refused_by_name(tmp_path):
    whole = (FOLDER / "nequix-mp-1.nqx").read_bytes()
    end = whole.index(b"\n")
    config = json.loads(whole[:end])
    without = {name: value for name, value in config.items() if name != "cutoff"}
    for settings, words in (
        (config | {"index_weights": True}, "index_weights = True"),
        (config | {"hidden_irreps": "128x0e+64x1e+32x2e+32x3o"}, "hidden irreps 1e;"),
        (config | {"atomic_numbers": [*config["atomic_numbers"][:-1], 300]}, "IndexError"),
        (without, "KeyError.'cutoff'"),
    ):
        (tmp_path / "other.nqx").write_bytes(json.dumps(settings).encode() + whole[end:])
        with pytest.raises(ValueError, match=rf"other\.nqx: .*{words}"):
            load_nequix(tmp_path / "other.nqx")


def test_a_file_that_is_not_the_named_one_is_refused(tmp_path):
    (tmp_path / "nequix-mp-1.nqx").write_bytes(b"something else")
    with pytest.raises(ValueError, match="sha256"):
        potential("nequix-mp-1", folder=tmp_path)


def test_no_network_is_said_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(NAMED, "nequix-mp-1", NAMED["nequix-mp-1"]._replace(url="http://127.0.0.1:9/nequix-mp-1.nqx"))
    with pytest.raises(ConnectionError, match="put it at"):
        potential("nequix-mp-1", folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_download_is_checked_and_kept(tmp_path, monkeypatch):
    source = tmp_path / "there" / "nequix-mp-1.nqx"
    source.parent.mkdir()
    source.write_bytes(b"not the weights")
    monkeypatch.setitem(NAMED, "nequix-mp-1", NAMED["nequix-mp-1"]._replace(url=source.as_uri()))
    with pytest.raises(ValueError, match="try again"):
        potential("nequix-mp-1", folder=tmp_path / "here", report=lambda came, total: None)
    assert not list((tmp_path / "here").iterdir())


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="did you mean nequix-mp-1"):
        potential("nequix-mp1")
