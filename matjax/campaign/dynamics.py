"""Molecular dynamics at constant pressure with any ASE calculator; on the device see `simulate.dynamics`, whose settings these are."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from ase.md.nose_hoover_chain import IsotropicMTKNPT

from matjax.simulate.dynamics import CHECK, LARGEST_STRETCH, LOST, Averages, Dynamics, blocks
from matjax.units import PRESSURE


def run(atoms: Atoms, dynamics: Dynamics, nearest: float) -> Averages:
    """Runs a relaxed crystal, whose atoms stand on their lattice sites or relaxed about them; it is left as it came.

    Args:
      atoms: The crystal, with a calculator that has forces and stress.
      dynamics: Settings.
      nearest: Nearest-neighbour distance, Å.

    Raises:
      ArithmeticError: If an energy is not finite.

    Source:
      Martyna, Tuckerman, Tobias & Klein (1996), Explicit reversible integrators for extended systems dynamics, as ASE has it.
    """
    moving, n = atoms.copy(), len(atoms)
    moving.calc = atoms.calc
    pressure = dynamics.pressure * PRESSURE["GPa"]
    # The thermostat counts 3 N degrees of freedom, of which three, the drift, stay at rest here.
    bath = dynamics.temperature * max(n - 1, 1) / n
    moving.set_momenta(_momenta(atoms.get_masses(), bath, np.random.default_rng(dynamics.seed)))
    driver = IsotropicMTKNPT(
        moving,
        timestep=dynamics.time_step * units.fs,
        temperature_K=bath,
        pressure_au=pressure,
        tdamp=dynamics.relaxation * units.fs,
        pdamp=10 * dynamics.relaxation * units.fs,
    )
    sites, start = atoms.get_positions() @ np.linalg.inv(atoms.cell.array), atoms.get_volume()
    rows: list[tuple[float, float, float]] = []
    mean, n_seen = np.zeros_like(sites), 0
    for i in range(0, dynamics.n_equilibrate + dynamics.n_step, CHECK):
        driver.run(CHECK)
        energy, volume = float(moving.get_potential_energy()), float(moving.get_volume())
        if not np.isfinite([energy, volume]).all():
            raise ArithmeticError(f"the energy after {i + CHECK} steps of dynamics: not finite")
        if not 1 / LARGEST_STRETCH < volume / start < LARGEST_STRETCH:
            return LOST
        if i >= dynamics.n_equilibrate:
            kinetic, at_rest = float(moving.get_kinetic_energy()), 1.5 * units.kB * dynamics.temperature
            heat = (energy + kinetic + at_rest + pressure * volume) / n
            rows.append((heat, volume / n, 2 * kinetic / (3 * max(n - 1, 1) * units.kB)))
            mean += moving.get_positions() @ np.linalg.inv(moving.cell.array) - sites
            n_seen += 1
    moved = mean / n_seen
    moved = (moved - np.median(moved, 0)) @ atoms.cell.array
    (enthalpy, enthalpy_error), (volume, volume_error), (temperature, _) = (blocks(np.array(column)) for column in zip(*rows, strict=True))
    return Averages(enthalpy, enthalpy_error, volume, volume_error, temperature, float(np.linalg.norm(moved, axis=1).max() / nearest))


def _momenta(masses: np.ndarray, bath: float, rng: np.random.Generator) -> np.ndarray:
    """Of the Maxwell-Boltzmann distribution without drift [n, 3], scaled to the kinetic energy of 3 n degrees of freedom at `bath` K."""
    momenta = np.sqrt(masses)[:, None] * rng.normal(size=(len(masses), 3))
    momenta -= masses[:, None] * momenta.sum(0) / masses.sum()
    kinetic = (momenta**2 / masses[:, None]).sum() / 2
    return momenta * np.sqrt(1.5 * len(masses) * units.kB * bath / kinetic) if kinetic > 1e-12 else momenta
