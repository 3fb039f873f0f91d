"""Magnetic part of the Gibbs energy by the Inden-Hillert-Jarl model: one curve of T/Tc for every magnet of a structure.

The model counts from the fully disordered (paramagnetic) state, as the polynomials of CALPHAD's elements do. Density functional energies
of a ferromagnet hold the energy of order already: to those `above_ferromagnet` may be added, and nothing else.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from matjax.units import BOLTZMANN

STRUCTURE_FACTOR = {"bcc": 0.40, "fcc": 0.28, "hcp": 0.28}
"""Share p of the magnetic enthalpy that short-range order keeps above the critical temperature."""


def magnetic_free_energy(temperature, critical_temperature, moment, p, antiferromagnetic_factor=-1.0) -> Array:
    """Gibbs energy of magnetic order against the paramagnet, k T ln(beta + 1) g(T / Tc), in eV/atom; it falls to zero at high T.

    Negative critical temperatures and moments are antiferromagnets in the databases' manner: both are divided by the factor first. The
    value, its gradients and its second derivatives stay finite at Tc = 0, at moment = 0 and at T = 0.

    Args:
      temperature: In K.
      critical_temperature: Curie temperature in K; below zero, the Neel temperature times `antiferromagnetic_factor`.
      moment: Mean magnetic moment per atom, in Bohr magnetons; the sign as for the temperature.
      p: Structure factor, 0.40 for bcc and 0.28 otherwise (`STRUCTURE_FACTOR`).
      antiferromagnetic_factor: -1 for bcc and -3 otherwise, in the SGTE databases.

    Example:
      >>> round(float(magnetic_free_energy(298.15, 1043.0, 2.22, 0.40)), 4)  # bcc iron
      -0.0652

    Source:
      Inden, Project Meeting CALPHAD V (1976), ch. 3.4; Hillert & Jarl, CALPHAD 2 (1978) 227, eqs. 5-8; factors by Dinsdale, CALPHAD 15
      (1991) 317.
    """
    critical, beta = (divided(value, antiferromagnetic_factor) for value in (critical_temperature, moment))
    return BOLTZMANN * jnp.log1p(beta) * scaled_curve(temperature, critical, p)


def above_ferromagnet(temperature, critical_temperature, moment, p, antiferromagnetic_factor=-1.0) -> Array:
    """Free energy of the loss of magnetic order, in eV/atom, for energies that hold the ground state's order, as of ferromagnetic DFT.

    G_mag(T) - G_mag(0) - k T ln(beta + 1). The last part is the entropy of the free spins, which the paramagnet that G_mag counts from has;
    the polynomials of CALPHAD hold it, electronic energies and phonons do not. Without it disorder would cost entropy. Zero at T = 0, with
    zero entropy there, and falling. Not for non-magnetic calculations (add `magnetic_free_energy` with the spins' entropy), nor beside
    free energies that sampled the spins. Arguments as for `magnetic_free_energy`.

    Source:
      Hillert & Jarl (1978), as above: magnetic enthalpy and entropy counted from T = 0 instead of from the paramagnet.
    """
    critical, beta = (divided(value, antiferromagnetic_factor) for value in (critical_temperature, moment))
    curve = scaled_curve(temperature, critical, p) - scaled_curve(0.0, critical, p) - temperature
    return BOLTZMANN * jnp.log1p(beta) * curve


def divided(value, factor) -> Array:
    """Critical temperature or moment with an antiferromagnet's negative value divided by the factor, so that it is positive."""
    return jnp.where(jnp.asarray(value) < 0, value / factor, value)


def scaled_curve(temperature, critical, p) -> Array:
    """T g(T / Tc) in K: the curve times T, whose limit at T = 0 exists.

    Source:
      Hillert & Jarl (1978), eqs. 5-8, series cut after the third term and normalised with it.
    """
    excess = 1 / p - 1
    norm = 518 / 1125 + 11692 / 15975 * excess
    temperature, critical = jnp.asarray(temperature), jnp.asarray(critical)
    ordered = temperature < critical
    tau = jnp.divide(jnp.where(ordered, temperature, 0.0), jnp.where(ordered, critical, 1.0))
    inverse = jnp.divide(jnp.where(ordered, 0.0, critical), jnp.where(ordered | (temperature <= 0), 1.0, temperature))
    below = 79 / (140 * p) * critical + 474 / 497 * excess * temperature * (tau**3 / 6 + tau**9 / 135 + tau**15 / 600)
    above = temperature * (inverse**5 / 10 + inverse**15 / 315 + inverse**25 / 1500)
    return jnp.where(ordered, temperature - below / norm, -above / norm)
