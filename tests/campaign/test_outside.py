"""Results from outside: in once and uncharged, learned from by later rounds, refused as a whole where one is wrong."""

import copy
import csv
import dataclasses
import shutil
import types
from pathlib import Path

import ase.io
import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from matjax.campaign import discover, export, import_results, read_measured, read_trace, status, why
from matjax.campaign.held_back import audit_gaps, feasibility_of
from matjax.campaign.lock import lock
from matjax.campaign.records import read_records
from matjax.campaign.store import FILE
from matjax.campaign.trace import open_read_only
from matjax.cli import discover_session
from matjax.cli.main import app
from matjax.value.acquisition import Thompson
from matjax.value.proposers import Random
from tests.campaign.tiny import Remembered, Tiny


@dataclasses.dataclass(frozen=True)
class Judged(Remembered):
    """A remembered oracle whose labels need no forces, as a table's."""

    max_force = None
    gives = ()


@pytest.fixture(scope="module")
def oracle(tmp_path_factory) -> Remembered:
    return Remembered(str(tmp_path_factory.mktemp("memory")))


def run(folder: Path, oracle: Remembered, seed: int, budget: int):
    return discover(Tiny(), oracle, Random(), Thompson(), run_dir=folder, budget=budget, batch=2, pool=10, key=jax.random.key(seed))


@pytest.fixture(scope="module")
def other(oracle, tmp_path_factory) -> Path:
    """A campaign elsewhere."""
    folder = tmp_path_factory.mktemp("other") / "run"
    run(folder, oracle, 1, 4)
    return folder


