"""The doctor: known-bad releases are named, wrong forces are found, and a data set is told what it is."""

import dataclasses
import json
import re
import tomllib
from pathlib import Path

import ase.io
import jax.numpy as jnp
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from matjax.cli import health, numerics
from matjax.cli.doctor import doctor, parse_units
from matjax.cli.examine import canonical, duplicates, examine, records
from matjax.cli.health import Finding, cache, good_pair, known_bad, machine, numbers, python, releases, worst
from matjax.data.convert import to_ase
from matjax.types import Crystal, Dataset, Metadata, Output

SOUND = dict.fromkeys(health.PACKAGES, "1.0") | {"jax": "0.9.1"}
app = typer.Typer()
app.command()(doctor)


def run(*arguments: object) -> tuple[int, str]:
    """(exit code, output) of the command; what it raises is raised."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False, env={"COLUMNS": "500"})
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("release", "status", "what"),
    [
        ("0.9.2", "warn", "segment_sum"),
        ("0.10.0", "fail", "aborts"),
        ("0.10.1", "fail", "aborts"),
        ("0.10.2", "fail", "miscompiles"),
        ("0.11.0", "fail", "scatter"),
        ("0.11.1", "fail", "flax"),
        ("0.13.0rc1", "warn", "not tested"),
        ("0.9.1", "pass", "nothing"),
        ("0.12.0.1", "pass", "nothing"),
    ],
)
def test_a_bad_release_is_named_with_what_to_install(release: str, status: str, what: str) -> None:
    finding = releases(SOUND | {"jax": release})[-1]
    assert (finding.name, finding.status) == ("jax release", status)
    assert what in finding.said and release in finding.said
    assert bool(finding.advice) == (status != "pass")


def test_a_release_is_not_bad_by_its_first_digits() -> None:
    assert known_bad("0.10.20") is None and known_bad("0.9.20") is None and known_bad("0.11.1.2") is not None


def test_what_the_package_refuses_is_known_and_what_is_advised_is_not() -> None:
    pins = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["dependencies"]
    (jax,) = [pin for pin in pins if pin.startswith("jax>")]
    refused = [pin.removesuffix(".*") for pin in re.findall(r"!=([\d.*]+)", jax)]
    known = [release for bad in health.KNOWN_BAD for release in bad.releases]
    assert all(any((r + ".").startswith(pin + ".") for r in known) for pin in refused)
    for version in ((3, 11), (3, 13)):
        (advised,) = re.findall(r'"jax[=>]=([\d.]+)', good_pair(version))
        assert known_bad(advised) is None


def test_an_absent_package_fails() -> None:
    found = releases(SOUND | {"vesin": "absent"})
    assert worst(found) == "fail" and any(f.name == "vesin" and "pip install vesin" in f.advice for f in found)


def test_nothing_is_computed_with_a_release_that_aborts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "installed", lambda: SOUND | {"jax": "0.10.1"})
    monkeypatch.setattr(numerics, "findings", lambda: pytest.fail("computed"))
    code, output = run()
    assert code == 1 and "aborts the process" in output and "not tried" in output


def test_a_sound_installation_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "installed", lambda: SOUND)
    monkeypatch.setattr(numerics, "findings", lambda: iter([numerics.devices(), numerics.float64()]))
    code, output = run("--json")
    record = json.loads(output)
    assert code == 0 and record["status"] in ("pass", "warn")
    assert {"python", "packages", "machine", "compile cache", "devices", "float64"} <= {f["name"] for f in record["findings"]}


def test_the_worst_decides() -> None:
    of = lambda *statuses: worst([Finding("x", s, "") for s in statuses])
    assert (of(), of("pass"), of("pass", "warn"), of("warn", "fail", "pass")) == ("pass", "pass", "warn", "fail")


def test_versions_are_numbers() -> None:
    assert numbers("0.12.0.1") == (0, 12, 0, 1) and numbers("0.13.0rc1") == (0, 13, 0)
    assert python((3, 10, 1)).status == python((3, 14, 0)).status == "warn" and python((3, 12, 5)).status == "pass"


def test_the_cache_folder_is_looked_at_and_not_made(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"x" * 2**20)
    assert cache(str(tmp_path)).values == {"folder": str(tmp_path), "files": 1, "MiB": 1.0}
    assert cache(str(tmp_path / "a" / "b")).status == "pass" and not (tmp_path / "a").exists()
    assert cache(str(tmp_path / "program" / "b")).status == "warn" and cache(None).status == "warn"


def test_the_machine_has_cores_memory_and_disk(tmp_path: Path) -> None:
    values = machine(tmp_path).values
    assert all(float(str(values[name])) > 0 for name in ("cores", "memory_GiB", "disk_free_GiB"))


def test_scatter_and_float64_are_right_here() -> None:
    assert numerics.float64().status == "pass"
    finding = numerics.scatter(n_edge=2_000, n_node=100, width=8)
    assert finding.status != "fail" and float(str(finding.values["seconds"])) > 0


def test_wrong_forces_are_found() -> None:
    forces = np.random.default_rng(0).normal(size=(8, 3))
    output = lambda f: Output(jnp.zeros(1), None, jnp.zeros((1, 1)), forces=jnp.asarray(f))
    status = lambda f: numerics.compare("forces", "jit against eager", output(forces), output(f)).status
    assert status(forces) == "pass" and status(1.001 * forces) == "warn" and status(-forces) == "fail" and status(forces * np.nan) == "fail"


@pytest.mark.slow
def test_forces_agree_on_this_machine() -> None:
    found = {finding.name: finding for finding in numerics.findings()}
    assert list(found) == ["devices", "float64", "scatter", "compile", "ensemble", "forces"]
    assert worst(list(found.values())) != "fail"
    assert float(str(found["forces"].values["largest"])) > 0.01


def written(dataset: Dataset, path: Path, shift: float = 0.0) -> Path:
    """The data set as a file, its formation energies shifted."""
    frames = [to_ase(crystal) for crystal in dataset.crystals]
    for atoms, value in zip(frames, dataset.labels["formation_energy_per_atom"], strict=True):
        atoms.info["formation_energy_per_atom"] = value + shift
    ase.io.write(path, frames)
    return path


def test_a_file_is_described_and_put_on_the_hull(flla: Dataset, tmp_path: Path) -> None:
    code, output = run(written(flla.select(np.arange(100)), tmp_path / "mine.extxyz"), "--json")
    record = json.loads(output)
    found = {f["name"]: f for f in record["findings"]}
    assert code == 0 and record["description"].startswith("mine: 100 crystals")
    assert found["hull"]["values"]["verdict"] == "yes" and found["hull"]["values"]["n_shared"] >= 95
    assert found["meaning"]["status"] == "warn" and "functional" in found["meaning"]["advice"]
    assert "to train on" in found["shift"]["said"]


def test_a_hull_that_was_asked_for_and_does_not_fit_fails(flla: Dataset, tmp_path: Path) -> None:
    path = written(flla.select(np.arange(60)), tmp_path / "mine.extxyz", shift=0.3)
    assert run(path)[0] == 0
    code, output = run(path, "--hull", "flla")
    assert code == 1 and "+0.300 eV/atom" in output and "1 fail" in output


def test_bad_input_is_an_error_of_its_own() -> None:
    with pytest.raises(ValueError, match="neither a named data set"):
        run("nothing")
    with pytest.raises(ValueError, match="write LABEL=UNIT"):
        parse_units(["energy"])
    assert parse_units(["energy=Ha", "forces=Ha/bohr"]) == {"energy": "Ha", "forces": "Ha/bohr"} and parse_units([]) is None


def test_a_crystal_written_differently_is_the_same(flla: Dataset) -> None:
    crystal = next(c for c in flla.crystals if len(c) == 8)
    order = np.random.default_rng(0).permutation(8)
    images = np.random.default_rng(1).integers(-2, 3, (8, 3)) @ crystal.lattice
    assert canonical(Crystal(crystal.lattice, (crystal.positions + images)[order], crystal.numbers[order])) == canonical(crystal)
    assert canonical(Crystal(crystal.lattice, crystal.positions + np.eye(8, 3) * 0.05, crystal.numbers)) != canonical(crystal)


def test_twins_are_found_and_their_labels_compared(flla: Dataset) -> None:
    crystals = [flla.crystals[i] for i in (0, 1, 2, 0)]
    named = Dataset(tuple(crystals), tuple("abcd"), {"formation_energy_per_atom": np.zeros(4)})
    assert duplicates(named).values == {"duplicates": 1, "conflicts": 0}
    energies = np.array([0.0, 0.0, 0.0, 0.5])
    other = duplicates(dataclasses.replace(named, labels={"formation_energy_per_atom": energies}))
    assert other.values["conflicts"] == 1 and "a = d" in other.said
    assert duplicates(flla.select(np.arange(3))).status == "pass"


def test_crystals_without_labels_are_examined_too(flla: Dataset) -> None:
    bare = Dataset(flla.crystals[:3], flla.ids[:3], metadata=Metadata(set_aside=(("x", "no atoms"),)))
    found = {finding.name: finding for finding in examine(bare, flla)}
    assert "shift" not in found and found["labels"].status == "warn" and found["hull"].status == "pass"
    assert records(bare).values == {"usable": 3, "set_aside": 1}
