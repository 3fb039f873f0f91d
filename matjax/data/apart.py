"""Keeping twins apart: crystals inside that share a name with a crystal outside take no part."""

from __future__ import annotations

import numpy as np

from matjax.data.memberships import memberships
from matjax.types import Dataset


def kept_apart(dataset: Dataset, inside: np.ndarray, outside: np.ndarray, column: str | None) -> np.ndarray:
    """Rows inside that share no value of a column with a row outside; all of them where no column is named.

    Crystals of unknown value have no twin.

    Args:
      dataset: The crystals.
      inside: Rows of the training domains.
      outside: Rows of the domain held out.
      column: What must not occur on both sides, such as `composition`, `prototype` or a column of the data's own.

    Raises:
      ValueError: If there is no such column.
    """
    if column is None:
        return inside
    twin = np.zeros(len(dataset), bool)
    for belongs in memberships(dataset, column).values():
        if belongs[outside].any():
            twin |= belongs
    return inside[~twin[inside]]
