"""Conversion factors against CODATA as scipy has it, and what an unknown unit says."""

import pytest
from scipy import constants

from matjax import units

EV, MOL = constants.e, constants.N_A
BOHR, HARTREE = constants.value("Bohr radius"), constants.value("Hartree energy in eV")


@pytest.mark.parametrize(
    ("unit", "joule"),
    [("eV", EV), ("meV", EV / 1000), ("Ha", HARTREE * EV), ("Ry", HARTREE * EV / 2), ("kJ/mol", 1000 / MOL), ("kcal/mol", 4184 / MOL)],
)
def test_energy(unit, joule):
    assert units.energy_to_ev(unit) == pytest.approx(joule / EV, rel=1e-9)
    assert units.energy_to_ev(f"{unit}/atom") == units.energy_to_ev(f" {unit} ") == units.energy_to_ev(unit)


@pytest.mark.parametrize(("unit", "metre"), [("Å", 1e-10), ("A", 1e-10), ("angstrom", 1e-10), ("nm", 1e-9), ("bohr", BOHR)])
def test_length(unit, metre):
    assert units.length_to_angstrom(unit) == pytest.approx(metre * 1e10, rel=1e-9)


@pytest.mark.parametrize(("unit", "pascal"), [("eV/Å³", EV * 1e30), ("GPa", 1e9), ("kbar", 1e8), ("Pa", 1.0)])
def test_pressure(unit, pascal):
    assert units.pressure_to_ev_per_cubic_angstrom(unit) == pytest.approx(pascal / EV * 1e-30, rel=1e-12)


def test_force_is_an_energy_by_a_length():
    assert units.force_to_ev_per_angstrom("Ha/bohr") == pytest.approx(HARTREE / (BOHR * 1e10), rel=1e-9)
    assert units.force_to_ev_per_angstrom("kJ/mol/nm") == pytest.approx(units.ENERGY["kJ/mol"] / 10, rel=1e-12)


def test_boltzmann():
    assert units.BOLTZMANN == pytest.approx(constants.k / EV, rel=1e-9)


@pytest.mark.parametrize(
    ("convert", "unit", "message"),
    [
        (units.energy_to_ev, "J", "unknown energy unit 'J'; allowed: eV, meV, .*each also with /atom"),
        (units.length_to_angstrom, "pm", "unknown length unit 'pm'; allowed: Å"),
        (units.pressure_to_ev_per_cubic_angstrom, "bar", "unknown pressure unit 'bar'; allowed: eV/Å³, GPa"),
        (units.force_to_ev_per_angstrom, "eV", "a force is an energy by a length, not 'eV'"),
        (units.force_to_ev_per_angstrom, "eV/pm", "unknown length unit 'pm'"),
    ],
)
def test_unknown_units_are_refused_with_what_is_allowed(convert, unit, message):
    with pytest.raises(ValueError, match=message):
        convert(unit)