@pytest.fixture(scope="module")
def begun(oracle, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("begun") / "run"
    run(folder, oracle, 0, 2)
    return folder


@pytest.fixture
def folder(begun, tmp_path) -> Path:
    """A campaign of one round."""
    return Path(shutil.copytree(begun, tmp_path / "run"))


@pytest.fixture(scope="module")
def frames(other, tmp_path_factory):
    """What the campaign elsewhere exports."""
    return ase.io.read(export(other, "extxyz", tmp_path_factory.mktemp("frames") / "all.extxyz"), ":")


def records_of(folder: Path):
    with open_read_only(folder) as connection:
        return read_records(connection)


def new_keys(folder: Path, other: Path) -> list[str]:
    return [key for key in read_measured(other) if key not in read_measured(folder)]


@pytest.mark.parametrize("format", ["extxyz", "ase.db"])
def test_what_one_campaign_exports_another_learns_from(format, folder, other, oracle, tmp_path, monkeypatch):
    before, wanted = read_trace(folder), new_keys(folder, other)
    assert len(wanted) >= 2
    file = export(other, format, tmp_path / f"out.{'db' if format == 'ase.db' else format}")
    found = import_results(folder, file, Tiny(), oracle)
    assert [m.candidate.key for m in found.new] == wanted and len(found.skipped) == 8 - len(wanted)
    assert {said for _, said in found.skipped} == {"it is measured already"}
    for m in found.new:
        own, theirs = read_measured(folder)[m.candidate.key], read_measured(other)[m.candidate.key]
        for a, b in zip(own.results, theirs.results, strict=True):
            assert a.labels["energy_per_atom"] == pytest.approx(b.labels["energy_per_atom"], abs=1e-12)
            assert a.elastic is not None and b.elastic is not None and np.allclose(a.elastic, b.elastic)
            assert a.frames is None and a.cost == 0 and a.evidence["max_force"] == b.evidence["max_force"]
        truth = next(r.truth for r in records_of(folder) if r.candidate.key == m.candidate.key)
        assert truth["utility"] == pytest.approx(next(r["utility"] for r in read_trace(other).rows if r["key"] == m.candidate.key))
    assert read_trace(folder).rows == before.rows and status(folder)["spent"] == 2 and status(folder)["n_imported"] == len(wanted)
    assert len(read_measured(folder, known=True)) == status(folder)["n_known"] == 4

    seen, learn = list[int](), Tiny.learn
    monkeypatch.setattr(Tiny, "learn", lambda self, measured, **how: (seen.append(len(measured)), learn(self, measured, **how))[1])
    after = run(folder, oracle, 0, 6)
    assert after.rows[:2] == before.rows and seen == [4 + 2 + len(wanted), 4 + 4 + len(wanted)]
    assert [row["call"] for row in after.rows] == [1, 2, 3, 4, 5, 6] and not {row["key"] for row in after.rows} & set(wanted)
    assert all(row["status"] == "converged" for row in after.rows)


def test_the_next_picks_follow_from_the_records(folder, other, oracle, tmp_path):
    twin = Path(shutil.copytree(folder, tmp_path / "twin"))
    for each, format in ((folder, "extxyz"), (twin, "ase.db")):
        import_results(each, export(other, format, tmp_path / f"out.{'db' if format == 'ase.db' else format}"), Tiny(), oracle)
    assert run(folder, oracle, 0, 4).rows == run(twin, oracle, 0, 4).rows


def test_what_was_learned_for_a_round_that_never_opened_is_learned_again(folder, other, oracle, tmp_path):
    (folder / "rounds" / "000").mkdir(parents=True)
    (folder / "rounds" / "001").mkdir()
    import_results(folder, export(other, "extxyz", tmp_path / "out.extxyz"), Tiny(), oracle)
    assert [path.name for path in (folder / "rounds").iterdir()] == ["000"]


def test_a_second_time_changes_nothing(folder, other, oracle, tmp_path):
    file = export(other, "extxyz", tmp_path / "out.extxyz")
    import_results(folder, file, Tiny(), oracle)
    before = (folder / FILE).read_bytes()
    again = import_results(folder, file, Tiny(), oracle)
    assert not again.new and len(again.skipped) == 8 and (folder / FILE).read_bytes() == before


def test_imported_before_a_round_is_over_is_settled_with_it(other, oracle, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as broken, pytest.raises(RuntimeError, match="power cut"):
        broken.setattr("matjax.campaign.loop.prospective", lambda told: (_ for _ in ()).throw(RuntimeError("power cut")))
        run(folder, oracle, 0, 2)
    (new, _) = import_results(folder, export(other, "extxyz", tmp_path / "out.extxyz"), Tiny(), oracle)
    assert all(r.truth is None for r in records_of(folder) if r.imported)
    trace = run(folder, oracle, 0, 2)
    assert len(trace.rows) == 2 and trace.rounds[-1]["n_compared"] == 2
    assert sum(r.imported and r.truth is not None for r in records_of(folder)) == len(new) > 0


def test_it_says_nothing_of_audit_picks_or_of_what_fails(folder, other, oracle, tmp_path):
    before = records_of(folder)
    import_results(folder, export(other, "extxyz", tmp_path / "out.extxyz"), Tiny(), oracle)
    after, candidates = records_of(folder), Tiny().space.decode(*Tiny().space.enumerate())
    assert len(after) > len(before) and audit_gaps(after) == audit_gaps(before)
    np.testing.assert_array_equal(feasibility_of(after).log_probability(candidates), feasibility_of(before).log_probability(candidates))


def refuse(folder: Path, file: Path, said: str, oracle, problem=Tiny()) -> None:  # noqa: B008 - frozen
    before = (folder / FILE).read_bytes()
    with pytest.raises(ValueError, match=said):
        import_results(folder, file, problem, oracle)
    assert (folder / FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda a: a.info.update(candidate="fcc_Ag50_Pd50", candidate_key=""), "Pd is not among its elements"),
        (lambda a: a.info.update(candidate="fcc_Ag30_Cu70", candidate_key=""), "off the composition grid of 4 sites"),
        (lambda a: a.info.update(candidate="bcc_Ag25_Cu75", candidate_key=""), "its prototype is bcc"),
        (lambda a: a.info.update(candidate="B2_Ag-Cu", candidate_key=""), "begins with none of the structures of the space"),
        (lambda a: a.info.update(candidate_key="key-0123"), "another composition grid"),
        (lambda a: a.info.update(oracle="EMT 2"), "measured by EMT 2, this campaign asks EMT 1"),
        (lambda a: a.info.update(status="unconverged"), "its status is unconverged"),
        (lambda a: a.info.update(max_force=0.5), "no evidence of convergence: max_force is 0.5"),
        (lambda a: a.info.pop("max_force"), "no evidence of convergence"),
        (lambda a: a.info.pop("elastic"), "elastic constants were asked for"),
        (lambda a: a.calc.results.update(energy=float("nan")), "energy_per_atom is nan"),
        (lambda a: a.calc.results.update(energy=a.calc.results["energy"] + 1e3), "more than 100 eV/atom"),
        (lambda a: a.set_cell(a.cell[:] * [1.1, 1, 1], scale_atoms=True), "its lattice is another one"),
        (lambda a: a.set_cell(a.cell[:] * 1.3, scale_atoms=True), "against its candidate the volume changed"),
        (lambda a: a.positions.__setitem__(0, a.positions[0] + 1.4), "from its lattice site"),
        (lambda a: a.set_atomic_numbers(a.numbers[::-1] * 0 + 13), "wrong atoms"),
    ],
)
def test_one_wrong_candidate_refuses_the_file_by_name(spoil, said, begun, frames, other, oracle, tmp_path):
    frames, wanted = copy.deepcopy(frames), f"key-{new_keys(begun, other)[0]}"
    mine = [atoms for atoms in frames if atoms.info["candidate_key"] == wanted]
    for atoms in mine:
        spoil(atoms)
    ase.io.write(tmp_path / "bad.extxyz", frames)
    refuse(begun, tmp_path / "bad.extxyz", f"bad.extxyz: 1 of 8 candidates.*\n  {mine[0].info['candidate']}: .*{said}", oracle)


