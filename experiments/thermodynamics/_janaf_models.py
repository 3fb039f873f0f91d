"""G(T) - H(298.15 K) of a compound by each method, eV/atom: phonons of the potential, its equation of state, and published estimates."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from _janaf_crystals import ROOM, TEMPERATURES, Compound
from ase.data import atomic_masses
from pymatgen.core import Composition

from matjax.simulate.phonons import PLANCK
from matjax.thermo.free_energy.equation_of_state import EquationOfState, fit_equation_of_state, pressure
from matjax.thermo.free_energy.gruneisen import debye_gruneisen_from_bulk, gruneisen_parameter
from matjax.thermo.free_energy.phase import Phase
from matjax.thermo.free_energy.properties import properties
from matjax.thermo.free_energy.quasi_harmonic import QuasiHarmonic
from matjax.thermo.host import float64
from matjax.units import ENERGY

STIFFENED = 1.0
"""Imaginary modes count with their absolute frequency, at least this (THz),"""

MOST_IMAGINARY = 0.1
"""unless more than this share of the modes are imaginary: then the compound falls back to the Debye form. Both are flagged and scored."""

KOPP = {"H": 9.6, "B": 11.3, "C": 7.5, "Si": 15.9, "O": 16.7, "F": 20.9, "P": 22.6, "S": 22.6, "Be": 15.9}
KOPP_OTHERS = 25.9
"""Kopp's heat capacities of atoms in solids, J/mol/K."""


class Answer(NamedTuple):
    """G(T) - H(298.15 K) at TEMPERATURES, eV/atom, and what is to be said of it ("" if nothing)."""

    values: np.ndarray
    note: str = ""


def by_phonons(compound: Compound, row: dict[str, Any]) -> Answer:
    """Harmonic, at the relaxed volume. Of the three forms this one has the smallest error on elements, at every temperature.

    PBE expands crystals about as much as heat does, so that its relaxed volume stands for both.
    """
    if row["share_imaginary"] > MOST_IMAGINARY:
        return by_debye(compound, row)._replace(note=_note(row))
    return Answer(_less_room(Phase(vibrational=_spectrum(row, 0.0), volume=row["volume_per_atom"]), 0.0), _note(row))


def by_expanding_phonons(compound: Compound, row: dict[str, Any]) -> Answer:
    """Quasi-harmonic, one Grüneisen parameter for all modes from the equation of state; the relaxed volume is that of atoms at rest."""
    return _relaxed(_quasi_harmonic(row), 0.0, _note(row))


def by_anchored_phonons(compound: Compound, row: dict[str, Any]) -> Answer:
    """The same under a pressure that makes the relaxed volume that of room temperature, where enthalpies are anchored."""
    phase = _quasi_harmonic(row)
    return _relaxed(phase, float(pressure(phase, phase.static.volume, ROOM)), _note(row))


def by_debye(compound: Compound, row: dict[str, Any]) -> Answer:
    """Debye-Grüneisen from the equation of state alone."""
    curve = _curve(row)
    phase = Phase(static=curve, vibrational=debye_gruneisen_from_bulk(curve, float(atomic_masses[compound.crystal.numbers].mean())))
    return _relaxed(phase, float(pressure(phase, curve.volume, ROOM)), "")


def by_descriptor(compound: Compound, row: dict[str, Any] | None = None) -> Answer:
    """The published descriptor, from the volume of the Materials Project and the reduced mass.

    Source:
      Bartel et al., Nat. Commun. 9, 4168 (2018), eqs. 3 and 4.
    """
    composition = Composition(compound.formula)
    weights = [composition[a] + composition[b] for a, b in itertools.combinations(composition, 2)]
    masses = [a.atomic_mass * b.atomic_mass / (a.atomic_mass + b.atomic_mass) for a, b in itertools.combinations(composition, 2)]
    mass = np.dot(weights, masses) / ((len(composition) - 1) * composition.num_atoms)
    volume, t = compound.crystal.volume / len(compound.crystal), np.array(TEMPERATURES)
    return Answer((-2.48e-4 * np.log(volume) - 8.94e-5 * mass / volume) * t + 0.181 * np.log(t) - 0.882)


