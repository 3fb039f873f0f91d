"""Files of a campaign, read back by other programs."""

import csv
import json
import sqlite3

import ase.db
import ase.io
import jax
import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers
from pymatgen.core import Structure

from matjax.campaign import FORMATS, discover, export, read_measured, read_trace, write_candidates, write_structures
from matjax.campaign.store import FILE
from matjax.value.acquisition import Thompson
from matjax.value.proposers import Random
from tests.campaign.tiny import ELEMENTS, Tiny, Unruly


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    oracle = Unruly(str(folder), str(folder), (("Ag Cu", "transform", 1000),))
    limits = {"budget": 6, "batch": 3, "pool": 10}
    trace = discover(Tiny(), oracle, Random(), Thompson(), **limits, run_dir=folder / "run", key=jax.random.key(0))
    assert {row["status"] for row in trace.rows} == {"converged", "transformed"}
    return folder / "run"


def test_the_trace_is_strict_json_with_null_for_what_is_missing(run_dir):
    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    rows = [json.loads(line, parse_constant=refuse) for line in (run_dir / "trace.jsonl").read_text().splitlines()]
    assert rows == list(read_trace(run_dir).rows) and len({tuple(row) for row in rows}) == 1
    assert rows[0]["gibbs_mixing"] is None and rows[0]["evidence"]["max_force"] >= 0
    assert all(sum(row["composition"].values()) == pytest.approx(1) for row in rows)


def test_candidates_are_sorted_and_their_percents_are_those_of_the_masses(run_dir):
    trace = read_trace(run_dir)
    rows = list(csv.DictReader(write_candidates(run_dir, trace).read_text().splitlines()))
    utility = [float(row["utility"]) for row in rows if row["utility"]]
    assert utility == sorted(utility, reverse=True) and [row["utility"] for row in rows[len(utility) :]] == [""] * (6 - len(utility))
    assert [row["key"] for row in rows[: len(utility)]] == [row["key"] for row in trace.best]
    for row in rows:
        atomic = np.array([float(row[f"{e} at.%"]) for e in ELEMENTS])
        masses = atomic * [atomic_masses[atomic_numbers[e]] for e in ELEMENTS]
        weight = [float(row[f"{e} wt.%"]) for e in ELEMENTS]
        np.testing.assert_allclose(weight, 100 * masses / masses.sum(), atol=0.02)
        assert atomic.sum() == pytest.approx(100)


def test_structures_are_the_relaxed_crystals_of_the_best(run_dir):
    written, trace, measured = write_structures(run_dir, 2), read_trace(run_dir), read_measured(run_dir)
    assert list(written) == [row["key"] for row in trace.best[:2]]
    assert len(list((run_dir / "structures").iterdir())) == 2
    for key, name in written.items():
        read, crystal = Structure.from_file(run_dir / name), measured[key].results[0].crystal
        assert read.volume == pytest.approx(crystal.volume, rel=1e-5)
        assert sorted(site.specie.Z for site in read) == sorted(crystal.numbers)


@pytest.mark.parametrize("format", ["ase.db", "extxyz"])
def test_ase_reads_every_converged_crystal_with_energy_and_candidate(run_dir, tmp_path, format):
    measured = read_measured(run_dir)
    written = export(run_dir, format, tmp_path / f"out.{'db' if format == 'ase.db' else format}")
    if format == "ase.db":
        found = [(row.toatoms(), row.key_value_pairs) for row in ase.db.connect(written).select()]
    else:
        found = [(atoms, atoms.info) for atoms in ase.io.read(written, ":")]
    assert len(found) == sum(len(m.results) for m in measured.values())
    expected = [(m, result) for m in measured.values() for result in m.results]
    for (atoms, info), (m, result) in zip(found, expected, strict=True):
        assert info["candidate_key"] == f"key-{m.candidate.key}"
        assert atoms.get_potential_energy() / len(atoms) == pytest.approx(result.labels["energy_per_atom"], abs=1e-7)
        np.testing.assert_allclose(atoms.positions, result.crystal.positions, atol=1e-7)
    assert any("utility" in info for _, info in found)


def test_exports_lie_in_the_folder_and_can_be_repeated(run_dir):
    for _ in range(2):
        names = [export(run_dir, format).name for format in FORMATS]
    assert names == ["campaign.db", "campaign.extxyz", "campaign.json", "candidates.csv"]
    content = json.loads((run_dir / "campaign.json").read_text())
    assert content["rows"] == list(read_trace(run_dir).rows) and content["meta"]["budget"] == "6"
    assert not list(run_dir.glob(".*partial*"))


def test_an_unknown_format_and_a_folder_without_campaign_are_refused(run_dir, tmp_path):
    with pytest.raises(ValueError, match="format 'xlsx' is not known; known: ase.db, extxyz, json, csv"):
        export(run_dir, "xlsx")
    with pytest.raises(ValueError, match="holds no campaign"):
        export(tmp_path, "json")


def test_a_write_that_fails_leaves_the_file_before(run_dir, monkeypatch):
    before = export(run_dir, "extxyz").read_bytes()

    def fail(path, *rest, **more):
        path.write_text("half")
        raise OSError("no room")

    monkeypatch.setattr(ase.io, "write", fail)
    with pytest.raises(OSError, match="no room"):
        export(run_dir, "extxyz")
    assert (run_dir / "campaign.extxyz").read_bytes() == before and not list(run_dir.glob(".*partial*"))


def test_reading_changes_nothing(run_dir):
    before = (run_dir / FILE).read_bytes()
    export(run_dir, "json")
    assert (run_dir / FILE).read_bytes() == before
    connection = sqlite3.connect(run_dir / FILE)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
