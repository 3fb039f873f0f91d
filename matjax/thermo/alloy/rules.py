"""Empirical rules of high-entropy alloys: a dozen numbers from a composition, batched and differentiable.

Baselines and features, not thermodynamics: none of them knows which phases compete. Inside, energies are in eV/atom and entropies in
eV/(K atom); `features` gives them in the units in which the literature draws its lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.alloy.table import AlloyTable, alloy_table
from matjax.thermo.host import float64
from matjax.thermo.order.entropy import configurational_entropy
from matjax.units import BOLTZMANN, energy_to_ev

PACKING = (0.68, 0.74)
"""Fraction of space that equal spheres fill in bcc and fcc: Ye's entropy of packing is the mean of both."""

ORDER_ENTROPY = 0.6
"""Entropy of a complex compound by that of the solution (Senkov & Miracle)."""


def features(x: ArrayLike, elements: Sequence[str], missing: Literal["raise", "nan"] = "raise") -> dict[str, Array]:
    """All rules at once, in the units of the literature.

    - `size_mismatch`, delta in %; `electronegativity_mismatch`, Pauling's scale; `valence`, VEC in electrons per atom;
    - `mixing_entropy`, ideal, J/(mol K); `mixing_enthalpy`, sum 4 H_ij x_i x_j, kJ/mol; `melting_temperature`, mean, K;
    - `omega`, T_m S / |H|; `king`, Phi; `ye`, phi; `singh`, Lambda = S / delta², J/(mol K %²);
    - `senkov_miracle`, by how much the solution's Gibbs energy at T_m lies below that of the strongest compound, kJ/mol; where the
      enthalpy of mixing is negative its sign is that of kappa_critical - kappa.

    Ratios are infinite where they divide by zero: `omega` without enthalpy, `king` without a pair, `ye` and `singh` without mismatch.

    Args:
      x: Atomic fractions [..., n_element], summing to 1.
      elements: Symbols of the last axis of x.
      missing: What to do about an element or a pair without a value: refuse, or make the alloys that hold it NaN. Without a radius an
        alloy keeps its enthalpy.

    Returns:
      {name: [...]}.

    Raises:
      ValueError: If x has another last axis, or values are missing; the message names them.

    Example:
      >>> found = features([0.2, 0.2, 0.2, 0.2, 0.2], ["Co", "Cr", "Fe", "Mn", "Ni"])
      >>> round(float(found["mixing_enthalpy"]), 2), round(float(found["valence"]), 1)
      (-4.16, 8.0)
    """
    table = alloy_table(elements, missing)
    if np.shape(x)[-1:] != (len(elements),):
        raise ValueError(f"fractions are [..., {len(elements)}] for {', '.join(elements)}, not {np.shape(x)}")
    with float64():
        return _features(jnp.asarray(x, jnp.float64), AlloyTable(*(jnp.asarray(column, jnp.float64) for column in table)))


def guo_phase(valence: ArrayLike) -> np.ndarray:
    """The lattice of a solid solution by its valence electrons per atom: "fcc" from 8 on, "bcc" below 6.87, "fcc+bcc" between.

    It says nothing of whether there is a single phase.

    Args:
      valence: VEC [...], on the host.

    Source:
      Guo, Ng, Lu & Liu (2011), Effect of valence electron concentration on stability of fcc or bcc phase, J. Appl. Phys. 109, 103505.
    """
    valence = np.round(np.asarray(valence, float), 6)  # 8 is common, and sums of fractions miss it by rounding
    return np.select([np.isnan(valence), valence >= 8, valence < 6.87], ["unknown", "fcc", "bcc"], "fcc+bcc")


def yang_zhang(omega: ArrayLike, size_mismatch: ArrayLike) -> np.ndarray:
    """Whether a solid solution forms by Yang and Zhang: omega >= 1.1 and delta <= 6.6%; False where either is NaN.

    Source:
      Yang & Zhang (2012), Prediction of high-entropy stabilized solid-solution in multi-component alloys.
    """
    return (np.asarray(omega) >= 1.1) & (np.asarray(size_mismatch) <= 6.6)


def mean(x: Array, values: Array) -> Array:
    """The mean of a property over the atoms: NaN where an atom has no value, which an absent element may lack."""
    lacks = jnp.any((x != 0) & _beside(x, jnp.isnan(values)), axis=-1)
    return jnp.where(lacks, jnp.nan, jnp.sum(x * _beside(x, _filled(values)), axis=-1))


def deviation(x: Array, values: Array) -> Array:
    """Standard deviation of a property over the atoms; its gradient is zero where all atoms are alike."""
    centre = mean(x, values)
    variance = jnp.sum(x * (_beside(x, _filled(values)) - centre[..., None]) ** 2, axis=-1)
    is_spread = ~(variance < 1e-24)
    return jnp.where(is_spread, jnp.sqrt(jnp.where(is_spread, variance, 1.0)), 0.0)


