"""Alloys: from energies of cells to a landscape of solutions, compounds and the liquid, and the one definition of stability in it."""

from matjax.thermo.alloy.gibbs import Terms, gibbs_compounds, gibbs_elements, gibbs_liquid, gibbs_mixing, gibbs_solution
from matjax.thermo.alloy.landscape import Landscape, Points, Surfaces
from matjax.thermo.alloy.liquid import Liquid, ideal_solidus
from matjax.thermo.alloy.of_potential import Alloy, Sampling, landscape_of
from matjax.thermo.alloy.single_phase import single_phase_probability
from matjax.thermo.alloy.solution import RedlichKister, Surface, fit_surface
from matjax.thermo.alloy.stability import Own, Stability, describe, stabilities
from matjax.thermo.alloy.transition import Transition, transition_temperature

__all__ = [
    "Alloy",
    "Landscape",
    "Liquid",
    "Own",
    "Points",
    "RedlichKister",
    "Sampling",
    "Stability",
    "Surface",
    "Surfaces",
    "Terms",
    "Transition",
    "describe",
    "fit_surface",
    "gibbs_compounds",
    "gibbs_elements",
    "gibbs_liquid",
    "gibbs_mixing",
    "gibbs_solution",
    "ideal_solidus",
    "landscape_of",
    "single_phase_probability",
    "stabilities",
    "transition_temperature",
]
