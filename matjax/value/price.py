"""Mass, density and price of a composition. Elements are symbols; compositions are atomic fractions [..., n_element]."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np

from matjax.data.elements import number, table

Array = Any  # NumPy or JAX
ATOMIC_MASS = 1.66053906660  # g/cm³ of one u per Å³ (CODATA 2018)


@cache
def price_table() -> Mapping[str, float]:
    """{symbol: USD/kg}; the header of `prices.csv` says where the prices come from and what they are good for."""
    text = (resources.files("matjax.value") / "prices.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return MappingProxyType({row["symbol"]: float(row["usd_per_kg"]) for row in rows})


def element_prices(elements: Sequence[str]) -> np.ndarray:
    """Price of each element [n_element], USD/kg.

    Raises:
      ValueError: If an element has no price; the message names all that lack one.
    """
    known = price_table()
    lacking = [symbol for symbol in elements if symbol not in known]
    if lacking:
        raise ValueError(f"no price is known for {', '.join(lacking)}; leave the price goal out, or these elements")
    return np.array([known[symbol] for symbol in elements])


def masses(elements: Sequence[str]) -> np.ndarray:
    """Standard atomic mass of each element [n_element], u.

    Raises:
      ValueError: If a symbol is no element.
    """
    return table()["mass"][[number(symbol) for symbol in elements]]


def weight_fractions(elements: Sequence[str], fractions: Array) -> Array:
    """Weight fractions of atomic fractions, w_i = x_i m_i / sum_j x_j m_j.

    Args:
      elements: Symbols, in the order of the last axis.
      fractions: Atomic fractions [..., n_element].

    Example:
      >>> weight_fractions(("Al", "Ni"), np.array([0.5, 0.5])).round(3)
      array([0.315, 0.685])
    """
    return _normalised(fractions, masses(elements))


def atomic_fractions(elements: Sequence[str], weights: Array) -> Array:
    """Atomic fractions of weight fractions, x_i = (w_i / m_i) / sum_j w_j / m_j.

    Args:
      elements: Symbols, in the order of the last axis.
      weights: Weight fractions [..., n_element].
    """
    return _normalised(weights, 1 / masses(elements))


def price_per_kg(elements: Sequence[str], fractions: Array) -> Array:
    """Price of the elements in an alloy, USD/kg: the mean of their prices by weight. Making it costs extra.

    Args:
      elements: Symbols, in the order of the last axis.
      fractions: Atomic fractions [..., n_element].

    Raises:
      ValueError: If an element has no price.
    """
    return weight_fractions(elements, fractions) @ element_prices(elements)


def density(elements: Sequence[str], fractions: Array, volume_per_atom: Array) -> Array:
    """Density, g/cm³.

    Args:
      elements: Symbols, in the order of the last axis.
      fractions: Atomic fractions [..., n_element].
      volume_per_atom: [...], Å³/atom.
    """
    return ATOMIC_MASS * (fractions @ masses(elements)) / volume_per_atom


def _normalised(fractions: Array, factors: np.ndarray) -> Array:
    """Products with the factors, scaled to sum to one over the last axis."""
    scaled = fractions * factors.reshape((1,) * (np.ndim(fractions) - 1) + (-1,))
    return scaled / scaled.sum(-1, keepdims=True)
