"""Gibbs energies of the compound energy formalism, all phases of a chemical system in one set of padded tables.

A phase's energy is a sum of terms, each a parameter (a piecewise function of temperature) times a product of factors; a factor is a site
fraction or the difference of two. End members, Redlich-Kister polynomials, Muggianu's ternary forms, reciprocal parameters, wildcards and
the partition into ordered and disordered parts all take this form, so one compiled function serves every phase of every system of a size:

    G(y, T) = sum_m w_m p_m(T) prod_f (z_mf - z'_mf)  +  k T sum_s a_s sum_i y_si ln y_si  +  G_mag(T; Tc(y), beta(y)),

with z the site fractions y, those of the disordered state, one and zero. Everything counts per formula unit and in eV, from the database's
own reference (mostly the elements at 298.15 K); everything runs in jit, vmap and grad, in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from matjax.thermo.free_energy.magnetic import divided, scaled_curve

GIBBS, CRITICAL_TEMPERATURE, MOMENT = range(3)
"""What a term adds to."""

COLDEST, HOTTEST = 1.0, 10_000.0
"""Temperatures (K) between which a system can be asked where its parameters name no limits."""

FLOOR = 1e-30
"""Site fraction below which y ln y goes on as a parabola: exact in every use, finite in its derivatives at y = 0."""


class System(NamedTuple):
    """Phases of a chemical system, padded to one shape: P phases, S sublattices, Y constituents (over all sublattices), C elements.

    M terms of F factors per phase; U parameters on K intervals of temperature as sums of J monomials (`basis`). A factor's two indices
    point into (y, y of the disordered state, 1, 0).
    """

    sites: Array  # [P, S] sites per formula unit of each sublattice; 0 = padding
    sublattice: Array  # [P, Y] int, the sublattice of each constituent; -1 = padding
    content: Array  # [P, Y, C] atoms of each element that a constituent brings per site (vacancy: zeros; species Al2: 2)
    average: Array  # [P, Y, Y] from site fractions to those of the disordered state; zeros where no term asks for it
    factors: Array  # [P, M, F, 2] int, what each factor is the difference of
    weight: Array  # [P, M] number before each term; 0 = padding
    quantity: Array  # [P, M] int, what each term adds to: GIBBS, CRITICAL_TEMPERATURE or MOMENT
    parameter: Array  # [P, M] int, the parameter of each term
    magnetic: Array  # [P, 3] structure factor p (0: not magnetic), antiferromagnetic factor, magnetic units per formula unit
    breaks: Array  # [K - 1] temperatures at which parameters change their form, in K
    coefficients: Array  # [K, U, J] in eV (critical temperatures: K, moments: Bohr magnetons)
    monomials: Array  # [J, 3] powers of T and of ln T, Einstein temperatures in K (0 = none)
    exponents: Array  # [J, J] each monomial's exponent, as a sum of those without one; mostly zero
    limits: Array  # [2] lowest and highest temperature of all parameters, in K; energies are NaN outside
    boltzmann: Array  # [] in eV/K, of the gas constant that the database was assessed with


def energy(system: System, phase, y: Array, temperature) -> Array:
    """Gibbs energy in eV per formula unit, at the pressure that the database was read for; NaN outside `limits`.

    Args:
      system: Tables of the phases.
      phase: Index of the phase; may be traced.
      y: Site fractions `[Y]`, zero where padded. They are not normalised: derivatives with respect to each are free ones.
      temperature: In K.

    Source:
      Sundman & Agren, J. Phys. Chem. Solids 42 (1981) 297; Hillert, J. Alloys Compd. 320 (2001) 161. Critical temperature and moment of
      an ordered phase are partitioned as its energy is: Lukas, Fries & Sundman, Computational Thermodynamics (2007), section 5.8.6.
    """
    return energy_from(system, phase, y, temperature, phase_parameters(system, phase, temperature))


def energy_from(system: System, phase, y: Array, temperature, values: Array) -> Array:
    """`energy` with the phase's parameters `[M]` at hand: a row of `parameters`, computed once for many compositions."""
    totals = (values * products(system, phase, y)) @ columns(system, phase)
    return assemble(system, phase, totals, entropy(system, phase, y), temperature)


def moles(system: System, phase, y: Array) -> Array:
    """Atoms of each element per formula unit, `[C]`: linear in y."""
    return jnp.einsum("y,y,yc->c", _sites(system, phase), y, system.content[phase])


class Surface(NamedTuple):
    """Site fractions of one phase, worked out once: at each temperature their energies are a matrix product (`energies`)."""

    phase: Array  # [] index of the phase
    products: Array  # [N, M] every term's product of factors
    entropy: Array  # [N] ideal entropy per formula unit, in units of k
    moles: Array  # [N, C] atoms of each element per formula unit


