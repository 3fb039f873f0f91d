"""Which crystals belong to which domain of a column, where a crystal may belong to several."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from matjax.data.domains import COMPUTED, UNKNOWN, domain_labels, element_counts, unknown_column
from matjax.data.elements import SYMBOLS, table
from matjax.types import Dataset

Memberships = Mapping[str, np.ndarray]
"""{domain: whether each crystal belongs to it [n] bool}."""


def _of_elements(name_of: Callable[[int], str]) -> Callable[[Dataset], Memberships]:
    """Memberships by a name of each element: a crystal belongs to the names of all its elements."""

    def memberships(dataset: Dataset) -> Memberships:
        present = element_counts(dataset) > 0
        columns: dict[str, list[int]] = {}
        for z in np.flatnonzero(present.any(0)):
            columns.setdefault(name_of(int(z)), []).append(int(z))
        return {name: np.any(present[:, zs], axis=1) for name, zs in columns.items()}

    return memberships


SEVERAL: dict[str, Callable[[Dataset], Memberships]] = {
    "elements": _of_elements(lambda z: SYMBOLS[z]),
    "periodic_groups": _of_elements(lambda z: f"{table()['group'][z]:g}"),
    "periods": _of_elements(lambda z: f"{table()['period'][z]:g}"),
}
"""Columns of which a crystal has several values: its elements, and their groups (f elements: 3) and periods of the periodic table."""


def memberships(dataset: Dataset, column: str) -> Memberships:
    """Which crystals belong to which domain.

    Args:
      dataset: The crystals.
      column: `elements`, `periodic_groups` or `periods`, where a crystal belongs to all of its own, or any column of
        `matjax.data.domain_labels`, where it belongs to one, or to none if that is unknown.

    Returns:
      {domain: [n] bool}.

    Raises:
      ValueError: If there is no such column; the message names the available ones.

    Example:
      >>> from matjax.data import load
      >>> int(memberships(load("flla"), "periodic_groups")["17"].sum()), int(memberships(load("flla"), "anion")["nitride"].sum())
      (729, 177)
    """
    if column in SEVERAL and column not in dataset.domains:
        return SEVERAL[column](dataset)
    if column not in dataset.domains and column not in COMPUTED:
        raise unknown_column(column, {*dataset.domains, *COMPUTED, *SEVERAL})
    labels = domain_labels(dataset, column)
    return {str(name): labels == name for name in np.unique(labels) if name != UNKNOWN}
