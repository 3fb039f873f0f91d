"""Labels in the house's units: eV, eV/atom, eV/Å, eV/Å³."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from matjax.data.check import check_units, is_formation
from matjax.data.readers.columns import TENSORS
from matjax.units import ENERGY, LENGTH, PRESSURE, energy_to_ev

UNITS = {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³"}


def converted(labels: Mapping[str, Any], units: Mapping[str, str], n_atom: Sequence[int]) -> tuple[dict[str, Any], dict[str, str]]:
    """Labels in the house's units, and {label: unit} afterwards.

    Energies become eV, or eV/atom where the source is per atom; forces eV/Å; stress eV/Å³. A unit that is no energy (`GPa` of a
    modulus) is only written down. A per-atom `energy` is multiplied by the number of atoms, so that `energy` is a total.

    Args:
      labels: {label: column}.
      units: {label: unit of the source}; a label that is not named is taken to be in the house's unit.
      n_atom: Atoms per crystal.

    Raises:
      ValueError: If a unit or a label in `units` is unknown, or formation energies cannot be in eV/atom.
    """
    if unknown := [u for u in units if u not in labels]:
        raise ValueError(f"units names {unknown[0]!r}, which is not a label; the labels are {', '.join(labels) or 'none'}")
    result, stated = dict(labels), {}
    for name, column in labels.items():
        unit = units.get(name, UNITS.get(name, "eV/atom" if is_formation(name) or name.endswith("energy_per_atom") else ""))
        factor, stated[name] = _factor(name, unit)
        if name == "forces":
            result[name] = tuple(factor * f for f in column)
        else:
            result[name] = factor * column
        if name == "energy" and unit.endswith("/atom"):
            result[name] = result[name] * np.asarray(n_atom)
        if name not in TENSORS:
            check_units(name, result[name], stated[name])
    return result, stated


def _factor(label: str, unit: str) -> tuple[float, str]:
    """Factor into the house's unit of a label, and that unit."""
    if label == "forces":
        energy, _, length = unit.rpartition("/")
        if length not in LENGTH:
            raise ValueError(f"unknown force unit {unit!r}; give energy/length with length one of {', '.join(LENGTH)}")
        return energy_to_ev(energy) / LENGTH[length], UNITS["forces"]
    if label == "stress":
        if unit not in PRESSURE:
            raise ValueError(f"unknown stress unit {unit!r}; allowed: {', '.join(PRESSURE)}")
        return PRESSURE[unit], UNITS["stress"]
    if label == "energy":
        return energy_to_ev(unit), "eV"
    if unit.removesuffix("/atom") not in ENERGY:
        return 1.0, unit
    per_atom = unit.endswith("/atom") or label.endswith("_per_atom")
    if is_formation(label) and not per_atom:
        raise ValueError(f"{label} in {unit!r}: per atom, or per mole of formulas? Say '{unit}/atom', or divide first")
    return energy_to_ev(unit), "eV/atom" if per_atom else "eV"
