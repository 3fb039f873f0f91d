"""A short molecular dynamics at temperature and pressure: enthalpy and volume of a crystal there, and whether it stays one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms, units
from ase.md.nose_hoover_chain import IsotropicMTKNPT

from matjax.config import spec
from matjax.units import PRESSURE

LARGEST_STRETCH = 2.0
"""Ratio of volumes, either way, at which a run is given up: the crystal has come apart."""

CHECK = 10
"""Steps between two looks at the crystal."""


@spec
class Dynamics:
    """Settings of a run at constant pressure and temperature, the shape of the cell kept.

    The cell is that of the measurement: its size limits the wavelengths, so means are those of some dozen atoms. Classical nuclei: below
    the Debye temperature heat capacities are too large.

    Attributes:
      temperature: K.
      pressure: GPa.
      time_step: fs.
      n_equilibrate: Steps that are thrown away.
      n_step: Steps that are averaged.
      relaxation: Time constant of the thermostat, fs; ten times it is that of the barostat.
      max_displacement: An atom whose mean position is farther than this from its lattice site, in nearest-neighbour distances, has left
        it. Thermal motion averages out.
      seed: Of the velocities.

    Source:
      Martyna, Tuckerman, Tobias & Klein (1996), Explicit reversible integrators for extended systems dynamics, as ASE has it.
    """

    temperature: float
    pressure: float = 0.0
    time_step: float = 2.0
    n_equilibrate: int = 500
    n_step: int = 1500
    relaxation: float = 100.0
    max_displacement: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what is no run."""
        for name in ("temperature", "time_step", "relaxation", "max_displacement"):
            if isinstance(value := getattr(self, name), float | int) and not value > 0:
                raise ValueError(f"{name} of the dynamics is {value}; it must be positive")
        if isinstance(self.n_step, int) and self.n_step < 10 * CHECK:
            raise ValueError(f"n_step of the dynamics is {self.n_step}; averages need at least {10 * CHECK}")


class Averages(NamedTuple):
    """Means of a run, with standard errors.

    enthalpy: with the kinetic energy of all 3 N degrees of freedom, eV/atom; volume: Å³/atom; temperature: K; displacement: largest
    distance of an atom's mean position from its site, in nearest-neighbour distances; infinite where the cell came apart.
    """

    enthalpy: float
    enthalpy_error: float
    volume: float
    volume_error: float
    temperature: float
    displacement: float


def run(atoms: Atoms, dynamics: Dynamics, nearest: float) -> Averages:
    """Runs a relaxed crystal, whose atoms stand on their lattice sites or relaxed about them; it is left as it came.

    Args:
      atoms: The crystal, with a calculator that has forces and stress.
      dynamics: Settings.
      nearest: Nearest-neighbour distance, Å.

    Raises:
      ArithmeticError: If an energy is not finite.
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
            return Averages(np.nan, np.nan, np.nan, np.nan, np.nan, np.inf)
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


def blocks(values: np.ndarray, n_block: int = 5) -> tuple[float, float]:
    """Mean of a correlated series [n], and its standard error from the means of consecutive blocks."""
    means = np.array([part.mean() for part in np.array_split(values, n_block)])
    return float(values.mean()), float(means.std(ddof=1) / np.sqrt(n_block))
