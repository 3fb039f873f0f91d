"""Domains: where a crystal comes from, as one label per crystal.

A column of the data set's own metadata answers first; the rest is computed from composition and structure.
"""

from __future__ import annotations

import difflib
import warnings
import weakref
from collections.abc import Callable, Iterable
from math import gcd

import numpy as np
import spglib

from matjax.data.elements import N_ELEMENT, SYMBOLS, electronegativity, number
from matjax.types import Crystal, Dataset

UNKNOWN = "unknown"
"""Label of a crystal whose domain cannot be told; it takes part in no shift of that column."""

SYMPREC = 0.1
"""Tolerance of spglib in Å, as the Materials Project uses it."""

ANIONS = {
    "O": "oxide",
    "F": "fluoride",
    "N": "nitride",
    "S": "sulfide",
    "Cl": "chloride",
    "Br": "bromide",
    "I": "iodide",
    "Se": "selenide",
    "Te": "telluride",
    "P": "phosphide",
    "As": "arsenide",
    "C": "carbide",
    "B": "boride",
    "Si": "silicide",
    "H": "hydride",
}
"""Anion class by the first of these elements that a compound contains; without any it is an intermetallic."""

_SYSTEMS = np.array([UNKNOWN, "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic"])
_POINT_GROUPS = (
    "1 -1 2 m 2/m 222 mm2 mmm 4 -4 4/m 422 4mm -42m 4/mmm 3 -3 32 3m -3m 6 -6 6/m 622 6mm -6m2 6/mmm 23 m-3 432 -43m m-3m".split()
)
_LAST_OF_POINT_GROUP = [
    1,
    2,
    5,
    9,
    15,
    24,
    46,
    74,
    80,
    82,
    88,
    98,
    110,
    122,
    142,
    146,
    148,
    155,
    161,
    167,
    173,
    174,
    176,
    182,
    186,
    190,
    194,
] + [199, 206, 214, 220, 230]
_space_groups: weakref.WeakKeyDictionary[Crystal, int] = weakref.WeakKeyDictionary()  # spglib takes milliseconds per crystal


def element_counts(dataset: Dataset) -> np.ndarray:
    """Atoms of every element in every crystal [n, 119], by atomic number."""
    counts = np.zeros((len(dataset), N_ELEMENT + 1), np.int64)
    for row, crystal in zip(counts, dataset.crystals, strict=True):
        row += np.bincount(crystal.numbers, minlength=N_ELEMENT + 1)
    return counts


def contains(dataset: Dataset, symbol: str) -> np.ndarray:
    """Whether each crystal contains the element [n], bool.

    Raises:
      ValueError: If there is no such element.
    """
    z = number(symbol)
    return np.array([bool((crystal.numbers == z).any()) for crystal in dataset.crystals], bool)


def crystal_system(space_group: np.ndarray) -> np.ndarray:
    """Crystal system of space group numbers, `unknown` for 0 (International Tables for Crystallography A, table 2.1.1.1)."""
    return _SYSTEMS[np.searchsorted([0, 2, 15, 74, 142, 167, 194, 230], space_group)]


def point_group(space_group: np.ndarray) -> np.ndarray:
    """Point group (one of 32) of space group numbers, `unknown` for 0 (International Tables for Crystallography A, table 2.1.1.1)."""
    return np.array([UNKNOWN, *_POINT_GROUPS])[np.searchsorted([0, *_LAST_OF_POINT_GROUP], space_group)]


def space_group(crystal: Crystal) -> int:
    """Space group number by spglib (`SYMPREC`); 0 where there is none: not periodic in three directions, or overlapping atoms."""
    if crystal not in _space_groups:
        defined = crystal.pbc.all() and len(crystal) > 0 and crystal.volume > 0
        _space_groups[crystal] = _find_space_group(crystal) if defined else 0
    return _space_groups[crystal]


def _find_space_group(crystal: Crystal) -> int:
    """What spglib says; 0 where it finds no symmetry operation, not even the identity (overlapping atoms)."""
    frac = np.linalg.solve(crystal.lattice.T, crystal.positions.T).T
    cell = (crystal.lattice.tolist(), frac.tolist(), crystal.numbers.tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib 2 returns None and announces on every call that it will raise
        try:
            found = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)
        except spglib.SpglibError:
            found = None
    return 0 if found is None else int(found.number)


