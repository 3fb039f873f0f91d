"""Units, once: Å, eV, eV/Å, eV/Å³ and K inside; everything else is converted here, at the door.

Factors are CODATA 2018 (exact where the SI defines them); the tests hold them against `scipy.constants`.
"""

from __future__ import annotations

from collections.abc import Mapping

ENERGY = {"eV": 1.0, "meV": 1e-3, "Ha": 27.211386245988, "Ry": 13.605693122994, "kJ/mol": 0.010364269656262, "kcal/mol": 0.043364104241800}
LENGTH = {"Å": 1.0, "A": 1.0, "angstrom": 1.0, "nm": 10.0, "bohr": 0.529177210903}
PRESSURE = {"eV/Å³": 1.0, "GPa": 1 / 160.2176634, "kbar": 1 / 1602.176634, "Pa": 1 / 160.2176634e9}
BOLTZMANN = 8.617333262e-5  # eV/K


def energy_to_ev(unit: str) -> float:
    """Factor that turns an energy in `unit` (optionally per atom: `kJ/mol/atom`) into eV.

    Raises:
      ValueError: If the unit is not known.

    Example:
      >>> energy_to_ev("meV/atom")
      0.001
    """
    return _factor(unit.removesuffix("/atom"), ENERGY, "energy", "each also with /atom")


def length_to_angstrom(unit: str) -> float:
    """Factor that turns a length in `unit` into Å.

    Raises:
      ValueError: If the unit is not known.
    """
    return _factor(unit, LENGTH, "length")


def force_to_ev_per_angstrom(unit: str) -> float:
    """Factor that turns a force in `unit`, an energy by a length such as `Ha/bohr`, into eV/Å.

    Raises:
      ValueError: If either unit is not known.

    Example:
      >>> round(force_to_ev_per_angstrom("Ha/bohr"), 3)
      51.422
    """
    energy, _, length = unit.rpartition("/")
    return _factor(energy, ENERGY, "energy", f"a force is an energy by a length, not {unit!r}") / length_to_angstrom(length)


def pressure_to_ev_per_cubic_angstrom(unit: str) -> float:
    """Factor that turns a pressure or stress in `unit` into eV/Å³. The sign convention is the caller's.

    Raises:
      ValueError: If the unit is not known.
    """
    return _factor(unit, PRESSURE, "pressure")


def _factor(unit: str, table: Mapping[str, float], kind: str, note: str = "") -> float:
    """The factor of a unit, or an error that lists the allowed ones."""
    name = unit.strip()
    if name not in table:
        raise ValueError(f"unknown {kind} unit {unit!r}; allowed: {', '.join(table)}{f' ({note})' if note else ''}")
    return table[name]
