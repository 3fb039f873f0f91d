"""`matjax thermo diagram` and `equilibrium`: a database as a user has it, and requests that cannot be met."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from matjax.cli.thermo import thermo
from matjax.cli.thermo_diagram import composition, read, temperatures

REGULAR = """
ELEMENT AL FCC 26.98 0 0 !
ELEMENT ZN FCC 65.39 0 0 !
PHASE FCC % 1 1 !
CONSTITUENT FCC :AL,ZN: !
PARAMETER G(FCC,AL;0) 200 0; 3000 N !
PARAMETER G(FCC,ZN;0) 200 0; 3000 N !
PARAMETER L(FCC,AL,ZN;0) 200 16629; 3000 N !
"""  # critical temperature of the miscibility gap: 16629 / (2 * 8.3145) = 1000 K


@pytest.fixture(scope="module")
def tdb(tmp_path_factory):
    path = tmp_path_factory.mktemp("tdb") / "regular.tdb"
    path.write_text(REGULAR)
    return path


def run(*arguments):
    """Runs the command; raises what the command raises."""
    result = CliRunner().invoke(thermo, [str(a) for a in arguments], env={"COLUMNS": "160"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_the_gap_of_a_regular_solution(tdb, tmp_path):
    out, plot = tmp_path / "lines.csv", tmp_path / "d.svg"
    said = run("diagram", tdb, "--elements", "Al Zn", "--temperature", "600:1200:4", "--out", out, "--plot", plot)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [float(row["temperature"]) for row in rows] == [600.0, 800.0] and "FCC + FCC" in said
    for row in rows:
        x, t = float(row["x_Zn_1"]), float(row["temperature"])
        assert 8.3145 * t * np.log((1 - x) / x) == pytest.approx(16629 * (1 - 2 * x), abs=0.01)
    assert "fraction of Zn in Al-Zn" in plot.read_text(encoding="utf-8")


def test_phases_at_a_composition(tdb, tmp_path):
    out = tmp_path / "points.json"
    said = run("equilibrium", tdb, "--elements", "al,zn", "--composition", "Al=0.4 Zn=0.6", "--temperature", "800,1100", "--out", out)
    rows = json.loads(out.read_text())
    assert [row["temperature"] for row in rows] == [800.0, 800.0, 1100.0] and "1.00000" in said
    assert sum(row["fraction"] * row["x_Zn"] for row in rows[:2]) == pytest.approx(0.6, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--elements", "Al Al"], "each element once"),
        (["--elements", "Al Zn", "--temperature", "hot"], "low:high:count"),
        (["--elements", "Al Zn", "--temperature", "100:500:3"], "holds from 200 to 3000 K"),
        (["--elements", "Al Zn", "--plot", "d.png"], "svg"),
        (["--elements", "Al"], "1 elements at"),
    ],
)
def test_requests_that_cannot_be_met(tdb, arguments, said):
    with pytest.raises(ValueError, match=said):
        run("diagram", tdb, *arguments)


def test_compositions_that_are_none(tdb):
    database = read(tdb, "Al Zn", None)
    for text, said in (("Al 0.5 Zn 0.4", "sum to 1"), ("Al 0.5 Cu 0.5", "Cu not among"), ("half and half", "such as")):
        with pytest.raises(ValueError, match=said):
            composition(text, database)
    assert len(temperatures(None, database)) == 61
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read(tdb.with_name("absent.tdb"), "Al Zn", None)
