"""Elastic constants: symmetry, averages, stability criteria, and what follows from them for heat conduction."""

from matjax.thermo.elasticity.conductivity import cahill_conductivity, clarke_conductivity, grueneisen_from_poisson, slack_conductivity
from matjax.thermo.elasticity.crystal_class import point_group_rotations, standard_axes
from matjax.thermo.elasticity.moduli import (
    Moduli,
    born,
    cauchy_pressure,
    hill,
    independent_constants,
    poisson_ratio,
    pugh_ratio,
    reuss,
    rotate,
    symmetrise,
    universal_anisotropy,
    voigt,
)

__all__ = [
    "Moduli",
    "born",
    "cahill_conductivity",
    "cauchy_pressure",
    "clarke_conductivity",
    "grueneisen_from_poisson",
    "hill",
    "independent_constants",
    "point_group_rotations",
    "poisson_ratio",
    "pugh_ratio",
    "reuss",
    "rotate",
    "slack_conductivity",
    "standard_axes",
    "symmetrise",
    "universal_anisotropy",
    "voigt",
]
