"""What a phase does at a temperature and pressure: every property a derivative of its one Gibbs energy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.free_energy.phase import Phase, enthalpic, over, relaxed_volume, require_volume
from matjax.thermo.host import float64
from matjax.units import ENERGY, PRESSURE


class Properties(NamedTuple):
    """Properties of a phase, per atom where extensive; all NaN where the phase has no Gibbs energy.

    A phase that is held at a volume, or has none, has the heat capacity at constant volume under both names, and no expansion or modulus
    (NaN): its volume was not asked.

    Attributes:
      gibbs_energy: G, eV/atom.
      enthalpy: H = G + T S, eV/atom.
      entropy: S = -dG/dT, eV/K.
      helmholtz_energy: F = G - P V, eV/atom.
      internal_energy: U = H - P V, eV/atom.
      heat_capacity: Cp = -T d²G/dT², eV/K.
      heat_capacity_v: Cv = -T d²F/dT² at constant volume, eV/K.
      volume: V = dG/dP, Å³/atom.
      expansion: alpha = (d²G/dTdP) / V, of volume (three times the linear one of a cubic crystal), 1/K.
      bulk_modulus: Isothermal, -V / (d²G/dP²), eV/Å³.
      adiabatic_bulk_modulus: B_T + (alpha B_T)² V T / Cv, eV/Å³.
      gruneisen: Thermodynamic Grüneisen parameter, alpha B_T V / Cv; NaN at 0 K.
    """

    gibbs_energy: Array
    enthalpy: Array
    entropy: Array
    helmholtz_energy: Array
    internal_energy: Array
    heat_capacity: Array
    heat_capacity_v: Array
    volume: Array
    expansion: Array
    bulk_modulus: Array
    adiabatic_bulk_modulus: Array
    gruneisen: Array


def properties(phase: Phase, temperature: ArrayLike, pressure: ArrayLike = 0.0) -> Properties:
    """All properties of a phase; differentiable once more, with respect to whatever the phase is made of.

    Args:
      phase: Its parts.
      temperature: K [...].
      pressure: eV/Å³ [...], broadcast against temperature; 0 for a phase without volume.

    Raises:
      ValueError: As `gibbs`.
    """
    require_volume(phase, pressure)
    with float64():
        return over(_properties, phase, temperature, pressure)


def table(phase: Phase, temperatures: Sequence[float] | np.ndarray, pressure: float = 0.0) -> list[dict[str, float | str]]:
    """Properties for people, one row per temperature in customary units; `pandas.DataFrame(table(...))` shows them.

    A row without a Gibbs energy is NaN and says why in its note.

    Args:
      phase: Its parts.
      temperatures: K [n].
      pressure: eV/Å³.
    """
    found = jax.tree.map(np.asarray, properties(phase, np.asarray(temperatures, float), pressure))
    kj, joule, gpa = 1 / ENERGY["kJ/mol"], 1000 / ENERGY["kJ/mol"], 1 / PRESSURE["GPa"]
    columns = {
        "T (K)": np.asarray(temperatures, float),
        "G (kJ/mol)": kj * found.gibbs_energy,
        "H (kJ/mol)": kj * found.enthalpy,
        "S (J/mol/K)": joule * found.entropy,
        "Cp (J/mol/K)": joule * found.heat_capacity,
        "Cv (J/mol/K)": joule * found.heat_capacity_v,
        "V (Å³)": found.volume,
        "alpha (1e-6/K)": 1e6 * found.expansion,
        "B_T (GPa)": gpa * found.bulk_modulus,
        "B_S (GPa)": gpa * found.adiabatic_bulk_modulus,
        "gamma": found.gruneisen,
    }
    rows = [{name: float(column[i]) for name, column in columns.items()} for i in range(len(columns["T (K)"]))]
    return [row | {"note": "" if np.isfinite(row["G (kJ/mol)"]) else why_not(phase, row["T (K)"], pressure)} for row in rows]


def why_not(phase: Phase, temperature: float, pressure: float = 0.0) -> str:
    """Why a phase has no Gibbs energy at a temperature and pressure, in words."""
    if not temperature >= 0:
        return f"the temperature is {temperature:g} K"
    if not np.isfinite(pressure):
        return f"the pressure is {pressure:g} eV/Å³"
    known = (phase.volume_range or (np.nan,)) if phase.volume is None else (phase.volume,)
    volumes = [float(np.asarray(v)) for v in known]
    middle = float(np.sqrt(np.prod(volumes))) if len(volumes) == 2 else volumes[0]
    if silent := [name for name in phase.names if not np.isfinite(getattr(phase, name)(temperature, middle))]:
        return f"no {', '.join(silent)} free energy at {temperature:g} K"
    return f"no minimum of F + P V between {volumes[0]:.4g} and {volumes[-1]:.4g} Å³/atom"


@jax.jit
def _properties(phase: Phase, temperature: Array, pressure: Array) -> Properties:
    """From the derivatives of F(T, V) at the relaxed volume: those of G follow by the implicit function theorem.

    G_TT = F_TT - F_TV² / F_VV, G_TP = -F_TV / F_VV, G_PP = -1 / F_VV.
    """
    volume = relaxed_volume(phase, temperature, pressure)
    energy, helmholtz = enthalpic(phase, temperature, pressure, volume), phase(temperature, volume)
    entropy = -jax.grad(phase, argnums=0)(temperature, volume)
    (by_t, mixed), (_, by_v) = jax.hessian(phase, argnums=(0, 1))(temperature, volume)
    is_free = phase.volume is None and phase.volume_range is not None
    stiffness = by_v if is_free else jnp.full_like(energy, jnp.nan)
    thermal = mixed**2 / stiffness if is_free else jnp.zeros_like(energy)  # (alpha B_T)² V / B_T
    is_cold = by_t == 0
    warm = jnp.where(is_cold, -1.0, by_t)
    known = jnp.where(jnp.isfinite(energy), 1.0, jnp.nan)
    return Properties(
        gibbs_energy=energy,
        enthalpy=energy + temperature * entropy,
        entropy=entropy * known,
        helmholtz_energy=helmholtz,
        internal_energy=helmholtz + temperature * entropy,
        heat_capacity=-temperature * (by_t - thermal) * known,
        heat_capacity_v=-temperature * by_t * known,
        volume=volume * known,
        expansion=-mixed / (volume * stiffness),
        bulk_modulus=volume * stiffness,
        adiabatic_bulk_modulus=volume * (stiffness - jnp.asarray(jnp.where(is_cold, 0.0, mixed**2 / warm))),
        gruneisen=jnp.asarray(jnp.where(is_cold, jnp.nan, volume * mixed / (temperature * warm)) * known),
    )
