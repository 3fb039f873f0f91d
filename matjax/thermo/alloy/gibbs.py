"""Gibbs energy of a phase at T: enthalpy, configurational entropy and vibrations, each a term that can be left out.

One scalar per phase, so that entropy, enthalpy and chemical potentials are `jax.grad` of it. Pressure is zero.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from matjax.config import spec
from matjax.thermo.alloy.landscape import Landscape
from matjax.thermo.alloy.solution import evaluate
from matjax.thermo.free_energy.vibration import debye_free_energy, debye_temperature
from matjax.thermo.host import float64
from matjax.thermo.order.entropy import configurational_entropy


@spec
class Terms:
    """Which terms a Gibbs energy has besides the enthalpy; the same for every phase that is compared.

    Attributes:
      configurational: Ideal entropy of mixing of solutions (an ordered compound has none).
      vibrational: Debye free energy, zero-point energy included, from the mean velocity of sound.
    """

    configurational: bool = True
    vibrational: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """For reports."""
        chosen = ("ideal configurational entropy", self.configurational), ("Debye vibrations", self.vibrational)
        return ("enthalpy", *(name for name, used in chosen if used))


ALL_TERMS = Terms()


def gibbs_solution(landscape: Landscape, lattice: Array | int, x: ArrayLike, temperature: ArrayLike, terms: Terms = ALL_TERMS) -> Array:
    """Gibbs energy of the solution on a lattice, eV/atom relative to the elements' lowest enthalpies.

    G = H(x) - T S_conf(x) + F_Debye(T; B(x), G(x), V(x), mean mass).

    Args:
      landscape: One member's, or with a leading axis of members.
      lattice: Index in LATTICES.
      x: Compositions; the last axis sums to 1.
      temperature: K, a number.
      terms: Which terms.
    """
    with float64():
        return _gibbs_solution(landscape, jnp.asarray(lattice), jnp.asarray(x, jnp.float64), jnp.asarray(temperature, jnp.float64), terms)


def gibbs_liquid(landscape: Landscape, x: ArrayLike, temperature: ArrayLike, terms: Terms = ALL_TERMS) -> Array:
    """Gibbs energy of the landscape's liquid, eV/atom relative to the elements' lowest enthalpies; see `Liquid`.

    Raises:
      ValueError: If the landscape has none.
    """
    if landscape.liquid is None:
        raise ValueError("this landscape has no liquid: build it with landscape(..., liquid=liquid(elements))")
    with float64():
        x, temperature = jnp.asarray(x, jnp.float64), jnp.asarray(temperature, jnp.float64)
        solid = gibbs_elements(landscape, temperature, terms)
        elements = solid + jnp.broadcast_to(landscape.liquid.fusion(temperature), solid.shape)
        mixing = 2 * jnp.sum((x @ landscape.liquid.pair) * x, axis=-1)
        if terms.configurational:
            mixing = mixing - temperature * configurational_entropy(x)
        gibbs = jnp.tensordot(elements, x, axes=(-1, -1))
        return gibbs + jnp.broadcast_to(mixing, gibbs.shape)


def gibbs_compounds(landscape: Landscape, temperature: ArrayLike, terms: Terms = ALL_TERMS) -> Array:
    """Gibbs energy of every ordered compound, eV/atom relative to the elements' lowest enthalpies; order is taken as perfect."""
    with float64():
        return _gibbs_compounds(landscape, jnp.asarray(temperature, jnp.float64), terms)


def gibbs_elements(landscape: Landscape, temperature: ArrayLike, terms: Terms = ALL_TERMS) -> Array:
    """Gibbs energy of each pure element on its stable lattice at T, eV/atom relative to its lowest enthalpy."""
    with float64():
        n_lattice, pure = landscape.enthalpy.mean.shape[-2], jnp.eye(len(landscape.mass), dtype=jnp.float64)
        return jnp.stack([gibbs_solution(landscape, k, pure, temperature, terms) for k in range(n_lattice)]).min(0)


def gibbs_mixing(landscape: Landscape, lattice: Array | int, x: ArrayLike, temperature: ArrayLike, terms: Terms = ALL_TERMS) -> Array:
    """Gibbs energy of mixing, eV/atom: of the solution, minus that of the elements in their stable states at T."""
    with float64():
        x = jnp.asarray(x, jnp.float64)
        elements = jnp.tensordot(gibbs_elements(landscape, temperature, terms), x, axes=(-1, -1))
        return gibbs_solution(landscape, lattice, x, temperature, terms) - elements


@partial(jax.jit, static_argnames="terms")
def _gibbs_solution(landscape: Landscape, lattice: Array, x: Array, temperature: Array, terms: Terms) -> Array:
    on = lambda surface: evaluate(surface._replace(mean=jnp.take(surface.mean, lattice, axis=-2)), x)
    gibbs = on(landscape.enthalpy)
    if terms.configurational:
        gibbs = gibbs - jnp.broadcast_to(temperature * configurational_entropy(x), gibbs.shape)
    if terms.vibrational:
        moduli = on(landscape.log_bulk), on(landscape.log_shear), on(landscape.log_volume)
        gibbs = gibbs + vibrational(*moduli, x @ landscape.mass, temperature)
    return gibbs


@partial(jax.jit, static_argnames="terms")
def _gibbs_compounds(landscape: Landscape, temperature: Array, terms: Terms) -> Array:
    gibbs = jnp.asarray(landscape.compound_enthalpy, jnp.float64)
    if terms.vibrational:
        moduli = landscape.compound_log_bulk, landscape.compound_log_shear, landscape.compound_log_volume
        gibbs = gibbs + vibrational(*moduli, landscape.compound_x @ landscape.mass, temperature)
    return gibbs


def vibrational(log_bulk: Array, log_shear: Array, log_volume: Array, mass: Array, temperature: Array) -> Array:
    """Debye free energy per atom, eV/atom, from logarithms of moduli (eV/Å³) and volume per atom (Å³), and mean atomic mass."""
    mass = jnp.broadcast_to(mass, log_bulk.shape)
    theta = debye_temperature(jnp.exp(log_bulk), jnp.exp(log_shear), jnp.exp(log_volume), mass)
    return debye_free_energy(jnp.broadcast_to(temperature, theta.shape), theta)
