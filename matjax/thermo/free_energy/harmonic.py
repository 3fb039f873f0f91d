"""Vibrational free energy of harmonic modes: from frequencies and weights, with the zero-point energy, imaginary modes never dropped."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.host import float64
from matjax.units import BOLTZMANN

TRANSLATION = 1e-6
"""Modes with |h nu| below this (eV; 0.24 GHz) are translations of the crystal, of which there are three at the zone centre."""

IMAGINARY = 4e-4
"""A mode is imaginary if h nu, taken negative, is below minus this (eV; 0.1 THz); between, it is an acoustic mode's rounding."""

_COLD = 1e-3
"""kT / (h nu) below which a mode is frozen in, to exp(-1000)."""


class Harmonic(NamedTuple):
    """Harmonic modes of a crystal, as a part of its free energy: called with (temperature, volume), which it does not depend on.

    Attributes:
      energies: h nu of the modes [n_mode], eV, all positive; NaN if imaginary modes were refused.
      shares: Modes per atom that each stands for [n_mode]; they sum to 3.
      imaginary: Share of the modes that were imaginary, whatever became of them.
    """

    energies: Array
    shares: Array
    imaginary: Array

    def __call__(self, temperature: ArrayLike, volume: ArrayLike = 0.0) -> Array:
        """Free energy, eV/atom; the volume does not matter."""
        return harmonic_free_energy(temperature, self.energies, self.shares)


def harmonic(frequencies: ArrayLike, weights: ArrayLike, *, stiffen_to: float | None = None) -> Harmonic:
    """The modes on a mesh of wave vectors as a free energy.

    Translations are left out, and what is left counts for all (3 modes per atom); so do modes between -IMAGINARY and zero. A crystal
    with imaginary modes is not at a minimum and has no harmonic free energy: by default all its energies are NaN, with `imaginary` set.

    Args:
      frequencies: h nu [n_q, 3 n_atom], eV, imaginary ones negative; see `simulate.phonons.modes`.
      weights: Of the wave vectors [n_q], to any sum.
      stiffen_to: Give imaginary modes this h nu (eV) instead: an assumption about anharmonic stabilisation, to be said beside the result.

    Raises:
      ValueError: If the shapes do not fit, or `stiffen_to` is not positive.
    """
    with float64():
        frequencies, weights = jnp.asarray(frequencies, jnp.float64), jnp.asarray(weights, jnp.float64)
        if frequencies.ndim != 2 or weights.shape != frequencies.shape[:1]:
            raise ValueError(f"frequencies [n_q, n_mode] and weights [n_q] are needed; these are {frequencies.shape} and {weights.shape}")
        energies, counted, is_imaginary = stiffened(frequencies, stiffen_to)
        share = jnp.broadcast_to(weights[:, None], energies.shape)
        kept = jnp.where(counted, share, 0.0)
        imaginary = jnp.where(is_imaginary, share, 0.0).sum() / share.sum()
        return Harmonic(energies.reshape(-1), (3 * kept / kept.sum()).reshape(-1), imaginary)


def stiffened(frequencies: Array, stiffen_to: float | None) -> tuple[Array, Array, Array]:
    """Positive energies, which of them count, and which were imaginary; the imaginary ones are NaN, or `stiffen_to`.

    Args:
      frequencies: h nu [...], eV.
      stiffen_to: eV, or None.

    Raises:
      ValueError: If `stiffen_to` is not positive.
    """
    if stiffen_to is not None and not stiffen_to > 0:
        raise ValueError(f"stiffen_to is {stiffen_to} eV; it must be positive, such as 0.004 (1 THz)")
    is_imaginary = frequencies < -IMAGINARY
    counted = (frequencies > TRANSLATION) | is_imaginary | jnp.isnan(frequencies)
    energies = jnp.where(counted, frequencies, 1.0)
    return jnp.where(is_imaginary, jnp.nan if stiffen_to is None else stiffen_to, energies), counted, is_imaginary


def harmonic_free_energy(temperature: ArrayLike, energies: ArrayLike, shares: ArrayLike) -> Array:
    """Helmholtz energy of harmonic modes, eV/atom: sum of shares (h nu / 2 + kT ln(1 - exp(-h nu / kT))).

    The zero-point energy is included. Entropy, energy and heat capacity are its derivatives; at high temperature the heat capacity is
    3 k per atom, and all of them are smooth down to 0 K.

    Args:
      temperature: K [...], >= 0; NaN below.
      energies: h nu [n_mode], eV, positive.
      shares: Modes per atom [n_mode], which sum to 3.

    Source:
      Born & Huang, Dynamical Theory of Crystal Lattices (1954), sec. 16.
    """
    with float64():
        temperature, energies, shares = (jnp.asarray(value, jnp.float64) for value in (temperature, energies, shares))
        return _free_energy(temperature, energies, shares)


@jax.jit
def _free_energy(temperature: Array, energies: Array, shares: Array) -> Array:
    thermal = jnp.where(temperature >= 0, BOLTZMANN * temperature, jnp.nan)[..., None]
    shape = np.broadcast_shapes(thermal.shape, energies.shape)
    thermal, energies = jnp.broadcast_to(thermal, shape), jnp.broadcast_to(energies, shape)
    reduced = thermal / energies
    is_cold = reduced < _COLD
    occupied = thermal * jnp.log(-jnp.expm1(-1 / jnp.where(is_cold, 1.0, reduced)))
    return jnp.sum(shares * (energies / 2 + jnp.where(is_cold, 0.0, occupied)), axis=-1)
