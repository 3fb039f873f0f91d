import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PDPlotter, PhaseDiagram
from pymatgen.core import Composition
from pymatgen.core.entries import ComputedEntry

from matjax.thermo.hull.lower_hull import decompose
from matjax.thermo.hull.many_hulls import energies_above_hull
from matjax.thermo.hull.pymatgen import PhaseSet, from_pymatgen, phase_diagram, to_pymatgen

FORMULAS = {"Al": -3.74, "Ni": -5.78, "Ti": -7.9, "Al2": -3.70, "NiAl": -5.41, "Ni3Al": -5.69, "NiAl3": -4.67, "TiAl": -6.23, "NiTi": -7.2,
            "Ni2TiAl": -6.5}  # fmt: skip


@pytest.fixture
def entries():
    return [PDEntry(Composition(f), e * Composition(f).num_atoms) for f, e in FORMULAS.items()]


def test_there_and_back(entries):
    phases = from_pymatgen(entries, ["Al", "Ni", "Ti"])
    again = to_pymatgen(phases)
    assert [e.composition for e in again] == [e.composition for e in entries]
    np.testing.assert_allclose([e.energy for e in again], [e.energy for e in entries], atol=1e-12)
    assert [e.name for e in again] == [e.name for e in entries]
    assert from_pymatgen(PhaseDiagram(entries)).elements == ("Ti", "Al", "Ni")


def test_energies_and_decompositions_are_those_of_pymatgen(entries):
    phases, diagram = from_pymatgen(entries), PhaseDiagram(entries)
    ours = phase_diagram(phases)
    above = np.asarray(energies_above_hull(phases.x, phases.energies, phases.x, phases.energies).value)
    for entry, value, row in zip(entries, above, phases.x, strict=True):
        assert value == pytest.approx(diagram.get_e_above_hull(entry), abs=1e-8)
        assert ours.get_e_above_hull(entry) == pytest.approx(value, abs=1e-8)
        theirs = {e.name: f for e, f in diagram.get_decomposition(entry.composition).items()}
        assert dict(decompose(row, phases.x, phases.energies, phases.names)) == pytest.approx(theirs, abs=1e-8)


def test_the_plotter_takes_it(entries):
    figure = PDPlotter(phase_diagram(from_pymatgen(entries)), backend="matplotlib", show_unstable=0.2).get_plot()
    assert figure is not None


def test_the_lowest_of_equal_compositions_wins(entries):
    twice = [*entries, PDEntry(Composition("Ni2Al2"), -5.5 * 4, name="low"), PDEntry(Composition("NiAl"), -5.5 * 2, name="later")]
    low = from_pymatgen(twice).lowest()
    assert len(low.names) == len(entries) - 1 and "low" in low.names and not {"later", "NiAl"} & set(low.names)
    unknown = PhaseSet(("Al",), ("a", "b"), np.ones((2, 1)), np.array([np.nan, -1.0]))
    assert unknown.lowest().names == ("b",) and len(to_pymatgen(unknown)) == 1


def test_equal_ids_do_not_collide():
    entries = [ComputedEntry(f, e, entry_id="same") for f, e in (("Al", -3.7), ("Ni", -5.7), ("NiAl", -11.0), ("Ni3Al", -22.5))]
    phases = from_pymatgen(entries)
    value = energies_above_hull(phases.x, phases.energies, phases.x, phases.energies).value
    np.testing.assert_allclose(value, np.array([phase_diagram(phases).get_e_above_hull(e) for e in to_pymatgen(phases)], float), atol=1e-8)


def test_what_is_refused(entries):
    with pytest.raises(ValueError, match="no pure phase of Ti"):
        phase_diagram(from_pymatgen([e for e in entries if e.name != "Ti"]))
    with pytest.raises(ValueError, match=r"entries hold \['Ti'\]"):
        from_pymatgen(entries, ["Al", "Ni"])
    with pytest.raises(ValueError, match="at least one"):
        from_pymatgen([])
    with pytest.raises(ValueError, match=r"NiAl: fractions \[0.5, 0.6\]"):
        PhaseSet(("Al", "Ni"), ("NiAl",), np.array([[0.5, 0.6]]), np.zeros(1))
    with pytest.raises(ValueError, match="chemical symbols"):
        PhaseSet(("Al", "Al"), ("Al",), np.array([[0.5, 0.5]]), np.zeros(1))
    kinds = lambda *runs: [ComputedEntry(f, -1.0, parameters={"run_type": r}) for f, r in zip(("Al", "Ni", "NiAl"), runs, strict=True)]
    with pytest.raises(ValueError, match=r"several functionals.*R2SCAN \(Ni"):
        from_pymatgen(kinds("GGA", "R2SCAN", "GGA"))
    with pytest.raises(ValueError, match="several functionals"):
        from_pymatgen(kinds("GGA", "GGA+U", "GGA"))
    corrected = ComputedEntry("NiO", -1.0, correction=-0.5, parameters={"run_type": "GGA+U"})
    assert from_pymatgen([*kinds("GGA", "GGA", "GGA"), corrected]).elements == ("Al", "Ni", "O")