def surface(system: System, phase, y: Array) -> Surface:
    """The `Surface` of site fractions `[N, Y]` of one phase."""
    rows = [jax.vmap(quantity, in_axes=(None, None, 0))(system, phase, y) for quantity in (products, entropy, moles)]
    return Surface(jnp.asarray(phase), *rows)


def energies(system: System, surface: Surface, temperature, values: Array) -> Array:
    """Gibbs energies in eV per formula unit, `[N]`, from the phase's row of `parameters` at that temperature."""
    totals = surface.products @ (values[:, None] * columns(system, surface.phase))
    return assemble(system, surface.phase, totals, surface.entropy, temperature)


def parameters(system: System, temperature) -> Array:
    """Weighted parameters `[P, M]` of all phases' terms at one temperature; NaN outside `limits`."""
    rows = system.coefficients[_interval(system, temperature)]
    return system.weight * _inside(system, temperature, rows @ basis(system, temperature))[system.parameter]


def phase_parameters(system: System, phase, temperature) -> Array:
    """One phase's row of `parameters`, `[M]`, without the work of the others."""
    rows = system.coefficients[_interval(system, temperature), system.parameter[phase]]
    return system.weight[phase] * _inside(system, temperature, rows @ basis(system, temperature))


def basis(system: System, temperature) -> Array:
    """The monomials T^power (ln T)^log exp(sum of such) ln(1 - exp(-theta / T)), the last where theta > 0; `[J]`."""
    powers, logs, theta = system.monomials.T
    plain = jnp.power(temperature, powers) * jnp.power(jnp.log(temperature), logs)
    einstein = jnp.where(theta > 0, jnp.log(-jnp.expm1(jnp.where(theta > 0, -theta, -1.0) / temperature)), 1.0)
    return plain * einstein * jnp.exp(system.exponents @ plain)


def products(system: System, phase, y: Array) -> Array:
    """The product of factors of each term, `[M]`."""
    z = jnp.concatenate([y, system.average[phase] @ y, jnp.array([1.0, 0.0], y.dtype)])
    ends = z[system.factors[phase]]
    product = jnp.ones(ends.shape[0], y.dtype)
    for f in range(ends.shape[1]):  # unrolled: the gradient of a product with zeros
        product = product * (ends[:, f, 0] - ends[:, f, 1])
    return product


def entropy(system: System, phase, y: Array) -> Array:
    """Ideal entropy of mixing on all sublattices per formula unit, in units of k."""
    tiny = y < FLOOR
    logarithm = jnp.log(jnp.where(tiny, FLOOR, y))
    excess = jnp.where(tiny, y - FLOOR, 0.0)
    plog = jnp.where(tiny, FLOOR * logarithm + (1 + logarithm) * excess + excess**2 / (2 * FLOOR), y * logarithm)
    return -_sites(system, phase) @ plog


def assemble(system: System, phase, totals: Array, entropy: Array, temperature) -> Array:
    """Energies from their parts: `totals [..., 3]` by quantity and the ideal `entropy [...]` in units of k."""
    p, factor, units = (system.magnetic[phase, i] for i in range(3))
    critical, moment = divided(totals[..., CRITICAL_TEMPERATURE], factor), divided(totals[..., MOMENT], factor)
    magnetic = units * jnp.log1p(moment) * scaled_curve(temperature, critical, jnp.where(p > 0, p, 1.0))
    return totals[..., GIBBS] + system.boltzmann * (jnp.where(p > 0, magnetic, 0.0) - temperature * entropy)


def columns(system: System, phase) -> Array:
    """Which quantity each term adds to, `[M, 3]` of ones and zeros."""
    return jax.nn.one_hot(system.quantity[phase], 3, dtype=system.weight.dtype)


def temperature_range(system: System) -> tuple[float, float]:
    """Lowest and highest temperature in K at which every parameter of the system holds, within COLDEST and HOTTEST."""
    low, high = np.asarray(system.limits).tolist()
    return max(low, COLDEST), min(high, HOTTEST)


def check_temperature(system: System, temperature) -> None:
    """Refuses temperatures outside `temperature_range`, for public entries (inside, energies are NaN there).

    Raises:
      ValueError: If any temperature lies outside.
    """
    low, high = temperature_range(system)
    values = np.asarray(temperature, float)
    if not np.all((values >= low) & (values <= high)):
        raise ValueError(
            f"temperatures {values.min():g} to {values.max():g} K leave the range {low:g} to {high:g} K in which all parameters hold;"
            " stay inside, or read the database with temperature_range=(low, high) to extrapolate"
        )


def _interval(system: System, temperature) -> Array:
    return jnp.sum(system.breaks <= temperature)


def _inside(system: System, temperature, values: Array) -> Array:
    return jnp.where((temperature >= system.limits[0]) & (temperature <= system.limits[1]), values, jnp.nan)


def _sites(system: System, phase) -> Array:
    """Sites per formula unit of each constituent's sublattice, `[Y]`; 0 = padding."""
    own = system.sublattice[phase]
    return jnp.where(own >= 0, system.sites[phase][own], 0.0)
