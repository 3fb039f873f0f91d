"""Debye-Grüneisen vibrations: a Debye temperature that falls as the crystal expands, by the slope of its bulk modulus.

The cheapest free energy that knows thermal expansion: it needs an equation of state, and at best a shear modulus.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.free_energy.equation_of_state import EquationOfState
from matjax.thermo.free_energy.vibration import debye_free_energy, debye_temperature, debye_temperature_from_bulk
from matjax.thermo.host import float64

Rule = Literal["slater", "dugdale_macdonald", "vashchenko_zubarev"]

RULES: dict[Rule, float] = {"slater": 1 / 6, "dugdale_macdonald": 1 / 2, "vashchenko_zubarev": 5 / 6}
"""What each rule takes from B0'/2."""


class DebyeGruneisen(NamedTuple):
    """Debye free energy per atom, zero-point energy included, with theta(V) = theta0 (V0/V)^gamma.

    Attributes:
      theta: Debye temperature at `volume`, K.
      volume: V0, Å³/atom.
      gamma: Grüneisen parameter, -d ln theta / d ln V.

    Source:
      Moruzzi, Janak & Schwarz (1988), Calculated thermal properties of metals, PRB 37, 790, eqs. 4-11.
    """

    theta: ArrayLike
    volume: ArrayLike
    gamma: ArrayLike

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Vibrational free energy, eV/atom."""
        with float64():
            return debye_free_energy(temperature, self.theta * (self.volume / jnp.asarray(volume, jnp.float64)) ** self.gamma)

    @property
    def volume_range(self) -> tuple[float, float]:
        """It depends on volume, and leaves it to the static energy to say how far."""
        return 0.0, jnp.inf


def gruneisen_parameter(bulk_derivative: ArrayLike, rule: Rule = "slater") -> Array:
    """Grüneisen parameter at zero pressure: B0'/2 - 1/6 (Slater), - 1/2 (Dugdale-MacDonald) or - 5/6 (Vashchenko-Zubarev).

    Slater takes all modes to stiffen as the bulk modulus does, Dugdale and MacDonald take waves along chains, the free-volume theory of
    Vashchenko and Zubarev atoms in cages. Moruzzi et al. use Dugdale-MacDonald at low and Slater at high temperature.

    Args:
      bulk_derivative: B0' = dB/dP.
      rule: Which.

    Raises:
      ValueError: If there is no such rule.

    Source:
      Slater (1939), Introduction to Chemical Physics; Dugdale & MacDonald (1953), Phys. Rev. 89, 832; Vashchenko & Zubarev (1963).
    """
    if rule not in RULES:
        raise ValueError(f"no Grüneisen rule is called {rule!r}; there are {', '.join(RULES)}")
    with float64():
        return jnp.asarray(bulk_derivative, jnp.float64) / 2 - RULES[rule]


def debye_gruneisen(curve: EquationOfState, shear: ArrayLike, mass: ArrayLike, rule: Rule = "slater") -> DebyeGruneisen:
    """Debye-Grüneisen vibrations with Anderson's Debye temperature from bulk and shear modulus, for any solid.

    Args:
      curve: Equation of state; its minimum, bulk modulus and slope are used.
      shear: Shear modulus at the minimum (Hill average), eV/Å³; see `is_floored` for lattices that do not resist shear.
      mass: Mean mass per atom, amu.
      rule: How gamma follows from B0'.
    """
    theta = debye_temperature(curve.bulk, shear, curve.volume, mass)
    return DebyeGruneisen(theta, curve.volume, gruneisen_parameter(curve.bulk_derivative, rule))


def debye_gruneisen_from_bulk(curve: EquationOfState, mass: ArrayLike, rule: Rule = "slater") -> DebyeGruneisen:
    """Debye-Grüneisen vibrations from the equation of state alone: for metals only, and rough where the Poisson ratio is unusual.

    Args:
      curve: Equation of state; its minimum, bulk modulus and slope are used.
      mass: Mean mass per atom, amu.
      rule: How gamma follows from B0'.
    """
    theta = debye_temperature_from_bulk(curve.bulk, curve.volume, mass)
    return DebyeGruneisen(theta, curve.volume, gruneisen_parameter(curve.bulk_derivative, rule))
