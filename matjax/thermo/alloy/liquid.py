"""The liquid as a competitor: how each element melts, and a regular solution of what comes of it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike

from matjax.data.elements import number
from matjax.thermo.alloy.table import alloy_table
from matjax.thermo.host import float64
from matjax.units import BOLTZMANN, energy_to_ev

LIQUID = -1
"""The liquid among phases, which are otherwise indices in LATTICES and then compounds."""


class Liquid(NamedTuple):
    """A liquid that belongs to the elements of a landscape; a pytree.

    G(x, T) = sum_i x_i (G_i(T) + fusion_i(T)) + 4 sum_(i<j) x_i x_j pair_ij - T S_conf(x), where G_i is the Gibbs energy of the
    element on its lowest lattice of that landscape: so the elements melt where they should, whatever the landscape says of them.

    Attributes:
      fusion: T -> G(liquid) - G(lowest solid) of every element [n_element], eV/atom; a pytree that can be called.
      pair: Enthalpy of mixing half and half [n_element, n_element], eV/atom.
    """

    fusion: Any
    pair: Array


def liquid(
    elements: Sequence[str],
    *,
    melting: ArrayLike | None = None,
    fusion: ArrayLike | Callable[[Array], Array] | None = None,
    heat_capacity: ArrayLike = 0.0,
    pair: ArrayLike | None = None,
) -> Liquid:
    """The liquid of some elements, from tables or from numbers of one's own.

    Args:
      elements: Symbols, in the order of the landscape.
      melting: Melting temperatures [n_element], K; the table's by default.
      fusion: Enthalpies of fusion [n_element], eV/atom, the table's by default; or a function T -> G(liquid) - G(solid) [n_element],
        eV/atom, such as a database's polynomials, which stands for melting, fusion and heat capacity together. Give it as a
        `jax.tree_util.Partial` of a function that is not made anew for every call, or everything compiles again.
      heat_capacity: That of the liquid minus that of the solid [n_element] or a number, eV/(K atom), taken as constant.
      pair: Enthalpy of mixing half and half in the liquid [n_element, n_element], eV/atom; Miedema's by default.

    Raises:
      ValueError: If shapes or signs are wrong, or a table has no value; the message names what is missing.

    Source:
      fusion.csv and pair_enthalpies.csv, whose headers say where they come from. G(liquid) - G(solid) from a constant difference of heat
      capacities: Kubaschewski, Alcock & Spencer, Materials Thermochemistry (1993), chapter 1.
    """
    n = len(elements)
    if callable(fusion):
        if melting is not None or np.any(np.asarray(heat_capacity) != 0):
            raise ValueError("a function for the energy of fusion says all of melting: leave melting and heat_capacity out")
        melts = fusion if isinstance(fusion, Partial) else Partial(fusion)
    else:
        known = _known(elements, melting is None, fusion is None)
        numbers = [known[0] if melting is None else melting, known[1] if fusion is None else fusion, heat_capacity]
        rows = [np.broadcast_to(np.asarray(row, float), (n,)) for row in numbers]
        if not (np.isfinite(rows).all() and (rows[0] > 0).all() and (rows[1] > 0).all()):
            raise ValueError(f"melting temperatures (K) and enthalpies of fusion (eV/atom) must be positive: {rows[0]}, {rows[1]}")
        with float64():
            melts = Partial(_constant_heat_capacity, *(jnp.asarray(row, jnp.float64) for row in rows))
    pairs = _pairs(elements) if pair is None else np.asarray(pair, float)
    if pairs.shape != (n, n) or not np.array_equal(pairs, pairs.T) or not np.isfinite(pairs).all():
        raise ValueError(f"pair enthalpies of {n} elements are a symmetric matrix [{n}, {n}] of numbers, not {pairs.shape}")
    with float64():
        return Liquid(melts, jnp.asarray(pairs, jnp.float64) * (1 - jnp.eye(n)))


def part_of(whole: Liquid, elements: Array, temperature: Array) -> Liquid:
    """The liquid of some of the elements (numbers, may be traced), at one temperature."""
    return Liquid(Partial(_at_one_temperature, whole.fusion(temperature)[elements]), whole.pair[elements[:, None], elements[None]])


def ideal_solidus(elements: Sequence[str], x: ArrayLike) -> np.ndarray:
    """Where an alloy would begin to melt if solid and liquid mixed ideally, K [...]; NaN where the table lacks an element of it.

    A first guess of a solidus: sum_i x_i exp(-(G_liquid - G_solid)_i / kT) = 1. A eutectic lies lower, an ordering alloy melts higher.

    Args:
      elements: Symbols.
      x: Atomic fractions [..., n_element].

    Source:
      Schröder (1893), van Laar (1908); the solidus of an ideal system.
    """
    x = np.asarray(x, float)
    melting, fusion = (np.array([_table().get(s, (np.nan, np.nan))[k] for s in elements]) for k in (0, 1))
    absent = x <= 0
    known = absent | np.isfinite(melting)
    melting, fusion = np.nan_to_num(melting, nan=1.0), np.nan_to_num(fusion)
    low = np.where(absent, np.inf, melting).min(-1)
    high = np.where(absent, -np.inf, melting).max(-1)
    for _ in range(50):
        middle = (low + high) / 2
        melted = (x * np.exp(fusion / BOLTZMANN * (1 / melting - 1 / middle[..., None]))).sum(-1) > 1
        low, high = np.where(melted, low, middle), np.where(melted, middle, high)
    return np.where(known.all(-1), high, np.nan)


def _constant_heat_capacity(melting: Array, fusion: Array, heat_capacity: Array, temperature: Array) -> Array:
    ratio = temperature / melting
    logarithm = jnp.log(jnp.where(ratio > 0, ratio, 1.0))  # T ln T vanishes at 0 K
    return fusion * (1 - ratio) + heat_capacity * (temperature - melting - temperature * logarithm)


def _at_one_temperature(values: Array, temperature: Array) -> Array:
    return values


def _known(elements: Sequence[str], melting: bool, fusion: bool) -> tuple[np.ndarray, np.ndarray]:
    """Melting temperatures and enthalpies of fusion of the table, which must have those that are asked for."""
    if (melting or fusion) and (missing := [s for s in elements if number(s) and s not in _table()]):
        raise ValueError(f"how {', '.join(missing)} melt is not in the table: give melting and fusion, or leave these elements out")
    rows = np.array([_table().get(s, (np.nan, np.nan)) for s in elements]).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def _pairs(elements: Sequence[str]) -> np.ndarray:
    pairs = alloy_table(elements, "nan").pair_enthalpy
    if len(gaps := np.argwhere(np.triu(np.isnan(pairs)))):
        names = ", ".join(f"{elements[a]}-{elements[b]}" for a, b in gaps)
        raise ValueError(f"no enthalpy of mixing in the liquid is known of {names}: give `pair`, in eV/atom")
    return pairs


@cache
def _table() -> dict[str, tuple[float, float]]:
    """Melting temperature, K, and enthalpy of fusion, eV/atom, by symbol."""
    text = (resources.files("matjax.thermo.alloy") / "fusion.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    unit = energy_to_ev("kJ/mol")
    return {row["symbol"]: (float(row["melting_temperature"]), float(row["enthalpy_of_fusion"]) * unit) for row in rows}
