"""Quasi-harmonic free energies against closed forms, and expansion and heat capacity against phonopy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from matjax.data.convert import from_ase
from matjax.simulate.phonons import force_constants_by_displacement, modes
from matjax.thermo.free_energy.equation_of_state import fit_equation_of_state
from matjax.thermo.free_energy.phase import Phase
from matjax.thermo.free_energy.properties import properties
from matjax.thermo.free_energy.quasi_harmonic import quasi_harmonic
from matjax.units import BOLTZMANN, ENERGY

RNG = np.random.default_rng(3)
ENERGIES = np.sort(RNG.uniform(0.005, 0.04, (7, 6)), axis=1)
WEIGHTS = RNG.uniform(0.1, 1, 7)


def free_energy(temperature, energies):
    """Of oscillators, per atom, mode by mode."""
    share = np.broadcast_to(3 * WEIGHTS[:, None] / WEIGHTS.sum() / energies.shape[1], energies.shape)
    return (share * (energies / 2 + BOLTZMANN * temperature * np.log(1 - np.exp(-energies / (BOLTZMANN * temperature))))).sum()


VOLUMES = np.array([11.0, 11.4, 11.9, 12.3])
GAMMA = RNG.uniform(1, 3, ENERGIES.shape)
FREQUENCIES = ENERGIES[None] * np.exp(-GAMMA[None] * np.log(VOLUMES / 11.6)[:, None, None])


def test_a_power_law_of_volume_is_kept_exactly():
    part = quasi_harmonic(VOLUMES, FREQUENCIES, WEIGHTS)
    between = ENERGIES * (11.63 / 11.6) ** -GAMMA
    np.testing.assert_allclose(part.energies(11.63), between.reshape(-1), rtol=1e-12)
    np.testing.assert_allclose(part.gruneisen, GAMMA.reshape(-1), rtol=1e-9)
    assert float(part(500.0, 11.63)) == pytest.approx(free_energy(500.0, between), rel=1e-12)
    assert float(quasi_harmonic(VOLUMES, FREQUENCIES, WEIGHTS, degree=1)(500.0, 11.63)) == pytest.approx(
        float(part(500.0, 11.63)), rel=1e-10
    )


def test_thermal_pressure_is_gruneisens():
    part = quasi_harmonic(VOLUMES, FREQUENCIES, WEIGHTS)
    with jax.enable_x64(True):
        pressure = -jax.grad(part, argnums=1)(700.0, 11.6)
    x = ENERGIES / (BOLTZMANN * 700)
    share = 3 * WEIGHTS[:, None] / WEIGHTS.sum() / 6
    expected = (share * GAMMA * ENERGIES * (0.5 + 1 / np.expm1(x))).sum() / 11.6
    assert float(pressure) == pytest.approx(expected, rel=1e-9)


def test_gradients_reach_the_frequencies():
    with jax.enable_x64(True):
        free = lambda f: quasi_harmonic(VOLUMES, f, WEIGHTS)(400.0, 11.5)
        slope = jax.grad(free)(jnp.asarray(FREQUENCIES))
        direction = RNG.normal(size=FREQUENCIES.shape) * 1e-6
        by_steps = (free(FREQUENCIES + direction) - free(FREQUENCIES - direction)) / 2
        assert float(jnp.sum(slope * direction)) == pytest.approx(float(by_steps), rel=1e-6)


def test_imaginary_modes_at_one_volume_are_said_and_refused():
    soft = FREQUENCIES.copy()
    soft[3, 1, 0] = -0.01
    part = quasi_harmonic(VOLUMES, soft, WEIGHTS)
    assert np.isnan(float(part(300.0, 11.5))) and float(part.imaginary[3]) > 0 and float(part.imaginary[0]) == 0
    assert np.isfinite(float(quasi_harmonic(VOLUMES, soft, WEIGHTS, stiffen_to=0.004)(300.0, 11.5)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volumes": VOLUMES[::-1]}, "ascend"),
        ({"volumes": VOLUMES[:3]}, "are needed"),
        ({"degree": 4}, "and 5 volumes"),
        ({"degree": 0}, "degree of at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    given = {"volumes": VOLUMES, "degree": 2} | change
    with pytest.raises(ValueError, match=message):
        quasi_harmonic(given["volumes"], FREQUENCIES, WEIGHTS, degree=given["degree"])


@pytest.mark.slow
def test_copper_expands_as_in_phonopy():
    """Expansion, Cp and entropy of EMT copper from the same displacements: phonopy fits F(V) at each temperature."""
    from phonopy import Phonopy, PhonopyQHA
    from phonopy.structure.atoms import PhonopyAtoms

    spacings, temperatures = np.linspace(3.54, 3.68, 6), np.arange(0.0, 421.0, 20.0)
    given = [bulk("Cu", "fcc", a) for a in spacings]
    static, thermal, ours = [], [], []
    for atoms in given:
        atoms.calc = EMT()
        static.append(atoms.get_potential_energy())
        known = force_constants_by_displacement(EMT(), from_ase(atoms), 3 * np.eye(3, dtype=int))
        ours.append(modes(known, from_ase(atoms), (12, 12, 12)))
        cell = PhonopyAtoms(symbols=["Cu"], cell=np.asarray(atoms.cell), scaled_positions=[[0, 0, 0]])
        phonon = Phonopy(cell, supercell_matrix=3 * np.eye(3, dtype=int), primitive_matrix=np.eye(3))
        phonon.generate_displacements(distance=0.01)
        phonon.forces = [_forces(displaced) for displaced in phonon.supercells_with_displacements or []]
        phonon.produce_force_constants()
        phonon.run_mesh([12, 12, 12], is_gamma_center=True)
        phonon.run_thermal_properties(t_min=0, t_max=440, t_step=20, exclude_gamma_acoustic=True)
        thermal.append(phonon.thermal_properties)
    stacked = {name: np.array([getattr(one, name) for one in thermal]).T for name in ("free_energy", "heat_capacity", "entropy")}
    volumes = np.array([atoms.get_volume() for atoms in given])
    with pytest.warns(DeprecationWarning, match="PhonopyQHA"):
        theirs = PhonopyQHA(
            volumes=volumes,
            electronic_energies=static,
            temperatures=thermal[0].temperatures,
            free_energy=stacked["free_energy"],
            cv=stacked["heat_capacity"],
            entropy=stacked["entropy"],
            eos="vinet",
            t_max=420,
        )
    vibrational = quasi_harmonic(volumes, np.stack([one.frequencies for one in ours]), ours[0].weights)
    phase, at = Phase(static=fit_equation_of_state(volumes, static, "vinet"), vibrational=vibrational), temperatures[8:20]
    said = properties(phase, at)
    joule = 1e3 / ENERGY["kJ/mol"]
    np.testing.assert_allclose(said.expansion, theirs.thermal_expansion[8:20], rtol=0.01)
    np.testing.assert_allclose(joule * np.asarray(said.heat_capacity), theirs.heat_capacity_P_numerical[8:20], rtol=0.01)
    fixed = properties(Phase(vibrational=vibrational, volume=volumes[2]), at)
    np.testing.assert_allclose(joule * np.asarray(fixed.entropy), stacked["entropy"][8:20, 2], rtol=0.005)


def _forces(displaced):
    import ase

    atoms = ase.Atoms(displaced.symbols, cell=displaced.cell, scaled_positions=displaced.scaled_positions, pbc=True, calculator=EMT())
    return atoms.get_forces()
