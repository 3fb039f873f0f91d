"""`matjax thermo`: hulls of tables against pymatgen, tables that are no gift, and pictures."""

import csv
import io
import json

import numpy as np
import pytest
from ase.data import atomic_numbers
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from rich.console import Console
from scipy.optimize import brentq
from typer.testing import CliRunner

from matjax.cli.thermo import thermo
from matjax.cli.thermo_hull import hull_rows, mixture, read_entries
from matjax.cli.thermo_mixing import GRID, as_csv, curves, draw, lower_chain, parse
from matjax.cli.thermo_mixing import as_json as curves_as_json
from matjax.cli.thermo_mixing import show as show_curves
from matjax.config import spec
from matjax.report.style import to_svg
from matjax.report.thermo_figures import tie_lines
from matjax.thermo.alloy.gibbs import Terms
from matjax.types import Result
from matjax.units import BOLTZMANN

NI_AL = "id,formula,energy_per_atom\na,Al,-3.74\nb,Ni,-5.78\nc,NiAl,-5.42\nd,Ni3Al,-5.70\ne,Al3Ni,-4.65\ng,Al,-3.70\n"


@pytest.fixture
def run(tmp_path):
    """Writes a table and runs the command on it; raises what the command raises."""

    def call(text, *arguments):
        path = tmp_path / "phases.csv"
        path.write_text(text, encoding="utf-8")
        result = CliRunner().invoke(thermo, ["hull", str(path), *map(str, arguments)], env={"COLUMNS": "160"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return call


def random_table(elements, n, seed):
    """Total energies per atom of random phases and the elements: (text, pymatgen entries)."""
    random = np.random.default_rng(seed)
    references = random.uniform(-6, -2, len(elements))
    counts = [np.eye(len(elements), dtype=int)[i] for i in range(len(elements))]
    counts += [c for c in random.integers(0, 4, (n, len(elements))) if c.sum()]
    lines, entries = ["formula,energy_per_atom"], []
    for i, c in enumerate(counts):
        x = c / c.sum()
        energy = round(float(x @ references + (random.normal(-0.3, 0.2) if i >= len(elements) else 0)), 9)
        formula = "".join(f"{s}{k}" for s, k in zip(elements, c, strict=True) if k)
        lines.append(f"{formula},{energy!r}")
        entries.append(PDEntry(Composition(formula), energy * c.sum()))
    return "\n".join(lines), entries


@pytest.mark.parametrize(("elements", "n", "seed"), [(("Al", "Ni"), 30, 0), (("Al", "Ni", "Ti"), 60, 1), (("Co", "Cr", "Fe", "Ni"), 50, 2)])
def test_agrees_with_pymatgen(tmp_path, elements, n, seed):
    text, entries = random_table(elements, n, seed)
    (tmp_path / "t.csv").write_text(text)
    found = hull_rows(read_entries(tmp_path / "t.csv"))
    diagram = PhaseDiagram(entries)
    assert len(found) == len(entries)
    for row, entry in zip(found, entries, strict=True):
        assert row["energy_above_hull"] == pytest.approx(diagram.get_e_above_hull(entry), abs=1e-8)
        assert row["formation_energy_per_atom"] == pytest.approx(diagram.get_form_energy_per_atom(entry), abs=1e-8)
        assert (row["energy_above_hull"] == 0) == (entry in diagram.stable_entries)
        if entry in diagram.stable_entries and not entry.is_element:
            others = PhaseDiagram([other for other in entries if other is not entry])
            gap = entry.energy_per_atom - others.get_hull_energy_per_atom(entry.composition)
            assert row["stability"] == pytest.approx(gap, abs=1e-8) and gap < 0
        if row["decomposition"]:
            assert sum(row["decomposition"].values()) == pytest.approx(1)


def test_tie_lines_are_the_edges_of_pymatgens_facets():
    text, entries = random_table(("Al", "Ni", "Ti"), 80, 3)
    diagram = PhaseDiagram(entries)
    stable = sorted(diagram.stable_entries, key=lambda entry: entry.composition.reduced_formula)
    x = np.array([[entry.composition.get_atomic_fraction(s) for s in ("Al", "Ni", "Ti")] for entry in stable])
    energies = np.array([diagram.get_form_energy_per_atom(entry) for entry in stable])
    row = {id(diagram.qhull_entries[i]): stable.index(diagram.qhull_entries[i]) for f in diagram.facets for i in f}
    named = [[row[id(diagram.qhull_entries[i])] for i in facet] for facet in diagram.facets]
    expected = {(min(a, b), max(a, b)) for f in named for a, b in ((f[0], f[1]), (f[1], f[2]), (f[0], f[2]))}
    assert set(tie_lines(x, energies)) == expected
    assert tie_lines(np.eye(3), np.zeros(3)) == [(0, 1), (0, 2), (1, 2)]


def test_the_table_is_printed_written_and_drawn(run, tmp_path):
    said = run(NI_AL, "--out", tmp_path / "h.csv", "--plot", tmp_path / "h.svg")
    assert "Convex hull of Al-Ni: 6 entries, 5 on it" in said and "0.5 Ni (b) + 0.5 AlNi (c)" in said
    rows = list(csv.DictReader((tmp_path / "h.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["id"] for row in rows] == list("abcdeg") and rows[5]["energy_above_hull"] == "0.04"
    svg = (tmp_path / "h.svg").read_text(encoding="utf-8")
    assert svg.startswith("<?xml") and "formation energy" in svg and "AlNi3" in svg
    run(NI_AL, "--out", tmp_path / "h.json")
    entries = json.loads((tmp_path / "h.json").read_text(encoding="utf-8"))["entries"]
    assert entries[3]["decomposition"] == pytest.approx({"Ni (b)": 0.5, "AlNi (c)": 0.5}) and entries[1]["stability"] is None


def test_formation_energies_bring_their_references(run, tmp_path):
    text = "composition,formation_energy_per_atom\nAl0.5 Ni0.5,-0.66\nAl2NiTi,-0.5\n# Ti,9\n"
    said = run(text, "--unit", "eV/atom", "--plot", tmp_path / "t.svg", "--out", tmp_path / "t.json")
    assert "Convex hull of Al-Ni-Ti: 5 entries, 5 on it" in said
    rows = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))["entries"]
    assert rows[0]["composition"] == {"Al": 0.5, "Ni": 0.5} and rows[1]["line"] == 3
    assert {row["formula"]: row["line"] for row in rows[2:]} == {"Al": None, "Ni": None, "Ti": None}
    assert rows[1]["stability"] == pytest.approx(-0.5 + 0.66 / 2)


def test_units_are_converted(run, tmp_path):
    run("formula,formation_energy_per_atom\nAlNi,-660\n", "--unit", "meV/atom", "--out", tmp_path / "u.json")
    assert json.loads((tmp_path / "u.json").read_text(encoding="utf-8"))["entries"][0]["stability"] == pytest.approx(-0.66)


def test_spreadsheets_of_many_lands_are_read(run):
    assert "2 on it" in run("\ufeffFormula ; Formation_energy_per_atom\nNi;0\nAl;0\nAlNi;0.2\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("formula,energy_per_atom\nAl,-3\nAlNi,-5\n", "no entry of pure Ni, which AlNi in line 3 needs as a reference; add a line for Ni"),
        ("formula,energy_per_atom\nAl,-3\nNi,nan\n", "line 3: energy_per_atom is 'nan', not a finite number"),
        ("formula,energy_per_atom\nAl,-3\nNi,\n", "line 3: energy_per_atom is '', not a finite number"),
        ("# note\nformula,energy_per_atom\nAl,-3\nAlNy,-4\n", "line 4: 'AlNy' is no formula: 'Ny' is no element symbol; did you mean"),
        ("formula,energy_per_atom\nAl,-3\n12,-4\n", "line 3: '12' is no formula"),
        ("formula,energy_per_atom\nAl,-3\nNi,-5\nNiAl,-5\nAlNi,-5\n", "AlNi with the same energy stands in line 4 and again in line 5"),
        ("id,formula,energy_per_atom\na,Al,-3\na,Ni,-5\n", "id 'a' stands in line 2 and again in line 3"),
        ("formula,energy\nAl,-3\n", "needs a column formula or composition and a column energy_per_atom or .*; found formula, energy"),
        ("formula,energy_per_atom\nAl,-3,4\n", "line 2: 3 cells for 2 columns"),
        ("formula,energy_per_atom\n", "at least one entry"),
        (
            "formula,formation_energy_per_atom\nAl,-3.7\nAlNi,-5\n",
            "line 2: Al has a formation energy of -3.7 eV/atom.*column energy_per_atom",
        ),
    ],
)
def test_bad_tables_name_their_line(run, text, said):
    with pytest.raises(ValueError, match=said):
        run(text)


def test_bad_options_are_refused(run, tmp_path):
    for arguments, said in (
        (("--plot", "hull.png"), "svg"),
        (("--out", "hull.txt"), ".csv or .json"),
        (("--unit", "furlong"), "unknown energy unit"),
    ):
        with pytest.raises(ValueError, match=said):
            run(NI_AL, *arguments)
    four = "formula,formation_energy_per_atom\nAlNiTiFe,-0.5\n"
    with pytest.raises(ValueError, match="two or three elements; the file has 4: Al Fe Ni Ti"):
        run(four, "--plot", tmp_path / "four.svg")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_entries(tmp_path / "absent.csv")


def test_mixtures_in_words():
    assert mixture({"NiAl": 0.75, "Ni": 0.25}) == "0.75 NiAl + 0.25 Ni" and mixture({"Ni": 1.0}) == "Ni" and mixture({}) == ""


@spec
class RegularSolution:
    """An oracle whose fcc solutions have the enthalpy strength * x (1 - x); everything else lies 0.3 eV/atom higher.

    Attributes:
      strength: eV/atom; positive separates.
    """

    strength: float = 0.2
    elements = ("Cu", "Ni")
    name, version, note = "regular solution", "1", "a textbook"

    def measure(self, crystals, *, elastic=False, frames=False):
        return [self._one(crystal) for crystal in crystals]

    def _one(self, crystal):
        x = float(np.mean(crystal.numbers == atomic_numbers["Ni"]))
        if len(crystal) == 48 and 0 < x < 1:
            return Result("transformed", error="physical: an atom left its site")
        energy = self.strength * x * (1 - x) + (0.0 if len(crystal) == 32 else 0.3) - 4.0 + x
        elastic = np.diag([0.6, 0.6, 0.6, *[0.5 if len(crystal) == 32 else -0.1] * 3])  # eV/Å³; what is not fcc is unstable
        elastic[:3, :3] += 0.5
        return Result("converged", crystal, {"energy_per_atom": energy, "volume_per_atom": 11.0}, elastic)


@pytest.fixture(scope="module")
def textbook():
    return curves(("Cu", "Ni"), "fcc", (300.0, 800.0, 1400.0), RegularSolution(), Terms(vibrational=False))


def test_common_tangents_are_the_binodal_of_a_regular_solution(textbook):
    for temperature, regions in zip(textbook.temperatures, textbook.regions, strict=True):
        kt = BOLTZMANN * temperature
        if kt > 0.1:  # above the critical temperature, strength / 2k
            assert [(r.phases, r.left, r.right) for r in regions] == [(("fcc",), 0.0, 1.0)]
            continue
        assert [r.phases for r in regions] == [("fcc",), ("fcc", "fcc"), ("fcc",)]
        gap = regions[1]
        binodal = brentq(lambda x, kt=kt: 0.2 * (1 - 2 * x) - kt * np.log((1 - x) / x), 1e-9, 0.4)  # derivative zero, by symmetry
        assert gap.left == pytest.approx(binodal, rel=0.1) and 1 - gap.right == pytest.approx(binodal, rel=0.1)


def test_the_curves_are_those_of_a_regular_solution(textbook):
    x = GRID[1:-1]
    ideal = x * np.log(x) + (1 - x) * np.log(1 - x)
    for temperature, gibbs in zip(textbook.temperatures, textbook.gibbs, strict=True):
        np.testing.assert_allclose(gibbs[1:-1], 0.2 * x * (1 - x) + BOLTZMANN * temperature * ideal, atol=2e-3)
    np.testing.assert_allclose(textbook.measured[1], 0.2 * textbook.measured[0] * (1 - textbook.measured[0]), atol=1e-9)


def test_rows_tell_stable_from_unstable(textbook):
    half = {row["temperature"]: row for row in textbook.rows if row["fraction"] == pytest.approx(0.5)}
    gap, kt = textbook.regions[0][1], BOLTZMANN * 300
    depth = half[300.0]["gibbs_mixing"] - np.interp(0.5, [gap.left, gap.right], gap.gibbs)
    assert half[300.0]["stability"] == pytest.approx(depth, abs=1e-4) and depth == pytest.approx(0.05 - kt * np.log(2), abs=5e-3)
    assert half[1400.0]["stability"] < 0 < half[800.0]["stability"]
    assert "fcc Cu" in half[300.0]["competitors"] and len(textbook.rows) == 3 * 19


def test_what_did_not_converge_is_set_aside_and_said(textbook):
    assert len(textbook.set_aside) == 3 and all(formula.startswith("hcp") for formula, _ in textbook.set_aside)
    console = Console(width=140, record=True, file=io.StringIO())
    show_curves(console, textbook)
    said = console.export_text()
    assert "set aside: hcp Cu25 Ni75: physical: an atom left its site" in said and "regular solution 1: a textbook" in said
    assert "fcc + fcc to" in said and "Not considered: liquid" in said and "1400 K, stable with rising Ni: fcc to 100%" in said


def test_an_unstable_lattice_does_not_win_by_its_soft_vibrations(textbook):
    hot = curves(("Cu", "Ni"), "fcc", (3000.0,), RegularSolution())
    assert hot.regions[0][0].phases == ("fcc",) and len(hot.regions[0]) == 1  # a floor for its modulus would let bcc win
    assert "bcc Ni100" in textbook.unstable and not any(name.startswith("fcc") for name in textbook.unstable)


def test_curves_are_written_and_drawn(textbook):
    whole = json.loads(curves_as_json(textbook))
    assert [entry["temperature"] for entry in whole["stable"]] == [300.0, 800.0, 1400.0]
    assert whole["not_considered"][0].startswith("liquid (1400 K is above")
    rows = list(csv.DictReader(as_csv(textbook).splitlines()))
    assert len(rows) == 57 and float(rows[9]["gibbs_mixing"]) == pytest.approx(textbook.rows[9]["gibbs_mixing"], abs=1e-8)
    svg = to_svg(draw(textbook))
    assert "Cu-Ni on fcc" in svg and "1400 K" in svg


def test_the_lower_chain_is_convex_and_below_everything():
    random = np.random.default_rng(0)
    x, y = np.repeat(np.linspace(0, 1, 40), 3), random.normal(size=120)
    chain = lower_chain(x, y)
    slopes = np.diff(y[chain]) / np.diff(x[chain])
    assert (np.diff(slopes) > 0).all() and (np.interp(x, x[chain], y[chain]) <= y + 1e-12).all() and x[chain[0]] == 0 and x[chain[-1]] == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("Cu", "fcc", "300"), "two different elements, not for 'Cu'"),
        (("Cu Cu", "fcc", "300"), "two different elements"),
        (("Cu Xx", "fcc", "300"), "'Xx' is no element symbol"),
        (("Cu Cs", "fcc", "300"), "the laboratory has no Cs; it knows Cu, Ni"),
        (("Cu Ni", "sc", "300"), "lattice is 'sc'; allowed: fcc, bcc, hcp"),
        (("Cu Ni", "fcc", "0"), "give kelvins"),
        (("Cu Ni", "fcc", "warm"), "temperatures are 'warm'; give kelvins in .0, 5000."),
    ],
)
def test_bad_requests_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        parse(*given, known=("Cu", "Ni"))