def by_neumann_kopp(compound: Compound, row: dict[str, Any] | None = None) -> Answer:
    """Kopp's heat capacities summed over atoms, and the entropy at 298 K from the volume of the formula unit.

    Source:
      Kopp (1865); Jenkins & Glasser, Inorg. Chem. 42, 8702 (2003), eq. 5: S = 1360 V + 15 J/mol/K, V in nm³ (anhydrous ionic solids).
    """
    composition = Composition(compound.formula)
    n = composition.num_atoms
    heat = sum(KOPP.get(str(element), KOPP_OTHERS) * amount for element, amount in composition.items()) / n
    entropy = 1360 * compound.crystal.volume / len(compound.crystal) * 1e-3 + 15 / n
    t = np.array(TEMPERATURES)
    joule = heat * (t - ROOM) - t * (entropy + heat * np.log(t / ROOM))
    return Answer(joule * 1e-3 * ENERGY["kJ/mol"])


METHODS: dict[str, Callable[..., Answer]] = {
    "phonons": by_phonons, "phonons, expanding": by_expanding_phonons, "phonons, expanding from 298 K": by_anchored_phonons,
    "debye": by_debye, "descriptor": by_descriptor, "neumann-kopp": by_neumann_kopp,
}  # fmt: skip


def _spectrum(row: dict[str, Any], gamma: float) -> QuasiHarmonic:
    """All modes with one Grüneisen parameter."""
    given = np.array(row["spectrum_thz"])
    energies = np.where(given < 0, np.maximum(np.abs(given), STIFFENED), given) * PLANCK * 1e12
    n, volume, curve = len(energies), row["volume_per_atom"], row["volumes"]
    with float64():
        number = lambda value: jnp.asarray(value, jnp.float64)
        powers = number(np.stack([np.log(energies), np.full(n, -gamma)]))
        return QuasiHarmonic(powers, number(np.full(n, 3 / n)), *map(number, (volume, curve[0], curve[-1], [row["share_imaginary"]])))


def _quasi_harmonic(row: dict[str, Any]) -> Phase:
    curve = _curve(row)
    return Phase(static=curve, vibrational=_spectrum(row, float(gruneisen_parameter(curve.bulk_derivative))))


def _note(row: dict[str, Any]) -> str:
    share = row["share_imaginary"]
    return f"{share:.1%} of modes imaginary: {'Debye' if share > MOST_IMAGINARY else 'stiffened'}" if share else ""


def _curve(row: dict[str, Any]) -> EquationOfState:
    return fit_equation_of_state(row["volumes"], row["energies"])


def _relaxed(phase: Phase, held_by: float, note: str) -> Answer:
    """Relaxed in volume; at the largest volume that is known where the crystal expands beyond it."""
    free = properties(phase, np.array([ROOM, *TEMPERATURES]), held_by)
    gibbs, enthalpy = np.array(free.gibbs_energy), float(free.enthalpy[0])
    if not np.isfinite(enthalpy):
        return Answer(
            _less_room(phase.at(phase.static.volume), held_by), "; ".join(filter(None, [note, "no minimum of F + P V: volume held"]))
        )
    edge = np.asarray(properties(phase.at(phase.volume_range[1]), np.array([ROOM, *TEMPERATURES]), held_by).gibbs_energy)
    is_lost = ~np.isfinite(gibbs)[1:]
    values = np.where(np.isfinite(gibbs), gibbs, edge)[1:] - enthalpy
    if not is_lost.any():
        return Answer(values, note)
    return Answer(values, "; ".join(filter(None, [note, f"expands beyond what is known at {np.array(TEMPERATURES)[is_lost][0]:.0f} K"])))


def _less_room(phase: Phase, held_by: float) -> np.ndarray:
    found = properties(phase, np.array([ROOM, *TEMPERATURES]), held_by)
    return np.asarray(found.gibbs_energy)[1:] - float(found.enthalpy[0])
