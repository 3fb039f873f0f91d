"""Lower convex hulls of energies: one point, many candidates and members, a fixed set of phases, open systems; to pymatgen and back."""

from matjax.thermo.hull.fixed_hull import FixedHull, hull_at
from matjax.thermo.hull.lower_hull import Hull, decompose, energy_above_hull
from matjax.thermo.hull.many_hulls import AboveHull, OpenSystem, energies_above_hull, lower_hulls, open_system, stabilities_of_entries

__all__ = [
    "AboveHull",
    "FixedHull",
    "Hull",
    "OpenSystem",
    "decompose",
    "energies_above_hull",
    "energy_above_hull",
    "hull_at",
    "lower_hulls",
    "open_system",
    "stabilities_of_entries",
]
