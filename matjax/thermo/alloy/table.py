"""What the empirical alloy rules know of elements and of their pairs: tables on the host, with their gaps named."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Literal, NamedTuple

import numpy as np

from matjax.data.elements import N_ELEMENT, number, symbol, table
from matjax.types import Array
from matjax.units import energy_to_ev


class AlloyTable(NamedTuple):
    """Properties of some elements, NaN where there is no value.

    radius: of the metal with twelve neighbours, Å; electronegativity: Pauling's; melting: temperature at 1 atm, K; valence: electrons
    per atom; each [n_element]. pair_enthalpy: of mixing two elements half and half as a liquid, eV/atom [n_element, n_element], zero on
    the diagonal.
    """

    radius: Array
    electronegativity: Array
    melting: Array
    valence: Array
    pair_enthalpy: Array


def alloy_table(elements: Sequence[str], missing: Literal["raise", "nan"] = "raise") -> AlloyTable:
    """The properties of some elements, in their order.

    Args:
      elements: Symbols.
      missing: What to do about an element or a pair without a value: refuse, or leave NaN.

    Raises:
      ValueError: If a symbol is no element, or appears twice, or a value is missing; the message names them.

    Source:
      The headers of `alloy_elements.csv` and `pair_enthalpies.csv`; Takeuchi & Inoue (2005), Mater. Trans. 46, 2817.
    """
    rows = np.array([number(s) for s in elements], int)
    if len(set(elements)) < len(rows):
        raise ValueError(f"elements must differ, not {', '.join(elements)}")
    radius, electronegativity, melting, valence = (column[rows] for column in _elements())
    found = AlloyTable(radius, electronegativity, melting, valence, _pairs()[np.ix_(rows, rows)])
    if missing == "raise" and (gaps := list(_gaps(elements, found))):
        raise ValueError(f"no {'; no '.join(gaps)}: leave these elements out, or take missing='nan'")
    return found


def _gaps(elements: Sequence[str], found: AlloyTable) -> Iterator[str]:
    for name, column in zip(found._fields[:4], found, strict=False):
        if lacking := [s for s, value in zip(elements, column, strict=True) if np.isnan(value)]:
            yield f"{name} of {', '.join(lacking)}"
    i, j = np.nonzero(np.triu(np.isnan(found.pair_enthalpy)))
    if len(i):
        yield f"enthalpy of mixing of {', '.join(f'{elements[a]}-{elements[b]}' for a, b in zip(i.tolist(), j.tolist(), strict=True))}"


def _rows(name: str) -> list[dict[str, str]]:
    text = (resources.files("matjax.thermo.alloy") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


@cache
def _elements() -> tuple[np.ndarray, ...]:
    """Radius, electronegativity, melting temperature and valence by atomic number [119]."""
    radius, melting, valence = (np.full(N_ELEMENT + 1, np.nan) for _ in range(3))
    for row in _rows("alloy_elements.csv"):
        z = number(row["symbol"])
        radius[z], melting[z], valence[z] = (float(row[name]) for name in ("radius", "melting_temperature", "valence"))
    is_filled = np.char.find(table()["filled"].astype(str), "electronegativity") >= 0
    return radius, np.where(is_filled, np.nan, table()["electronegativity"]), melting, valence


@cache
def _pairs() -> np.ndarray:
    """Enthalpies of mixing, eV/atom [119, 119], by atomic number."""
    pairs = np.full((N_ELEMENT + 1, N_ELEMENT + 1), np.nan)
    for row in _rows("pair_enthalpies.csv"):
        a = number(row["symbol"])
        pairs[a, a] = 0.0
        for b in range(1, N_ELEMENT + 1):
            if value := row.get(symbol(b)):
                pairs[a, b] = pairs[b, a] = float(value) * energy_to_ev("kJ/mol")
    return pairs
