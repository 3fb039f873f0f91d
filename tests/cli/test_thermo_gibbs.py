"""`matjax thermo gibbs` from files to rows, and what is set aside with its reason."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from typer.testing import CliRunner

from matjax.cli import thermo_gibbs
from matjax.cli.temperatures import parse_temperatures
from matjax.cli.thermo import thermo
from tests.training.test_free_energy import predictor


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command in a folder with a potential that needs no download; raises what it raises."""
    known = predictor([0.35])
    monkeypatch.setattr(thermo_gibbs, "load_trusted", lambda name: (known, None))
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        result = CliRunner().invoke(thermo, ["gibbs", *arguments, "--model", "pair"], env={"COLUMNS": "200"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return SimpleNamespace(code=result.exit_code, said=result.output)

    return call


def test_rows_and_reasons(run, tmp_path):
    bulk("Cu", a=3.6, cubic=True).write(tmp_path / "copper.extxyz")
    slab = bulk("Cu", a=3.6, cubic=True)
    slab.pbc = (True, True, False)
    slab.write(tmp_path / "slab.extxyz")
    done = run("copper.extxyz", "slab.extxyz", "--vibrations", "debye", "--temperature", "0,300", "--out", "g.json", "--plot", "g.svg")
    rows = json.loads((tmp_path / "g.json").read_text())
    assert [row["T (K)"] for row in rows] == [0.0, 300.0, None]
    assert rows[1]["G (kJ/mol)"] < rows[0]["G (kJ/mol)"] and rows[1]["S (J/mol/K)"] > 0
    assert "periodic along a, b and c" in rows[2]["note"] and "debye free energies by pair" in done.said
    assert "Cu" in (tmp_path / "g.svg").read_text(encoding="utf-8")


def test_what_is_asked_wrongly(run, tmp_path):
    bulk("Cu", a=3.6).write(tmp_path / "copper.extxyz")
    with pytest.raises(ValueError, match="allowed: debye, harmonic, quasi-harmonic"):
        run("copper.extxyz", "--vibrations", "einstein")


@pytest.mark.parametrize(("text", "found"), [("300", [300.0]), ("0,500", [0.0, 500.0]), ("300:600:3", [300.0, 450.0, 600.0])])
def test_temperatures_as_they_are_typed(text, found):
    np.testing.assert_array_equal(parse_temperatures(text), found)


@pytest.mark.parametrize("text", ["hot", "-5", "300:500:-1", "1:2:3:4", "300:nan", ""])
def test_what_is_no_temperature(text):
    with pytest.raises(ValueError, match="--temperature"):
        parse_temperatures(text)
