"""A phase's free energy from a potential and a crystal at rest: three depths, three costs.

`debye_phase` asks for energies at nine volumes; `harmonic_phase` for the phonons of one volume; `quasi_harmonic_phase` for those of
several. Each is a `Phase`, whose Gibbs energy and properties are derivatives of one scalar.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from ase.data import atomic_masses

from matjax.simulate.phonons import Modes, force_constants, modes
from matjax.simulate.supercell import supercell_matrix
from matjax.thermo.free_energy.cold_curve import cold_curve
from matjax.thermo.free_energy.equation_of_state import EquationOfState, fit_equation_of_state
from matjax.thermo.free_energy.gruneisen import debye_gruneisen_from_bulk
from matjax.thermo.free_energy.harmonic import harmonic
from matjax.thermo.free_energy.parts import StaticEnergy
from matjax.thermo.free_energy.phase import Phase
from matjax.thermo.free_energy.quasi_harmonic import quasi_harmonic
from matjax.thermo.host import float64
from matjax.types import Crystal

SHARES = tuple(np.linspace(0.88, 1.16, 9).tolist())
"""Volumes of an equation of state, as shares of the crystal's own."""

FEW = (0.97, 1.0, 1.03, 1.06)
"""Volumes at which phonons are computed for expansion: on both sides, farther where a crystal grows."""


def static_curve(potential: Any, crystal: Crystal, shares: tuple[float, ...] = SHARES) -> EquationOfState:
    """The equation of state of a crystal by the mean energy of a potential's members, atoms carried along.

    Args:
      potential: A trained predictor, or (model, variables).
      crystal: At rest.
      shares: Volumes, as shares of the crystal's own.
    """
    volumes = crystal.volume / len(crystal) * np.asarray(shares)
    with float64():
        return fit_equation_of_state(volumes, cold_curve(potential, crystal, volumes).mean(0))


def debye_phase(potential: Any, crystal: Crystal) -> Phase:
    """Debye-Grüneisen solid from energies over volume alone: for metals; rough where bonds have directions.

    Args:
      potential: A trained predictor, or (model, variables).
      crystal: At rest.
    """
    curve = static_curve(potential, crystal)
    return Phase(static=curve, vibrational=debye_gruneisen_from_bulk(curve, atomic_masses[crystal.numbers].mean()))


def harmonic_phase(
    potential: Any, crystal: Crystal, *, length: float = 10.0, density: float = 30.0, stiffen_to: float | None = None
) -> Phase:
    """Phonons at the crystal's own volume, which is held: no expansion.

    Args:
      potential: A trained predictor, or (model, variables).
      crystal: Primitive cell at rest (forces below 1e-3 eV/Å).
      length: Least distance of an atom from its image in the supercell, Å.
      density: Points of the mesh of wave vectors along a direction times the lattice vector, Å.
      stiffen_to: What to do about imaginary modes; see `harmonic`. By default such a phase has no free energy.
    """
    found = phonons(potential, crystal, length, density)
    with float64():
        energy = cold_curve(potential, crystal, np.array([crystal.volume / len(crystal)])).mean(0)[0]
        vibrational = harmonic(found.frequencies, found.weights, stiffen_to=stiffen_to)
        return Phase(static=StaticEnergy(energy), vibrational=vibrational, volume=jnp.asarray(crystal.volume / len(crystal)))


def quasi_harmonic_phase(
    potential: Any,
    crystal: Crystal,
    *,
    length: float = 10.0,
    density: float = 30.0,
    shares: tuple[float, ...] = FEW,
    report: Callable[[int], None] | None = None,
) -> Phase:
    """Phonons at several volumes and an equation of state: expansion, heat capacity at constant pressure, softening.

    The cell keeps its shape and internal positions when the volume changes: exact where symmetry fixes them.

    Args:
      potential: A trained predictor, or (model, variables).
      crystal: Primitive cell at rest.
      length: As in `harmonic_phase`.
      density: As in `harmonic_phase`.
      shares: Volumes of the phonons, as shares of the crystal's own.
      report: Told how many volumes are done.
    """
    found = []
    for k, share in enumerate(shares):
        scale = share ** (1 / 3)
        at = dataclasses.replace(crystal, lattice=crystal.lattice * scale, positions=crystal.positions * scale)
        found.append(phonons(potential, at, length, density, like=crystal))
        if report is not None:
            report(k + 1)
    volumes = crystal.volume / len(crystal) * np.asarray(shares)
    with float64():
        frequencies = jnp.stack([jnp.asarray(one.frequencies, jnp.float64) for one in found])
        vibrational = quasi_harmonic(volumes, frequencies, found[0].weights, degree=min(2, len(shares) - 1))
        return Phase(static=static_curve(potential, crystal), vibrational=vibrational)


def phonons(potential: Any, crystal: Crystal, length: float, density: float, like: Crystal | None = None) -> Modes:
    """Modes of a primitive cell on a mesh; supercell and mesh are those of `like` if it is given."""
    like = like or crystal
    matrix = supercell_matrix(like, length)
    mesh = [max(1, int(np.ceil(density / edge))) for edge in np.linalg.norm(like.lattice, axis=1)]
    return modes(force_constants(potential, crystal, matrix), crystal, (mesh[0], mesh[1], mesh[2]))
