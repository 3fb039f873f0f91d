"""The recipe against brute force on EMT: minimum, elastic constants of relaxed ions, frames, and every status."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.optimize import BFGS
from scipy.optimize import minimize_scalar

from matjax.campaign import Recipe, check_result
from matjax.campaign.recipe import measure_crystal
from matjax.data.convert import from_ase, to_ase
from tests.campaign.calculators import WithoutStress

DEFAULT = Recipe()


def measure(atoms, recipe=DEFAULT, calculator=None, *, elastic=False, frames=False):
    return measure_crystal(from_ase(atoms), calculator or EMT(), recipe, elastic=elastic, frames=frames, source="EMT")


def energy(atoms) -> float:
    atoms.calc = EMT()
    return atoms.get_potential_energy()


@pytest.fixture(scope="module")
def alloy():
    """Eight atoms of two elements, off the best volume, on lattice sites."""
    atoms = bulk("Ni", cubic=True, a=3.65) * (2, 1, 1)
    atoms.symbols[[0, 3, 5]] = "Au"
    return atoms


@pytest.fixture(scope="module")
def measured(alloy):
    return measure(alloy, Recipe(max_force=0.002, max_stress=1e-5), elastic=True, frames=True)


def test_one_atom_goes_to_the_minimum_of_its_volume() -> None:
    result = measure(bulk("Cu", a=3.75), Recipe(max_stress=1e-6))
    best = minimize_scalar(lambda a: energy(bulk("Cu", a=a)), bounds=(3.4, 3.8), method="bounded", options={"xatol": 1e-6})
    np.testing.assert_allclose(result.labels["volume_per_atom"], best.x**3 / 4, rtol=1e-5)
    np.testing.assert_allclose(result.labels["energy_per_atom"], best.fun, atol=1e-8)
    np.testing.assert_allclose(result.evidence["volume_ratio"], (best.x / 3.75) ** 3, rtol=1e-5)
    np.testing.assert_allclose(result.evidence["min_distance"], best.x / np.sqrt(2), rtol=1e-5)


def test_positions_and_volume_relax_and_the_shape_stays(alloy, measured) -> None:
    assert measured.converged and measured.error == ""
    stretch = (measured.crystal.volume / alloy.get_volume()) ** (1 / 3)
    np.testing.assert_allclose(measured.crystal.lattice, alloy.cell.array * stretch, rtol=1e-9)
    assert measured.evidence["max_force"] <= 0.002 and measured.evidence["max_stress"] <= 1e-5
    assert 0.05 < measured.evidence["max_displacement"] < 0.5 and measured.evidence["n_step"] > 3
    positions = to_ase(measured.crystal)
    for factor in (0.995, 1.005):
        other = positions.copy()
        other.set_cell(positions.cell * factor, scale_atoms=True)
        assert energy(other) > 8 * measured.labels["energy_per_atom"]
    shaken = positions.copy()
    shaken.rattle(0.02, seed=0)
    assert energy(shaken) > 8 * measured.labels["energy_per_atom"]


def test_elastic_constants_are_second_differences_of_relaxed_energies(measured) -> None:
    def relaxed(strain) -> float:
        atoms = to_ase(measured.crystal)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        atoms.calc = EMT()
        BFGS(atoms, logfile=None).run(fmax=2e-4, steps=200)
        return atoms.get_potential_energy()

    h, volume = 0.01, measured.crystal.volume
    directions = {(0, 0): np.diag([h, 0, 0]), (2, 2): np.diag([0, 0, h]), (5, 5): np.array([[0, h / 2, 0], [h / 2, 0, 0], [0, 0, 0]])}
    for place, strain in directions.items():
        second = (relaxed(strain) - 2 * relaxed(0 * strain) + relaxed(-strain)) / (volume * h**2)
        np.testing.assert_allclose(measured.elastic[place], second, rtol=0.03)
    np.testing.assert_array_equal(measured.elastic, measured.elastic.T)
    assert (np.linalg.eigvalsh(measured.elastic) > 0).all()


def test_a_calculator_without_stress_is_measured_by_its_energies(alloy) -> None:
    recipe = Recipe(max_force=0.005)
    with_stress = measure(bulk("Cu", cubic=True), recipe, elastic=True)
    without = measure(bulk("Cu", cubic=True), recipe, WithoutStress(), elastic=True)
    assert without.labels == pytest.approx(with_stress.labels, rel=1e-4)
    assert np.abs(without.elastic - with_stress.elastic).max() < 2e-3


def test_frames_carry_what_the_calculator_says_of_them(alloy, measured) -> None:
    frames, key = measured.frames, from_ase(alloy).key
    assert frames.ids == tuple(f"{key}-{word}" for word in ("relaxed", "given", "copy0", "copy1", "copy2"))
    assert frames.crystals[0].key == measured.crystal.key and frames.crystals[1].key == key
    for crystal, total, forces, stress in zip(
        frames.crystals, frames.labels["energy"], frames.labels["forces"], frames.labels["stress"], strict=True
    ):
        atoms = to_ase(crystal)
        np.testing.assert_allclose(total, energy(atoms), rtol=1e-12)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-10)
        np.testing.assert_allclose(stress, atoms.get_stress(voigt=False), atol=1e-12)
    assert np.abs(frames.labels["forces"][4]).max() > 0.1
    for crystal in frames.crystals[2:]:
        strain = np.linalg.solve(measured.crystal.lattice, crystal.lattice) - np.eye(3)
        assert 0 < np.abs(strain).max() <= 0.03
    assert frames.metadata.units == {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³"} and frames.metadata.functional == "EMT"
    again = measure(alloy, Recipe(max_force=0.002, max_stress=1e-5), frames=True)
    assert again.frames.key == frames.key
    assert check_result(from_ase(alloy), measured, elastic=True, frames=True) is measured


def test_a_relaxation_out_of_steps_is_unconverged(alloy) -> None:
    result = measure(alloy, Recipe(max_step=2), elastic=True, frames=True)
    assert result.status == "unconverged" and result.elastic is None and result.frames is None
    assert result.error.startswith("numerical: ") and "are left after 2 steps; wanted 0.02 and 0.0003" in result.error


def test_pressure_counts_even_where_no_force_can_be() -> None:
    result = measure(bulk("Cu", a=3.75), Recipe(max_step=0))
    assert result.status == "unconverged" and result.evidence["max_force"] < 1e-10


def test_a_lost_lattice_is_transformed() -> None:
    result = measure(bulk("Cu", cubic=True, a=4.3))
    assert (
        result.status == "transformed"
        and result.error.startswith("physical: the volume changed 0.5")
        and "allowed 0.7 to 1.4" in result.error
    )
    interstitial = bulk("Cu", cubic=True) * (2, 2, 2)
    interstitial.positions[0] += [0.9, 0.9, 0.0]
    result = measure(interstitial)
    assert result.status == "transformed" and "an atom moved" in result.error and result.evidence["max_displacement"] > 0.5


def test_where_lbfgs_goes_astray_fire_goes_on() -> None:
    far = bulk("Cu", cubic=True, a=6.5)  # beyond the inflection of E(V), where a quasi-Newton step leads uphill
    result = measure(far, Recipe(max_step=100))
    assert result.status == "transformed" and 50 < result.evidence["n_step"] < 100
