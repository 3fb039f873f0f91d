"""CALPHAD: phases of the compound energy formalism, from TDB files or numbers, as functions that JAX computes and differentiates."""

from matjax.thermo.calphad.database import Database, database, solution
from matjax.thermo.calphad.diagram import TieLines, binary_section, critical_point, instability, ternary_section
from matjax.thermo.calphad.equilibrium import Equilibrium, describe, equilibria, follow
from matjax.thermo.calphad.function import Function, constant, joined, polynomial
from matjax.thermo.calphad.phase import Parameter, Phase
from matjax.thermo.calphad.system import (
    Surface,
    System,
    check_temperature,
    energies,
    energy,
    moles,
    parameters,
    surface,
    temperature_range,
)
from matjax.thermo.calphad.tdb import read_tdb

__all__ = [
    "follow",
    "equilibria",
    "describe",
    "Equilibrium",
    "ternary_section",
    "instability",
    "critical_point",
    "binary_section",
    "TieLines",
    "Database",
    "Function",
    "Parameter",
    "Phase",
    "Surface",
    "System",
    "check_temperature",
    "constant",
    "database",
    "energies",
    "energy",
    "joined",
    "moles",
    "parameters",
    "polynomial",
    "read_tdb",
    "solution",
    "surface",
    "temperature_range",
]
