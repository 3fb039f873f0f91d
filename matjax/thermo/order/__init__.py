"""Configurational entropy: ideal, on sublattices, and with short-range order in pairs and tetrahedra."""

from matjax.thermo.order.entropy import configurational_entropy, sublattice_entropy
from matjax.thermo.order.pair_approximation import Pairs, ordering_temperature
from matjax.thermo.order.tetrahedron import Tetrahedra, tetrahedron_approximation, tetrahedron_energies

__all__ = [
    "Pairs",
    "Tetrahedra",
    "configurational_entropy",
    "ordering_temperature",
    "sublattice_entropy",
    "tetrahedron_approximation",
    "tetrahedron_energies",
]
