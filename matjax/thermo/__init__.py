"""Thermodynamics: free energies of phases and their parts, convex hulls, phase stability, elasticity; all differentiable."""

from matjax.thermo.alloy.answer import answer
from matjax.thermo.alloy.compound_stability import compound_stabilities
from matjax.thermo.alloy.gibbs import Terms, gibbs_compounds, gibbs_elements, gibbs_liquid, gibbs_mixing, gibbs_solution
from matjax.thermo.alloy.landscape import MEMBERS, Landscape, NoReference, Points, Surfaces, landscape
from matjax.thermo.alloy.liquid import LIQUID, Liquid, ideal_solidus, liquid
from matjax.thermo.alloy.not_considered import NEAR_MELTING, NOT_CONSIDERED, not_considered
from matjax.thermo.alloy.of_potential import Alloy, Sampling, landscape_of
from matjax.thermo.alloy.single_phase import single_phase_probability
from matjax.thermo.alloy.solution import RedlichKister, Surface, condition, evaluate, fit_surface, residuals, spread
from matjax.thermo.alloy.stability import SEPARATION, Own, Search, Stability, describe, stabilities, stability
from matjax.thermo.alloy.transition import Transition, transition_temperature
from matjax.thermo.elasticity.born_criteria import born_criteria
from matjax.thermo.elasticity.conductivity import cahill_conductivity, clarke_conductivity, grueneisen_from_poisson, slack_conductivity
from matjax.thermo.elasticity.crystal_class import ELASTIC_CLASSES, crystal_class, point_group_rotations, standard_axes
from matjax.thermo.elasticity.moduli import (
    SYMMETRY,
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
from matjax.thermo.free_energy.vibration import debye_free_energy, debye_temperature, debye_temperature_from_bulk, is_floored
from matjax.thermo.hull.fixed_hull import FixedHull, fixed_hull, hull_at
from matjax.thermo.hull.lower_hull import Hull, decompose, energy_above_hull, lower_hull
from matjax.thermo.hull.many_hulls import AboveHull, OpenSystem, energies_above_hull, lower_hulls, open_system, stabilities_of_entries
from matjax.thermo.order.entropy import configurational_entropy, sublattice_entropy
from matjax.thermo.order.pair_approximation import Pairs, ordering_temperature, pair_approximation
from matjax.thermo.order.tetrahedron import Tetrahedra, tetrahedron_approximation, tetrahedron_energies
from matjax.thermo.references import References, fit_references

__all__ = [
    "Terms",
    "gibbs_compounds",
    "gibbs_elements",
    "gibbs_liquid",
    "gibbs_mixing",
    "gibbs_solution",
    "MEMBERS",
    "Landscape",
    "NoReference",
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
    "Alloy",
    "LIQUID",
    "Sampling",
    "answer",
    "landscape_of",
    "Liquid",
    "ideal_solidus",
    "liquid",
    "NEAR_MELTING",
    "NOT_CONSIDERED",
    "Transition",
    "single_phase_probability",
    "transition_temperature",
    "not_considered",
    "SEPARATION",
    "Own",
    "Search",
    "compound_stabilities",
    "Stability",
    "describe",
    "stabilities",
    "stability",
    "Pairs",
    "ordering_temperature",
    "pair_approximation",
    "Tetrahedra",
    "tetrahedron_approximation",
    "tetrahedron_energies",
    "FixedHull",
    "fixed_hull",
    "hull_at",
    "AboveHull",
    "OpenSystem",
    "energies_above_hull",
    "lower_hulls",
    "open_system",
    "stabilities_of_entries",
    "Hull",
    "Moduli",
    "References",
    "ELASTIC_CLASSES",
    "SYMMETRY",
    "born",
    "born_criteria",
    "cahill_conductivity",
    "cauchy_pressure",
    "clarke_conductivity",
    "configurational_entropy",
    "crystal_class",
    "debye_free_energy",
    "debye_temperature",
    "debye_temperature_from_bulk",
    "decompose",
    "energy_above_hull",
    "fit_references",
    "grueneisen_from_poisson",
    "hill",
    "independent_constants",
    "is_floored",
    "lower_hull",
    "poisson_ratio",
    "point_group_rotations",
    "pugh_ratio",
    "reuss",
    "rotate",
    "slack_conductivity",
    "standard_axes",
    "sublattice_entropy",
    "symmetrise",
    "universal_anisotropy",
    "voigt",
]
