"""The one door on the real sets, the guess of a format, and what `describe` says."""

import numpy as np
import pytest

from matjax.data.read import describe, guess, read


@pytest.fixture(scope="module")
def nbmotaw(shared_data):
    return read(shared_data / "nbmotaw" / "nbmotaw_pbe.extxyz.gz")


def test_nbmotaw_is_read_whole(nbmotaw):
    assert len(nbmotaw) == 5658 and not nbmotaw.metadata.set_aside
    groups, counts = np.unique(nbmotaw.domains["group"], return_counts=True)
    assert dict(zip(groups.tolist(), counts.tolist(), strict=True))["Multinary_Test"] == 16 and (counts == 658).sum() == 6
    multinary = nbmotaw.select(nbmotaw.domains["group"] == "Multinary_Test")
    assert {len(c) for c in multinary.crystals} == {128} and {len(set(c.numbers)) for c in multinary.crystals} == {4}
    per_atom = nbmotaw.labels["energy"] / [len(c) for c in nbmotaw.crystals]
    assert -13.0 < per_atom.min() and per_atom.max() < -9.0  # PBE totals of Nb -10.1, Mo -10.9, Ta -11.8, W -13.0 eV/atom
    assert all(f.shape == (len(c), 3) for f, c in zip(nbmotaw.labels["forces"], nbmotaw.crystals, strict=True))
    assert nbmotaw.metadata.reference == "functional" and nbmotaw.metadata.structures == "unrelaxed"


def test_nbmotaw_forces_add_up_to_nothing(nbmotaw):
    """A law of the labels: momentum is conserved, to VASP's own noise."""
    assert max(np.abs(f.mean(0)).max() for f in nbmotaw.labels["forces"]) < 0.01


def test_describe_says_what_came_in(nbmotaw):
    text = describe(nbmotaw)
    for words in (
        "5,658 crystals, 4 elements (Nb, Mo, Ta, W)",
        "2 to 128",
        "energy (eV): 5,658",
        "forces (eV/Å)",
        "group: 29 values",
        "structures unrelaxed",
    ):
        assert words in text
    assert "set aside" not in text


def test_matbench_moduli(shared_data):
    dataset = read(shared_data / "matbench" / "log_gvrh.json.gz", units={"log_gvrh": "log10(GPa)"})
    assert len(dataset) == 10_987 and list(dataset.labels) == ["log_gvrh"] and dataset.ids[0] == "0"
    assert dataset.metadata.units == {"log_gvrh": "log10(GPa)"}
    assert dataset.labels["log_gvrh"][0] == 1.4471580313422192


def test_matbench_phonons(shared_data):
    dataset = read(shared_data / "phonons" / "matbench_phonons.json.gz", name="phonons")
    assert len(dataset) == 1265 and list(dataset.labels) == ["last phdos peak"] and dataset.metadata.name == "phonons"


def test_union_of_many_properties_keeps_absent_values_absent(shared_data):
    dataset = read(shared_data / "materials_project" / "mp_union_compact.json.gz")
    assert len(dataset) == 6317
    present = {name: int(np.isfinite(column).sum()) for name, column in dataset.labels.items()}
    assert (present["gap_pbe"], present["gap_hse"], present["K_VRH"], present["e_form_exp"]) == (5505, 1672, 1181, 529)
    assert set(dataset.domains) >= {"crystal_system", "spacegroup", "formula", "sources"}
    assert "NaN read as absent: 88 of e_form_exp_unc" in dataset.metadata.notes
    assert dataset.metadata.units["e_form"] == "eV/atom" and dataset.metadata.units["gap_pbe"] == ""
    assert len(read(shared_data / "materials_project" / "mp_union_compact.json.gz", label="K_VRH")) == 1181


def test_flla_table_is_the_embedded_set(shared_data, flla):
    dataset = read(shared_data / "materials_project" / "flla_2015.csv.gz", label="formation_energy_per_atom")
    assert len(dataset) == len(flla) == 3938
    theirs = dict(zip(flla.ids, flla.labels["formation_energy_per_atom"], strict=True))
    ours = dict(zip(dataset.ids, dataset.labels["formation_energy_per_atom"], strict=True))
    assert ours.keys() == theirs.keys() and max(abs(ours[i] - theirs[i]) for i in ours) < 1e-5
    assert list(dataset.labels) == ["formation_energy_per_atom"] and "e_above_hull" in dataset.domains


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.xyz", "extxyz"),
        ("a.extxyz.gz", "extxyz"),
        ("a.db", "ase_db"),
        ("a.csv.bz2", "csv"),
        ("a.cif", "structures"),
        ("a.CIF", "structures"),
        ("POSCAR", "structures"),
        ("CONTCAR_7.gz", "structures"),
        ("x.vasp", "structures"),
        ("OUTCAR", "vasp"),
        ("OUTCAR.3.gz", "vasp"),
        ("vasprun.xml.xz", "vasp"),
    ],
)
def test_format_is_guessed_from_the_name(tmp_path, name, expected):
    assert guess(tmp_path / name)[0] == expected


def test_json_is_guessed_from_its_first_bytes_and_folders_from_their_files(tmp_path):
    (tmp_path / "records.json").write_text('[{"id": 1}]')
    (tmp_path / "table.json").write_text('{"columns": [], "data": []}')
    (tmp_path / "ase.json").write_text('{"1": {\n "cell": 0}}')
    assert [guess(tmp_path / f"{n}.json")[0] for n in ("records", "table", "ase")] == ["json", "json", "ase_db"]
    assert guess(tmp_path)[0] == "structures"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "OUTCAR.gz").touch()
    assert guess(tmp_path)[0] == "vasp"


def test_reading_twice_gives_the_same_content(flla, tmp_path, shared_data):
    path = shared_data / "phonons" / "matbench_phonons.json.gz"
    assert read(path).key == read(path).key
