"""A composition as numbers that no model has learned: element fractions, and statistics of elemental properties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matjax.data.elements import N_ELEMENT, table
from matjax.types import Crystal

PROPERTIES = (
    "electronegativity",
    "atomic_radius",
    "mass",
    "mendeleev_number",
    "ionization_energy",
    "electron_affinity",
    "period",
    "group",
    "valence_s",
    "valence_p",
    "valence_d",
    "valence_f",
)
"""Elemental properties (columns of the element table) whose mean, spread, minimum and maximum describe a composition."""


def element_fractions(crystals: Sequence[Crystal]) -> np.ndarray:
    """Share of each element among the atoms [n, 118]; column z - 1 is atomic number z, rows sum to 1."""
    counts = (
        np.stack([np.bincount(c.numbers, minlength=N_ELEMENT + 1)[1:] for c in crystals]) if len(crystals) else np.zeros((0, N_ELEMENT))
    )
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def property_statistics(fractions: np.ndarray) -> np.ndarray:
    """Mean, spread, minimum and maximum of each elemental property over a composition [n, 4 * n_property].

    Mean and spread (standard deviation) are weighted by the fractions [n, 118]; minimum and maximum are over the
    elements present.

    Source:
      Ward et al. (2016), npj Comput. Mater. 2, 16028 (statistics of elemental properties).
    """
    columns = table()
    values = np.stack([columns[name][1:] for name in PROPERTIES], 1)
    mean = fractions @ values
    spread = np.sqrt(np.maximum(fractions @ values**2 - mean**2, 0))
    present = fractions[:, :, None] > 0
    low = np.where(present, values, np.inf).min(1)
    high = np.where(present, values, -np.inf).max(1)
    return np.concatenate([mean, spread, low, high], 1)


def composition_features(crystals: Sequence[Crystal]) -> np.ndarray:
    """What a composition is, as numbers [n, n_feature]: property statistics, then element fractions."""
    fractions = element_fractions(crystals)
    return np.concatenate([property_statistics(fractions), fractions], 1)
