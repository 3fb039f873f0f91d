"""Reference energies of the elements, fitted on the host in float64: what a network need not learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from matjax.data.elements import physical_features
from matjax.types import Crystal

PHYSICAL = 1e-3
"""Prior precision per crystal of a weight on a (standardised) physical descriptor."""

FREE = 1e-1
"""Prior precision per crystal of an element's own constant: it moves where data insist, else physics speaks."""


@dataclasses.dataclass(frozen=True, eq=False)
class References:
    """Energy per atom attributed to each element.

    Attributes:
      energies: [n_element], eV/atom (or the label's unit), by atomic number; finite also for elements never seen.
    """

    energies: np.ndarray

    def per_atom(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """Mean reference of each crystal's atoms [n], eV/atom, float64."""
        return np.array([self.energies[c.numbers].mean() for c in crystals])


LARGE = 5.0
"""Spread per atom, in the label's unit, above which the fixed strengths are given up if composition explains the label."""


def fit_references(crystals: Sequence[Crystal], per_atom: np.ndarray, *, physical: bool = True) -> References:
    """Least-squares references: E / n_atom = mean over atoms of reference(element).

    A ridge regression on the element's physical descriptors plus one free constant per element, with fixed strengths: an
    element that is rare or absent in training is placed by its physics. (Choosing the strengths by generalised
    cross-validation fits the training domains better and left-out ones much worse. They were chosen on nitrides and on
    fluorides left out of the embedded set.) Where composition explains nearly all of a label and the fixed strengths still
    leave more than `LARGE`, as in all-electron total energies, the constants are let free.

    Args:
      crystals: Training crystals.
      per_atom: Label per atom [n], eV/atom; NaN rows are ignored.
      physical: Use the descriptors; without them an unseen element gets the mean.

    Raises:
      ValueError: If no label is finite.
    """
    finite = np.isfinite(per_atom)
    if not finite.any():
        raise ValueError(f"none of the {len(per_atom)} labels is finite; references cannot be fitted")
    table = physical_features().astype(np.float64)
    free = np.eye(len(table)) / np.sqrt(FREE)
    descriptors = np.hstack([table / np.sqrt(PHYSICAL), free]) if physical else free
    design = np.array([descriptors[c.numbers].mean(0) for c, ok in zip(crystals, finite, strict=True) if ok])
    y = np.asarray(per_atom, np.float64)[finite]
    mean_x, mean_y = design.mean(0), y.mean()
    centred = design - mean_x
    normal = centred.T @ centred + len(y) * np.eye(centred.shape[1])
    weights = np.linalg.solve(normal, centred.T @ (y - mean_y))
    left = np.std(y - mean_y - centred @ weights)
    if LARGE < left < 0.1 * np.std(y):  # all-electron totals: composition explains nearly all, and must be let to
        weights = np.linalg.lstsq(centred, y - mean_y, rcond=None)[0]
    return References(mean_y + (descriptors - mean_x) @ weights)