def size_mismatch(x: Array, radius: Array) -> Array:
    """delta, the standard deviation of the atoms' radii by their mean.

    Source:
      Zhang, Zhou, Lin, Chen & Liaw (2008), Solid-solution phase formation rules for multi-component alloys.
    """
    return deviation(x, radius) / mean(x, radius)


def mixing_enthalpy(x: Array, pair_enthalpy: Array) -> Array:
    """Regular solution: sum over pairs of 4 H_ij x_i x_j, eV/atom.

    Source:
      Takeuchi & Inoue (2005), Mater. Trans. 46, 2817, eq. 1.
    """
    field = jnp.sum(_beside(x, _filled(pair_enthalpy)) * x[..., None, :], axis=-1)
    return jnp.where(_lacks_pair(x, pair_enthalpy), jnp.nan, 2 * jnp.sum(x * field, axis=-1))


def strongest_pair(x: Array, pair_enthalpy: Array) -> Array:
    """The most negative enthalpy among the pairs that are present, eV/atom; zero for an element. It stands for the strongest compound."""
    is_pair = (x[..., :, None] > 0) & (x[..., None, :] > 0) & _beside(x, ~jnp.eye(x.shape[-1], dtype=bool))
    lowest = jnp.min(jnp.where(is_pair, _beside(x, _filled(pair_enthalpy)), jnp.inf), axis=(-2, -1))
    return jnp.where(_lacks_pair(x, pair_enthalpy), jnp.nan, jnp.where(jnp.isinf(lowest), 0.0, lowest))


def packing_entropy(x: Array, radius: Array, packing: float) -> Array:
    """Excess entropy of hard spheres of different size, eV/(K atom), negative where they pack worse. Sums over pairs are moments.

    Source:
      Mansoori, Carnahan, Starling & Leland (1971), J. Chem. Phys. 54, 1523, as used by Ye, Wang, Lu, Liu & Yang (2015), Scr.
      Mater. 104, 53.
    """
    first, second, third = (mean(x, radius**k) for k in (1, 2, 3))
    y1 = 1 - first * second / third
    y2 = (first * third - second**2) * second / third**2
    y3 = second**3 / third**2
    zeta = 1 / (1 - packing)
    last = (0.5 * (zeta - 1) * (zeta - 3) + np.log(zeta)) * (1 - y3)
    return BOLTZMANN * (1.5 * (zeta**2 - 1) * y1 + 1.5 * (zeta - 1) ** 2 * y2 - last)


@jax.jit
def _features(x: Array, table: AlloyTable) -> dict[str, Array]:
    kj = 1 / energy_to_ev("kJ/mol")
    delta, melting = size_mismatch(x, table.radius), mean(x, table.melting)
    enthalpy, entropy = mixing_enthalpy(x, table.pair_enthalpy), configurational_entropy(x)
    strongest = strongest_pair(x, table.pair_enthalpy)
    packing = sum((packing_entropy(x, table.radius, fraction) for fraction in PACKING), jnp.zeros(())) / len(PACKING)
    gain = enthalpy - melting * entropy
    return {
        "size_mismatch": 100 * delta,
        "electronegativity_mismatch": deviation(x, table.electronegativity),
        "valence": mean(x, table.valence),
        "mixing_entropy": 1e3 * kj * entropy,
        "mixing_enthalpy": kj * enthalpy,
        "melting_temperature": melting,
        "omega": _over(melting * entropy, jnp.abs(enthalpy)),
        "king": _over(-gain, jnp.abs(strongest)),
        "ye": _over(entropy - jnp.abs(enthalpy) / melting, jnp.abs(packing)),
        "singh": _over(1e3 * kj * entropy, (100 * delta) ** 2),
        "senkov_miracle": kj * (strongest - ORDER_ENTROPY * melting * entropy - gain),
    }


def _beside(x: Array, values: Array) -> Array:
    """A table with axes of length one in place of those along which compositions are stacked."""
    return values.reshape(*(1,) * (x.ndim - 1), *values.shape)


def _filled(values: Array) -> Array:
    return jnp.where(jnp.isnan(values), 0.0, values)


def _lacks_pair(x: Array, pair_enthalpy: Array) -> Array:
    """Whether an alloy holds a pair without a value."""
    is_present = x != 0
    return jnp.any(is_present[..., :, None] & is_present[..., None, :] & _beside(x, jnp.isnan(pair_enthalpy)), axis=(-2, -1))


def _over(above: Array, below: Array) -> Array:
    """A ratio that is infinite, with no gradient, where it divides by (nearly) zero."""
    is_zero = jnp.abs(below) < 1e-12
    return jnp.where(is_zero, jnp.inf, above / jnp.where(is_zero, 1.0, below))
