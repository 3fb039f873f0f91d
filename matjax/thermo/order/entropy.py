"""Configurational entropy of random occupation, in eV/K per atom."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.host import float64
from matjax.units import BOLTZMANN


def configurational_entropy(x: ArrayLike) -> Array:
    """Ideal entropy of mixing, -k sum x ln x, in eV/(K atom): every atom sits anywhere, independently of its neighbours.

    An absent element adds nothing to the value, and nothing to the gradient: its true slope is infinite, so that a zero here
    stands for "not a variable". Above zero the gradient is exact, -k (ln x + 1).

    Args:
      x: Atomic fractions [..., n_element], summing to 1.

    Example:
      >>> round(float(configurational_entropy([0.2, 0.2, 0.2, 0.2, 0.2])) / BOLTZMANN, 4)
      1.6094
    """
    with float64():
        x = jnp.asarray(x, jnp.float64)
        present = jnp.where(x > 0, x, 1.0)  # ln 1 = 0, and a where before the logarithm keeps its derivative finite
        return -BOLTZMANN * jnp.sum(present * jnp.log(present), axis=-1)


def sublattice_entropy(occupancy: ArrayLike, multiplicities: ArrayLike) -> Array:
    """Ideal entropy of an ordered phase whose orbits are each occupied at random, in eV/(K atom).

    -k sum_orbit m sum y ln y / sum_orbit m: zero for a compound with one element on each orbit, the entropy of mixing for one
    orbit. Orbits without atoms (multiplicity 0) do not count.

    Args:
      occupancy: Site fractions y [..., n_orbit, n_element], summing to 1 over the elements of each orbit.
      multiplicities: Sites per orbit [n_orbit].

    Raises:
      ValueError: If there is not one multiplicity per orbit.

    Source:
      Sundman & Ågren (1981), A regular solution model for phases with several components and sublattices, eq. 9.
    """
    with float64():
        occupancy, share = jnp.asarray(occupancy, jnp.float64), jnp.asarray(multiplicities, jnp.float64)
        if occupancy.ndim < 2 or share.shape != occupancy.shape[-2:-1]:
            raise ValueError(
                f"occupancy [..., n_orbit, n_element] and multiplicities [n_orbit] do not fit: {occupancy.shape}, {share.shape}"
            )
        share = share / jnp.sum(share)
        return jnp.sum(configurational_entropy(occupancy) * share.reshape(*(1,) * (occupancy.ndim - 2), -1), axis=-1)
