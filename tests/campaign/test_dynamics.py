"""Molecular dynamics at constant pressure: equipartition, another integrator at the volume that it found, a crystal that melts."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin

from matjax.campaign import Dynamics, Emt, Recipe
from matjax.campaign.config import DiscoverConfig
from matjax.campaign.dynamics import blocks, run
from matjax.data.convert import from_ase
from matjax.override import override

NEAREST = 2.54


def copper():
    atoms = bulk("Cu", cubic=True, a=3.595) * (2, 2, 2)
    atoms.calc = EMT()
    return atoms


@pytest.fixture(scope="module")
def warm():
    atoms = copper()
    return atoms.get_potential_energy() / len(atoms), run(atoms, Dynamics(600.0, n_equilibrate=400, n_step=2000), NEAREST)


@pytest.mark.slow
def test_heat_is_that_of_classical_atoms(warm):
    """3 k T per atom, and what anharmonicity adds: within a tenth at 600 K."""
    energy, found = warm
    assert found.temperature == pytest.approx(600, abs=4 * 600 * np.sqrt(2 / (3 * 31 * 20)))
    assert found.enthalpy - energy == pytest.approx(3 * units.kB * 600, rel=0.1)
    assert 0 < found.enthalpy_error < 0.02
    assert found.displacement < 0.1


@pytest.mark.slow
def test_another_integrator_finds_no_pressure_at_the_mean_volume(warm):
    """Langevin dynamics at the mean volume, and a percent either side: the pressure changes sign about it."""
    pressures = []
    for factor in (0.99, 1.0, 1.01):
        atoms = copper()
        volume = factor * warm[1].volume * len(atoms)
        atoms.set_cell(atoms.cell * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
        driver = Langevin(atoms, 4 * units.fs, temperature_K=600, friction=0.02, fixcm=False, rng=np.random.RandomState(1))
        driver.run(200)
        seen = []
        for _ in range(60):
            driver.run(10)
            seen.append(-atoms.get_stress(include_ideal_gas=True)[:3].mean() / units.GPa)
        pressures.append(np.mean(seen))
    assert pressures[0] > pressures[1] > pressures[2]
    assert abs(pressures[1]) < abs(pressures[0]) and abs(pressures[1]) < abs(pressures[2])


def test_a_crystal_that_melts_is_transformed():
    oracle = Emt(Recipe(gives=(), dynamics=Dynamics(4000.0, n_equilibrate=100, n_step=200)))
    atoms = bulk("Cu", cubic=True, a=3.6) * (2, 2, 1)
    (result,) = oracle.measure([from_ase(atoms)])
    assert result.status == "transformed" and "4000 K" in result.error and "enthalpy_hot" not in result.labels


def test_a_crystal_that_holds_has_two_labels_more():
    oracle = Emt(Recipe(gives=(), dynamics=Dynamics(300.0, n_equilibrate=20, n_step=100)))
    results = oracle.measure([from_ase(bulk("Cu", cubic=True, a=3.6))] * 2)
    assert all(r.converged for r in results)
    assert results[0].labels["enthalpy_hot"] > results[0].labels["energy_per_atom"]
    assert results[0].labels == results[1].labels  # the seed fixes the velocities
    assert {"hot_enthalpy_error", "hot_volume_error", "hot_temperature", "hot_displacement"} <= set(results[0].evidence)


def test_settings_come_from_toml_and_bad_ones_are_refused():
    config = override(DiscoverConfig(), ["oracle={kind='emt', recipe={dynamics={temperature=900.0}}}"])
    assert config.oracle.recipe.dynamics == Dynamics(900.0)
    with pytest.raises(ValueError, match="must be positive"):
        Dynamics(0.0)
    with pytest.raises(ValueError, match="at least 100"):
        Dynamics(300.0, n_step=50)


def test_errors_of_a_series_come_from_blocks():
    rng = np.random.default_rng(0)
    mean, error = blocks(rng.normal(3.0, 1.0, 10_000))
    assert mean == pytest.approx(3.0, abs=0.04) and error == pytest.approx(0.01, rel=0.9)