def test_requests_are_read_generously():
    assert parse("Ni-Cu", "fcc", "600, 300,300", ("Cu", "Ni")) == (("Ni", "Cu"), "fcc", (300.0, 600.0))


def test_an_element_without_reference_is_named():
    class Poor(RegularSolution):
        def _one(self, crystal):
            return Result("failed", error="numerical: no") if set(crystal.numbers) == {29} else super()._one(crystal)

    with pytest.raises(ValueError, match="no reference energy of Cu on fcc, bcc, hcp"):
        curves(("Cu", "Ni"), "fcc", (300.0,), Poor(), Terms(vibrational=False))


@pytest.mark.slow
def test_the_laboratory_as_a_user_types_it(tmp_path):
    arguments = ["mixing", "Ag Cu", "--temperature", "300", "--out", str(tmp_path / "g.csv"), "--plot", str(tmp_path / "g.svg")]
    result = CliRunner().invoke(thermo, arguments)
    assert result.exit_code == 0, result.exception
    assert "model system" in result.stdout and "soft or mechanically unstable" in result.stdout
    rows = list(csv.DictReader((tmp_path / "g.csv").read_text(encoding="utf-8").splitlines()))
    assert all(float(row["stability"]) > 0 for row in rows) and len(rows) == 19  # silver and copper do not mix at room temperature
    assert "Ag-Cu on fcc" in (tmp_path / "g.svg").read_text(encoding="utf-8")
