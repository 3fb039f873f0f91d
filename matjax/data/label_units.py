"""Labels of one column in two units: found by their size, before an error of a factor of a hundred passes for a shift."""

from __future__ import annotations

import numpy as np

from matjax.data.memberships import memberships
from matjax.types import Dataset

FACTORS = {
    1000.0: "a thousand, as meV are to eV or MPa to GPa",
    96.485: "96.5, as kJ/mol are to eV",
    23.061: "23.1, as kcal/mol are to eV",
    27.211: "27.2, as eV are to hartree",
    13.606: "13.6, as eV are to rydberg",
    160.218: "160, as GPa are to eV/Å³",
}
"""Factors between units of the field that are too large to be a difference between materials, and what they are."""

TOLERANCE = 1.5  # domains differ by as much in size and spread without any mistake
FEWEST = 10  # crystals in a domain whose size can be told


def check_label_units(dataset: Dataset, label: str, column: str) -> None:
    """Refuses a label that one domain of a column seems to have in another unit than the rest.

    The median size and the spread (interquartile range) of the domain's labels are compared with those of all others. Where both
    ratios are a factor between units of the field, within one and a half, it is hardly the materials that differ. A property that
    does span orders of magnitude from domain to domain should be learned as a logarithm, which this check lets pass.

    Args:
      dataset: The crystals.
      label: A scalar label.
      column: Domain column, such as the laboratory or the file that a crystal is from.

    Raises:
      ValueError: If so, naming the domain, both sizes and the likely unit; or if no crystal has the label.
    """
    values = np.asarray(dataset.labels[label], np.float64)
    known = np.isfinite(values)
    if not known.any():
        raise ValueError(f"label {label!r} is NaN for all {len(values)} crystals; name a label that the data have")
    for domain, belongs in memberships(dataset, column).items():
        here, rest = values[known & belongs], values[known & ~belongs]
        if min(len(here), len(rest)) < FEWEST:
            continue
        if (unit := _factor(_sizes(here), _sizes(rest))) is not None:
            size, other = _sizes(here)[0], _sizes(rest)[0]
            raise ValueError(
                f"labels {label!r} of {column} {domain!r} are of size {size:.3g}, those of all others {other:.3g}: about {unit}. "
                f"Convert them to one unit before they are read as one column ({dataset.metadata.units.get(label, 'no unit is named')})"
            )


def _sizes(values: np.ndarray) -> np.ndarray:
    """Median absolute value and interquartile range."""
    low, high = np.quantile(values, [0.25, 0.75])
    return np.array([np.median(np.abs(values)), high - low])


def _factor(here: np.ndarray, rest: np.ndarray) -> str | None:
    """The factor between units that both ratios of sizes are nearest to, in either direction, or None."""
    if not ((here > 0).all() and (rest > 0).all()):
        return None
    ratio = np.log(here / rest)
    off = {what: max(np.abs(np.abs(ratio) - np.log(factor))) for factor, what in FACTORS.items()}
    nearest = min(off, key=lambda what: off[what])
    return nearest if off[nearest] < np.log(TOLERANCE) and np.sign(ratio).prod() > 0 else None
