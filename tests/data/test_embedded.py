"""The embedded set against its source, and loading by name."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from matjax.data import embedded, load
from matjax.types import Dataset


def test_flla_is_what_it_says(flla: Dataset) -> None:
    assert len(flla) == 3938
    assert sum(len(crystal) for crystal in flla.crystals) == 46488
    assert len({int(z) for crystal in flla.crystals for z in crystal.numbers}) == 86
    assert set(flla.labels) == set(flla.metadata.units) == {"formation_energy_per_atom", "energy_above_hull"}
    assert all(np.isfinite(column).all() for column in flla.labels.values())
    assert "10.1002/qua.24917" in flla.metadata.citation and flla.metadata.license == "CC BY 4.0"
    assert "correction" in flla.metadata.notes


def test_energies_above_hull_are_not_negative_and_elements_on_the_hull_have_no_formation_energy(flla: Dataset) -> None:
    above = flla.labels["energy_above_hull"]
    assert above.min() >= 0
    elemental = np.array([len(set(crystal.numbers.tolist())) == 1 for crystal in flla.crystals])
    np.testing.assert_allclose(flla.labels["formation_energy_per_atom"][elemental], above[elemental], atol=1e-6)


def test_flla_matches_the_joined_table(flla: Dataset, shared_data: Path) -> None:
    with gzip.open(shared_data / "materials_project" / "mp_union_compact.json.gz") as stream:
        joined = {row["material_id"]: row for row in json.load(stream)}
    rows = [joined[name] for name in flla.ids]
    np.testing.assert_array_equal(flla.labels["formation_energy_per_atom"], [row["e_form_flla"] for row in rows])
    np.testing.assert_array_equal(flla.labels["energy_above_hull"], [row["e_above_hull"] for row in rows])
    for crystal, row in zip(flla.crystals, rows, strict=True):
        assert crystal.numbers.tolist() == row["Z"]
        np.testing.assert_allclose(crystal.lattice, row["lattice"], atol=1e-5)
        difference = crystal.positions @ np.linalg.inv(crystal.lattice) - np.array(row["frac"])
        np.testing.assert_allclose(difference - np.round(difference), 0, atol=1e-5)
    agree = np.mean(flla.domains["space_group"] == [row["spacegroup"] for row in rows])
    assert agree > 0.98  # the joined table holds the Materials Project's later symmetry analysis


def test_loading_twice_gives_the_same_content(flla: Dataset) -> None:
    again = load("flla")
    assert again.key == flla.key
    assert [crystal.key for crystal in again.crystals[:100]] == [crystal.key for crystal in flla.crystals[:100]]


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'flla'"):
        load("fllla")


def test_a_named_set_takes_no_reader_options() -> None:
    with pytest.raises(ValueError, match="with a path only"):
        load("flla", label="energy")


def test_a_path_is_read(tmp_path: Path, flla: Dataset) -> None:
    crystal = flla.crystals[0]
    atoms = Atoms(crystal.numbers, positions=crystal.positions, cell=crystal.lattice, pbc=True)
    atoms.info["energy"] = -9.5
    write(tmp_path / "one.extxyz", atoms)
    dataset = load(tmp_path / "one.extxyz")
    assert dataset.crystals[0].numbers.tolist() == crystal.numbers.tolist()
    assert dataset.labels["energy"].tolist() == [-9.5]


def test_every_named_set_has_metadata() -> None:
    for name, build in embedded.NAMED.items():
        metadata = build().metadata
        assert metadata.name == name and metadata.citation and metadata.license and metadata.units
