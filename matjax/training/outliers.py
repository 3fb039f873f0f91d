"""Labels that look wrong before anybody trains on them: absent in places, far out, or contradicting physics or each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from matjax.data.check import outliers
from matjax.types import Dataset

Suspect = tuple[str, str]
"""Id of a crystal, and what is wrong with its labels, in words."""

FAR = 15.0  # robust standard deviations from the median, as for scalar labels
FORCE, STRESS = 10.0, 0.2  # eV/Å and eV/Å³ (32 GPa): what is smaller is nothing unusual, however narrow the rest is
NET_FORCE, NET_SHARE = 0.05, 0.1  # eV/Å per atom, and share of the root mean square force, that forces may sum to
ASYMMETRY = 0.01  # share of the largest component
SAME = 1e-3  # eV per atom that two labels of the same crystal may differ by


def suspects(dataset: Dataset, label: str) -> list[Suspect]:
    """Every crystal with labels that look wrong, with the reason; a list to read before training, nothing is removed.

    Scalar labels far from the rest (`data.check.outliers`) or infinite; forces and stresses with NaN among numbers, or far larger
    than in the rest of the set; forces that do not sum to zero (a fixed atom, an external field, or forces of another frame);
    a stress that is not symmetric (a convention that was mixed up); the same crystal with different labels.

    Args:
      dataset: With labels in eV, eV/Å, eV/Å³.
      label: The scalar label that is learned; empty for none.
    """
    found: list[Suspect] = []
    if label:
        values = np.asarray(dataset.labels[label], np.float64)
        found += [(dataset.ids[i], f"{label} is {values[i]}") for i in np.flatnonzero(np.isinf(values))]
        far = outliers(dataset, label, n_deviation=FAR)
        found += [(dataset.ids[i], f"{label} of {values[i]:.6g} is far from all others") for i in far]
        found += _contradictions(dataset, label, values)
    if "forces" in dataset.labels:
        found += _of_forces(dataset)
    if "stress" in dataset.labels:
        found += _of_stress(dataset)
    return found


def _contradictions(dataset: Dataset, label: str, values: np.ndarray) -> Iterator[Suspect]:
    rows: dict[str, list[int]] = defaultdict(list)
    for i in np.flatnonzero(np.isfinite(values)):
        rows[dataset.crystals[i].key].append(int(i))
    for first, *others in rows.values():
        size = len(dataset.crystals[first]) if label == "energy" else 1
        for i in others:
            if abs(values[i] - values[first]) > SAME * size:
                yield dataset.ids[i], f"{label} is {values[i]:.6g}, but the same crystal has {values[first]:.6g} as {dataset.ids[first]!r}"


def _of_forces(dataset: Dataset) -> Iterator[Suspect]:
    column = [np.asarray(forces, np.float64) for forces in dataset.labels["forces"]]
    yield from _gaps(dataset, "forces", column)
    for i, size in _far([np.linalg.norm(forces, axis=1).max(initial=0.0) for forces in column], FORCE):
        yield dataset.ids[i], f"a force of {size:.3g} eV/Å is far from all others"
    for name, forces in zip(dataset.ids, column, strict=True):
        net = float(np.linalg.norm(forces.sum(0))) / max(len(forces), 1)
        if np.isfinite(net) and net > NET_FORCE + NET_SHARE * float(np.sqrt((forces**2).mean())):
            yield name, f"forces sum to {net:.3g} eV/Å per atom, not to zero"


def _of_stress(dataset: Dataset) -> Iterator[Suspect]:
    column = [np.asarray(stress, np.float64) for stress in dataset.labels["stress"]]
    yield from _gaps(dataset, "stress", column)
    for i, size in _far([np.abs(stress).max() for stress in column], STRESS):
        yield dataset.ids[i], f"a stress of {size:.3g} eV/Å³ is far from all others"
    for name, stress in zip(dataset.ids, column, strict=True):
        if np.isfinite(stress).all() and np.abs(stress - stress.T).max() > ASYMMETRY * np.abs(stress).max():
            yield name, "the stress is not symmetric"


def _gaps(dataset: Dataset, label: str, column: list[np.ndarray]) -> Iterator[Suspect]:
    """Labels that are neither numbers throughout nor absent (NaN throughout)."""
    for name, values in zip(dataset.ids, column, strict=True):
        if not np.isfinite(values).all() and not np.isnan(values).all():
            yield name, f"{label} is NaN or infinite in places"


def _far(sizes: list[float], least: float) -> list[tuple[int, float]]:
    """Rows and sizes that lie above the median by more than `FAR` robust deviations, and above `least`."""
    values = np.array(sizes)
    known = values[np.isfinite(values)]
    if not len(known):
        return []
    limit = max(np.median(known) + FAR * 1.4826 * np.median(np.abs(known - np.median(known))), least)
    return [(int(i), float(values[i])) for i in np.flatnonzero(values > limit) if np.isfinite(values[i])]