def _reduced(row: np.ndarray) -> dict[int, int]:
    """{atomic number: count} of one row of counts, divided by the common divisor."""
    present = np.flatnonzero(row)
    divisor = gcd(*(int(row[z]) for z in present))
    return {int(z): int(row[z]) // divisor for z in present}


def _formula(row: np.ndarray) -> str:
    """Reduced formula, the most electropositive element first, such as `Fe2O3`."""
    order = sorted(_reduced(row).items(), key=lambda item: (electronegativity()[item[0]], SYMBOLS[item[0]]))
    return "".join(SYMBOLS[z] + (str(n) if n > 1 else "") for z, n in order)


def _anonymous(row: np.ndarray) -> str:
    """Formula without names, counts ascending, such as `A2B3`."""
    counts = sorted(_reduced(row).values())
    return "".join(chr(ord("A") + i) + (str(n) if n > 1 else "") for i, n in enumerate(counts))


def _anion(row: np.ndarray) -> str:
    """Anion class of one row of counts."""
    if (row > 0).sum() == 1:
        return "element"
    return next((name for symbol, name in ANIONS.items() if row[number(symbol)]), "intermetallic")


def _space_group_column(dataset: Dataset) -> np.ndarray:
    """Space group numbers [n]: the data set's own column, else spglib."""
    own = dataset.domains.get("space_group")
    return np.asarray(own).astype(int) if own is not None else np.array([space_group(c) for c in dataset.crystals], int)


def _prototype(dataset: Dataset) -> np.ndarray:
    """Anonymous formula and space group, such as `AB3 221`."""
    groups = _space_group_column(dataset)
    return np.array([f"{_anonymous(row)} {group}" for row, group in zip(element_counts(dataset), groups, strict=True)])


def _each(label: Callable[[np.ndarray], str]) -> Callable[[Dataset], np.ndarray]:
    """A column from a label of one row of element counts."""
    return lambda dataset: np.array([label(row) for row in element_counts(dataset)])


COMPUTED: dict[str, Callable[[Dataset], np.ndarray]] = {
    "anion": _each(_anion),
    "chemical_system": _each(lambda row: "-".join(sorted(SYMBOLS[z] for z in np.flatnonzero(row)))),
    "composition": _each(_formula),
    "crystal_system": lambda dataset: crystal_system(_space_group_column(dataset)),
    "n_elements": lambda dataset: (element_counts(dataset) > 0).sum(1),
    "point_group": lambda dataset: point_group(_space_group_column(dataset)),
    "prototype": _prototype,
    "space_group": _space_group_column,
}


def domain_values(dataset: Dataset, column: str) -> np.ndarray:
    """A domain column as it is [n]: numbers stay numbers.

    Args:
      dataset: The crystals.
      column: A column of the data set's own metadata, else one that is computed: `anion` (class of compound),
        `chemical_system` (`Fe-O`), `composition` (reduced formula), `crystal_system`, `n_elements`, `point_group`,
        `prototype` (anonymous formula and space group), `space_group`.

    Returns:
      One value per crystal.

    Raises:
      ValueError: If there is no such column; the message names the available ones.
    """
    if column in dataset.domains:
        return np.asarray(dataset.domains[column])
    if column not in COMPUTED:
        raise unknown_column(column, {*dataset.domains, *COMPUTED})
    return COMPUTED[column](dataset)


def unknown_column(column: str, available: Iterable[str]) -> ValueError:
    """The error for a column that there is none of; it names the available ones and the nearest."""
    nearest = difflib.get_close_matches(column, list(available), n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return ValueError(f"unknown domain column {column!r}; available: {', '.join(sorted(available))}{hint}")


def domain_labels(dataset: Dataset, column: str) -> np.ndarray:
    """A domain column as text [n], `unknown` where it is empty or NaN.

    Args:
      dataset: The crystals.
      column: As in `domain_values`.

    Returns:
      One label per crystal.

    Raises:
      ValueError: If there is no such column.

    Example:
      >>> from matjax.data import load
      >>> str(domain_labels(load("flla"), "anion")[1])
      'sulfide'
    """
    return np.array([_label(value) for value in domain_values(dataset, column)], dtype=np.str_)


def _label(value: object) -> str:
    """One value as text."""
    if value is None or value == "" or value != value:
        return UNKNOWN
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)
