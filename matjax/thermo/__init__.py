"""Thermodynamics: reference energies (the Gibbs head grows here)."""

from matjax.thermo.elasticity import (
    SYMMETRY,
    Moduli,
    born,
    cauchy_pressure,
    hill,
    poisson_ratio,
    pugh_ratio,
    reuss,
    symmetrise,
    universal_anisotropy,
    voigt,
)
from matjax.thermo.entropy import configurational_entropy, sublattice_entropy
from matjax.thermo.gibbs import Terms, gibbs_compounds, gibbs_elements, gibbs_mixing, gibbs_solution
from matjax.thermo.hull import Hull, decompose, energy_above_hull, lower_hull
from matjax.thermo.landscape import MEMBERS, Landscape, Points, Surfaces, landscape
from matjax.thermo.references import References, fit_references
from matjax.thermo.solution import RedlichKister, Surface, condition, evaluate, fit_surface, residuals, spread
from matjax.thermo.stability import NOT_CONSIDERED, SEPARATION, Own, Search, Stability, describe, stabilities, stability
from matjax.thermo.vibration import debye_free_energy, debye_temperature, debye_temperature_from_bulk, is_floored

__all__ = [
    "Terms",
    "gibbs_compounds",
    "gibbs_elements",
    "gibbs_mixing",
    "gibbs_solution",
    "MEMBERS",
    "Landscape",
    "Points",
    "Surfaces",
    "landscape",
    "RedlichKister",
    "Surface",
    "condition",
    "evaluate",
    "fit_surface",
    "residuals",
    "spread",
    "NOT_CONSIDERED",
    "SEPARATION",
    "Own",
    "Search",
    "Stability",
    "describe",
    "stabilities",
    "stability",
    "Hull",
    "Moduli",
    "References",
    "SYMMETRY",
    "born",
    "cauchy_pressure",
    "configurational_entropy",
    "debye_free_energy",
    "debye_temperature",
    "debye_temperature_from_bulk",
    "decompose",
    "energy_above_hull",
    "fit_references",
    "hill",
    "is_floored",
    "lower_hull",
    "poisson_ratio",
    "pugh_ratio",
    "reuss",
    "sublattice_entropy",
    "symmetrise",
    "universal_anisotropy",
    "voigt",
]
