"""Lattice vibrations in the Debye model: one temperature from the elastic moduli, one free energy, smooth from 0 K on."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.host import float64
from matjax.units import BOLTZMANN

SHEAR_FLOOR = 0.05
"""Smallest shear modulus, as a share of the bulk modulus, that a Debye temperature is made from; In and Tl have 0.06 to 0.1."""

BULK_FLOOR = 1e-3
"""Smallest bulk modulus, in eV/Å³ (0.16 GPa), that a Debye temperature is made from; the softest metal has ten times as much."""

HBAR = 6.582119569e-16  # eV s
SOUND = 9822.694743e10  # Å/s: the velocity sqrt(eV/amu)

AVERAGE = 0.617
"""Mean sound velocity by sqrt(bulk modulus / density): the mean over nonmagnetic cubic metals of Moruzzi, Janak & Schwarz."""

_COLD = 0.02  # T/theta below which the Debye integral has reached its limit, to exp(-50)
_NODES, _WEIGHTS = (a / 2 for a in np.polynomial.legendre.leggauss(48))
_NODES = _NODES + 0.5


def debye_temperature(bulk: ArrayLike, shear: ArrayLike, volume_per_atom: ArrayLike, mass: ArrayLike) -> Array:
    """Debye temperature (K) of an isotropic solid from its mean sound velocity.

    theta = (hbar/k) (6 pi² / volume)^(1/3) v with 3/v³ = 2/v_t³ + 1/v_l³, v_t² = G/rho and v_l² = (B + 4G/3)/rho.

    A lattice that does not resist shear or compression has no Debye temperature. Moduli below SHEAR_FLOOR * bulk and
    BULK_FLOOR count as these floors, so that value and gradients stay finite; `is_floored` says where. The number is then a
    placeholder, and such a phase is to be excluded by its Born stability, not ranked by it.

    Args:
      bulk: Bulk modulus [...], eV/Å³.
      shear: Shear modulus [...], eV/Å³.
      volume_per_atom: Å³/atom [...].
      mass: Mean mass per atom [...], amu.

    Source:
      Anderson (1963), A simplified method for calculating the Debye temperature from elastic constants, eqs. 1 and 3.
    """
    with float64():
        return _anderson(*_together(bulk, shear, volume_per_atom, mass))


def debye_temperature_from_bulk(bulk: ArrayLike, volume_per_atom: ArrayLike, mass: ArrayLike) -> Array:
    """Debye temperature (K) where only the bulk modulus is known: the mean sound velocity is AVERAGE * sqrt(bulk / density).

    Within some 20% for cubic nonmagnetic metals, worse where the Poisson ratio is unusual. Bulk moduli below BULK_FLOOR
    count as the floor.

    Args:
      bulk: Bulk modulus [...], eV/Å³.
      volume_per_atom: Å³/atom [...].
      mass: Mean mass per atom [...], amu.

    Source:
      Moruzzi, Janak & Schwarz (1988), Calculated thermal properties of metals, PRB 37, 790, eq. 7 (41.63 sqrt(r B / M)).
    """
    with float64():
        return _moruzzi(*_together(bulk, volume_per_atom, mass))


def is_floored(bulk: ArrayLike, shear: ArrayLike) -> Array:
    """Where `debye_temperature` replaced a modulus by its floor: the lattice is unstable or nearly so.

    Args:
      bulk: Bulk modulus [...], eV/Å³.
      shear: Shear modulus [...], eV/Å³.
    """
    with float64():
        bulk, shear = _together(bulk, shear)
        return ~((bulk > BULK_FLOOR) & (shear > SHEAR_FLOOR * bulk))


def debye_free_energy(temperature: ArrayLike, theta: ArrayLike) -> Array:
    """Vibrational Helmholtz energy of the Debye model, eV/atom, with the zero-point energy 9/8 k theta.

    F = 9/8 k theta + 3 k T ln(1 - exp(-theta/T)) - k T D(theta/T), D(y) = 3/y³ integral from 0 to y of t³/(exp(t) - 1) dt.
    Entropy and heat capacity are its derivatives; they are smooth for all T >= 0 and vanish as T³ at 0 K.

    Args:
      temperature: K [...], >= 0.
      theta: Debye temperature, K [...], positive; broadcast against temperature.

    Source:
      Debye (1912). The integral is taken by 48 Gauss-Legendre nodes on [0, min(y, 50)], exact to rounding.
    """
    with float64():
        return _debye_free_energy(*_together(temperature, theta))


@jax.jit
def _anderson(bulk: Array, shear: Array, volume: Array, mass: Array) -> Array:
    bulk = jnp.where(bulk > BULK_FLOOR, bulk, BULK_FLOOR)
    shear = jnp.where(shear > SHEAR_FLOOR * bulk, shear, SHEAR_FLOOR * bulk)
    transverse, longitudinal = shear, bulk + 4 / 3 * shear
    return _debye_temperature(((2 * transverse**-1.5 + longitudinal**-1.5) / 3) ** (-2 / 3), volume, mass)


@jax.jit
def _moruzzi(bulk: Array, volume: Array, mass: Array) -> Array:
    return _debye_temperature(AVERAGE**2 * jnp.where(bulk > BULK_FLOOR, bulk, BULK_FLOOR), volume, mass)


def _debye_temperature(modulus: Array, volume: Array, mass: Array) -> Array:
    """From density times the square of the mean sound velocity (eV/Å³), volume per atom (Å³) and mass (amu)."""
    return HBAR * SOUND / BOLTZMANN * (6 * np.pi**2) ** (1 / 3) * volume ** (1 / 6) * jnp.sqrt(modulus / mass)


@jax.jit
def _debye_free_energy(temperature: Array, theta: Array) -> Array:
    reduced = temperature / theta
    y = 1 / jnp.where(reduced > _COLD, reduced, _COLD)
    nodes, weights = (jnp.asarray(a).reshape(-1, *(1,) * y.ndim) for a in (_NODES, _WEIGHTS))
    integral = jnp.sum(weights * nodes**3 / jnp.expm1(nodes * y[None]), axis=0)  # of t³/(exp(t) - 1), over y⁴
    thermal = 3 * reduced * jnp.log(-jnp.expm1(-y)) - 3 * (reduced * y) ** 4 * integral
    return BOLTZMANN * theta * (9 / 8 + thermal)


def _together(*values: ArrayLike) -> list[Array]:
    """Float64 arrays of one shape."""
    return jnp.broadcast_arrays(*(jnp.asarray(value, jnp.float64) for value in values))