def test_files_that_do_not_fit_as_a_whole(folder, other, oracle, tmp_path):
    file = export(other, "extxyz", tmp_path / "all.extxyz")
    frames = ase.io.read(file, ":")
    ase.io.write(tmp_path / "half.extxyz", frames[:-1])
    refuse(folder, tmp_path / "half.extxyz", "it has 1 crystals in the file; 2 stand for it", oracle)
    for atoms in frames[:2]:
        atoms.calc.results["energy"] += 0.1
    ase.io.write(tmp_path / "other.extxyz", frames)
    refuse(folder, tmp_path / "other.extxyz", "here it was measured as .*the oracle was set otherwise", oracle)
    ase.io.write(tmp_path / "plain.extxyz", frames[0].copy())
    refuse(folder, tmp_path / "plain.extxyz", "frame 1 has no energy", oracle)
    refuse(folder, folder / "trace.jsonl", "must end in .extxyz, .db, .csv", oracle)
    refuse(folder, tmp_path / "absent.db", "is no file", oracle)
    refuse(folder, file, "was measured by EMT 1, not by EMT 2", types.SimpleNamespace(name="EMT", version="2"))
    fewer = type("Fewer", (Tiny,), {"known": lambda self: Tiny.known(self)[1:]})()
    refuse(folder, file, "a campaign of another problem", oracle, fewer)
    with lock(folder):
        refuse(folder, file, "process", oracle)


def write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def test_the_table_of_candidates_with_labels(oracle, tmp_path):
    judged = Judged(oracle.folder)
    run(tmp_path / "there", judged, 1, 2)
    run(tmp_path / "here", judged, 0, 2)
    measured = read_measured(tmp_path / "there")
    rows = list(csv.DictReader(export(tmp_path / "there", "csv").read_text().splitlines()))
    for row in rows:
        labels = measured[row["key"]].results[0].labels
        row |= {
            "oracle": "EMT 1",
            "energy [kJ/mol/atom]": labels["energy_per_atom"] * 96.485332,
            "volume [Å³/atom]": labels["volume_per_atom"],
        }
    file, wanted = write_table(tmp_path / "told.csv", rows), new_keys(tmp_path / "here", tmp_path / "there")
    refuse(tmp_path / "here", write_table(tmp_path / "bad.csv", [rows[0] | {"status": "failed"}]), "its status is failed", judged)
    refuse(tmp_path / "here", write_table(tmp_path / "nan.csv", [rows[0] | {"volume [Å³/atom]": "nan"}]), "must be finite", judged)
    (new, _) = import_results(tmp_path / "here", file, Tiny(), judged)
    assert {m.candidate.key for m in new} == set(wanted) and wanted
    for m in new:
        want = measured[m.candidate.key].results[0].labels["energy_per_atom"]
        assert [r.labels["energy_per_atom"] for r in m.results] == pytest.approx([want] * 2, abs=1e-6)
    assert len(run(tmp_path / "here", judged, 0, 4).rows) == 4


def test_the_command(folder, other, oracle, tmp_path, monkeypatch):
    settings = types.SimpleNamespace(problem=Tiny, oracle=oracle)
    monkeypatch.setattr(discover_session, "read_settings", lambda _: settings)
    arguments = ["campaign", "import", str(folder), str(export(other, "extxyz", tmp_path / "out.extxyz"))]
    wanted = new_keys(folder, other)
    first, second = (CliRunner().invoke(app, arguments, catch_exceptions=False).output for _ in range(2))
    assert f"{len(wanted)} candidates are imported" in first and "next: matjax campaign resume" in first
    assert "skipped: 8 candidates" in second and "0 candidates are imported" in second and "next:" not in second
    said = CliRunner().invoke(app, ["campaign", "why", str(folder), wanted[0]], catch_exceptions=False).output
    assert "measured elsewhere, imported" in said and "oracle calls: 0" in said
    assert why(folder, wanted[0])["proposer"] == ""
