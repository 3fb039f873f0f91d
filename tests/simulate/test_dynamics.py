"""Molecular dynamics on the device: an ideal gas, another integrator with the same potential, equipartition, crystals that do not last."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes

from matjax.campaign.dynamics import run
from matjax.data.convert import from_ase, to_ase
from matjax.simulate import Laboratory, chunks, cutoffs, dynamics, eam_energy
from matjax.simulate import topology as neighbours_of
from matjax.simulate.cells import cells, element_volumes, solution
from matjax.simulate.dynamics import Dynamics, npt
from matjax.types import Crystal
from matjax.units import BOLTZMANN, PRESSURE

SHORT = Dynamics(400.0, n_equilibrate=50, n_step=100)


def nickel() -> Crystal:
    (cell,) = cells(solution("fcc", {"Ni": 1}), 1, element_volumes(("Ni",)))
    atoms = to_ase(cell)
    atoms.set_cell(atoms.cell * 3.52 / (atoms.get_volume() / len(atoms) * 4) ** (1 / 3), scale_atoms=True)
    return from_ase(atoms)


def copper() -> Crystal:
    return Crystal(nickel().lattice * 1.027, nickel().positions * 1.027, np.full(len(nickel()), 29))


class OfTheLaboratory(Calculator):
    """The same energy for ASE."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, crystal: Crystal) -> None:
        super().__init__()
        self.topology = neighbours_of(crystal, 1.1 * cutoffs())

        def slopes(x, lattice):
            strained = lambda x, e: eam_energy(x + x @ e, lattice + lattice @ e, self.topology)
            energy, (slope, virial) = jax.value_and_grad(strained, (0, 1))(x, jnp.zeros((3, 3)))
            return energy, -slope, 0.5 * (virial + virial.T) / jnp.abs(jnp.linalg.det(lattice))

        self.slopes = jax.jit(slopes)

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        with jax.enable_x64(True):
            energy, forces, stress = self.slopes(atoms.positions, atoms.cell.array)
        stress = np.asarray(stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        self.results = {"energy": float(energy), "forces": np.asarray(forces), "stress": stress}


@pytest.mark.slow
def test_the_same_averages_as_another_integrator():
    crystal, settings = nickel(), Dynamics(600.0, n_equilibrate=500, n_step=4000)
    with jax.enable_x64(True):
        (here,) = npt(eam_energy, [crystal], cutoffs(), settings)
    atoms = to_ase(crystal)
    atoms.calc = OfTheLaboratory(crystal)
    there = run(atoms, settings, 2.49)
    for name in ("enthalpy", "volume"):
        error = np.hypot(getattr(here, f"{name}_error"), getattr(there, f"{name}_error"))
        assert abs(getattr(here, name) - getattr(there, name)) < 4 * error, name
    assert here.enthalpy_error < 0.01 and here.volume_error < 0.06
    assert here.temperature == pytest.approx(600, rel=0.05) and here.displacement < 0.1


@pytest.mark.slow
def test_an_ideal_gas_has_its_volume(monkeypatch):
    """(N + 1) k T / P, which tells the right measure of the volume from its neighbours N and N + 2."""
    monkeypatch.setattr(dynamics, "LARGEST_STRETCH", np.inf)
    monkeypatch.setattr(dynamics, "COMPLIANCE", 15.0)
    n, temperature, pressure = 2, 600.0, 2.0
    unit = BOLTZMANN * temperature / (pressure * PRESSURE["GPa"])
    crystal = Crystal(np.eye(3) * ((n + 1) * unit) ** (1 / 3), [[0, 0, 0], [1.0, 1.0, 0]], [29, 29])
    nothing = lambda x, lattice, topology: 0.0 * jnp.sum(x) * jnp.sum(lattice)
    settings = [Dynamics(temperature, pressure=pressure, n_equilibrate=2000, n_step=60_000, seed=seed) for seed in range(6)]
    with jax.enable_x64(True):
        found = np.array([npt(nothing, [crystal], 1.0, s)[0].volume * n / unit for s in settings])
    assert abs(found.mean() - (n + 1)) < 0.45


def test_oracle_of_the_laboratory_gives_hot_labels_whoever_else_is_measured():
    with_dynamics = Laboratory(chunk=2, dynamics=SHORT)
    found = with_dynamics.measure([nickel(), copper(), nickel()])
    assert all(r.converged for r in found)
    assert found[0].labels == found[2].labels, "equal crystals, equal averages"
    assert found[0].labels["enthalpy_hot"] - found[0].labels["energy_per_atom"] == pytest.approx(3 * BOLTZMANN * 400, rel=0.25)
    assert {"hot_enthalpy_error", "hot_volume_error", "hot_temperature", "hot_displacement"} <= set(found[0].evidence)
    alone = Laboratory(chunk=1, dynamics=SHORT).measure([nickel()])[0]
    assert alone.labels["enthalpy_hot"] == pytest.approx(found[0].labels["enthalpy_hot"], abs=1e-9)


def test_no_equilibration_and_no_crystal_are_no_trouble():
    (result,) = Laboratory(dynamics=Dynamics(300.0, n_equilibrate=0, n_step=105)).measure([nickel()])
    assert result.converged and result.labels["volume_hot"] > 0
    assert Laboratory(dynamics=SHORT).measure([]) == []


@pytest.mark.slow
def test_a_soft_metal_has_its_volume_within_the_default_steps():
    """Lead: the softer the crystal, the later its volume arrives."""
    (lead,) = Laboratory().measure([Crystal(nickel().lattice * 1.4, nickel().positions * 1.4, np.full(len(nickel()), 82))])
    assert lead.crystal is not None
    with jax.enable_x64(True):
        short = np.array([npt(eam_energy, [lead.crystal], cutoffs(), Dynamics(400.0, seed=seed))[0].volume for seed in range(1, 5)])
        (long,) = npt(eam_energy, [lead.crystal], cutoffs(), Dynamics(400.0, n_equilibrate=2000, n_step=10_000))
    error = np.hypot(short.std(ddof=1) / 2, long.volume_error)
    assert abs(short.mean() - long.volume) < 4 * error < 0.8
    assert long.volume / lead.labels["volume_per_atom"] > 1.02


def test_padding_and_more_neighbours_cannot_be_felt(monkeypatch):
    settings = Dynamics(400.0, n_equilibrate=20, n_step=100)
    with jax.enable_x64(True):
        (found,) = npt(eam_energy, [copper()], cutoffs(), settings)
        monkeypatch.setattr(chunks, "N_ATOM", (48,))
        (padded,) = npt(eam_energy, [copper()], cutoffs(), settings)
        monkeypatch.setattr(dynamics, "MARGIN", 1.3)
        (wider,) = npt(eam_energy, [copper()], cutoffs(), settings)
    np.testing.assert_allclose(padded, found, rtol=1e-9)
    np.testing.assert_allclose(wider, found, rtol=1e-3)


def test_a_crystal_that_melts_is_transformed():
    hot = Dynamics(6000.0, n_equilibrate=100, n_step=200)
    (result,) = Laboratory(dynamics=hot).measure([nickel()])
    assert result.status == "transformed" and "6000 K" in result.error and "enthalpy_hot" not in result.labels


def test_an_energy_that_is_no_number_fails_alone():
    broken = lambda x, lattice, topology: jnp.where(topology.numbers[0] == 29, jnp.nan, 1.0) * jnp.sum(x**2)
    with jax.enable_x64(True):
        bad, good = npt(broken, [copper(), nickel()], 3.0, Dynamics(1.0, n_equilibrate=10, n_step=100, time_step=0.01))
    assert np.isnan(bad.displacement)
    assert dynamics.judged(bad, SHORT)[2].startswith("numerical: the energy is not finite")
    assert not np.isnan(good.displacement)
