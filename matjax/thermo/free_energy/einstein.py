"""Einstein vibrations: every atom in its own well, one frequency."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.host import float64
from matjax.units import BOLTZMANN

_COLDEST = 1 / 700  # T/theta below which exp(-theta/T) is zero in float64


class Einstein(NamedTuple):
    """Einstein vibrations as a part of a phase; they do not know volume.

    Attributes:
      theta: Einstein temperature, K.
    """

    theta: ArrayLike

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Vibrational free energy, eV/atom."""
        return einstein_free_energy(temperature, self.theta)


def einstein_free_energy(temperature: ArrayLike, theta: ArrayLike) -> Array:
    """Vibrational Helmholtz energy of the Einstein model, eV/atom, with the zero-point energy 3/2 k theta.

    F = 3 k (theta/2 + T ln(1 - exp(-theta/T))). The CALPHAD community's third generation of elements is built on it.

    Args:
      temperature: K [...], >= 0.
      theta: Einstein temperature, K [...], positive; about 0.7 to 0.8 of a Debye temperature.

    Example:
      >>> round(float(einstein_free_energy(0.0, 200.0)) / BOLTZMANN, 3)
      300.0

    Source:
      Einstein (1907), Ann. Phys. 22, 180.
    """
    with float64():
        temperature, theta = (jnp.asarray(value, jnp.float64) for value in (temperature, theta))
        reduced = temperature / theta
        is_warm = reduced > _COLDEST
        thermal = jnp.log(-jnp.expm1(-1 / jnp.where(is_warm, reduced, 1.0)))
        return 3 * BOLTZMANN * theta * (0.5 + jnp.where(is_warm, reduced * thermal, 0.0 * reduced))
