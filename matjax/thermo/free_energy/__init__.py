"""The free energy of one phase as one scalar of parts, and what are its derivatives: `gibbs(Phase(...), T, P)`."""

from matjax.thermo.free_energy.coexistence import Coexistence, coexistence_pressure, coexistence_temperature
from matjax.thermo.free_energy.einstein import Einstein, einstein_free_energy
from matjax.thermo.free_energy.electronic import FermiDirac, Sommerfeld
from matjax.thermo.free_energy.equation_of_state import BirchMurnaghan, Vinet, fit_equation_of_state
from matjax.thermo.free_energy.gruneisen import DebyeGruneisen, debye_gruneisen, debye_gruneisen_from_bulk
from matjax.thermo.free_energy.harmonic import Harmonic, harmonic_free_energy
from matjax.thermo.free_energy.magnetic import above_ferromagnet, magnetic_free_energy
from matjax.thermo.free_energy.parts import EnergyOfVolume, MagneticDisorder, MagneticOrder, RandomMixing, StaticEnergy, SublatticeMixing
from matjax.thermo.free_energy.phase import Part, Phase, equilibrium_volume, gibbs
from matjax.thermo.free_energy.properties import Properties, table
from matjax.thermo.free_energy.quasi_harmonic import QuasiHarmonic
from matjax.thermo.free_energy.vibration import debye_free_energy, debye_temperature, debye_temperature_from_bulk, is_floored

__all__ = [
    "BirchMurnaghan",
    "Coexistence",
    "DebyeGruneisen",
    "Einstein",
    "EnergyOfVolume",
    "FermiDirac",
    "Harmonic",
    "MagneticDisorder",
    "MagneticOrder",
    "Part",
    "Phase",
    "Properties",
    "QuasiHarmonic",
    "RandomMixing",
    "Sommerfeld",
    "StaticEnergy",
    "SublatticeMixing",
    "Vinet",
    "above_ferromagnet",
    "coexistence_pressure",
    "coexistence_temperature",
    "debye_free_energy",
    "debye_gruneisen",
    "debye_gruneisen_from_bulk",
    "debye_temperature",
    "debye_temperature_from_bulk",
    "einstein_free_energy",
    "equilibrium_volume",
    "fit_equation_of_state",
    "gibbs",
    "harmonic_free_energy",
    "is_floored",
    "magnetic_free_energy",
    "table",
]
