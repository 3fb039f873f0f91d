"""What supervised a model, and therefore what it may be asked."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from matjax.types import Dataset, Metadata

_NEEDS = {
    "forces": ("forces",),
    "stress": ("stress",),
    "relaxation": ("forces",),
    "elasticity": ("stress",),
    "debye": ("stress",),
}


@dataclasses.dataclass(frozen=True)
class Supervision:
    """The training labels of a model, saved in its checkpoint.

    Attributes:
      label: Name of the label that is predicted.
      unit: Its unit.
      has: Which of "energy", "forces", "stress" were trained on.
      structures: "relaxed", "ideal", "unrelaxed" or "unknown".
      reference: What energies are relative to.
      functional: Functional of the labels.
      elements: Atomic numbers in the training crystals.
      n_train: Number of training crystals.
      data: Content hash of the training set.
      source: Where the data came from.
    """

    label: str
    unit: str
    has: tuple[str, ...]
    structures: str
    reference: str
    functional: str
    elements: tuple[int, ...]
    n_train: int
    data: str
    source: str

    def allows(self, quantity: str) -> bool:
        """Whether the labels support a quantity: forces, stress, relaxation, elasticity or debye."""
        return all(need in self.has for need in _NEEDS[quantity])

    def require(self, quantity: str) -> None:
        """Refuses what the labels do not support.

        Raises:
          ValueError: If the model was not trained on what the quantity needs, naming both.
        """
        if quantity not in _NEEDS:
            raise ValueError(f"unknown quantity {quantity!r}; known: {', '.join(_NEEDS)}")
        missing = [need for need in _NEEDS[quantity] if need not in self.has]
        if missing:
            trained = f"{', '.join(self.has)} of {self.structures} structures ({self.n_train} crystals, label {self.label!r})"
            raise ValueError(f"{quantity} refused: it needs training on {', '.join(missing)}, but this model was trained on {trained}")


def supervision(train: Dataset, label: str) -> Supervision:
    """What this training set teaches about this label."""
    meta: Metadata = train.metadata
    has = ["energy"]
    if label == "energy":
        has += [name for name in ("forces", "stress") if name in train.labels and _labelled(train.labels[name])]
    return Supervision(
        label=label if label != "energy" else "energy_per_atom",
        unit=meta.units.get(label, "unknown") if label != "energy" else "eV/atom",
        has=tuple(has),
        structures=meta.structures,
        reference=meta.reference,
        functional=meta.functional,
        elements=tuple(sorted({int(z) for c in train.crystals for z in c.numbers})),
        n_train=len(train),
        data=train.key,
        source=meta.source or meta.name,
    )


def target_per_atom(dataset: Dataset, label: str) -> np.ndarray:
    """The label that is learned, per atom or intensive [n], float64, NaN where absent.

    Raises:
      ValueError: If the data set has no such label, naming the ones it has.
    """
    if label not in dataset.labels:
        raise ValueError(f"the data have no label {label!r}; they have: {', '.join(dataset.labels) or 'none'}")
    column: Any = np.asarray(dataset.labels[label], np.float64)
    if column.ndim != 1:
        raise ValueError(f"label {label!r} has shape {column.shape}; a scalar per crystal is needed")
    return column / np.array([len(c) for c in dataset.crystals]) if label == "energy" else column


def default_label(dataset: Dataset) -> str:
    """The label to learn when none is named: the total energy, a formation energy, or the only scalar label.

    Raises:
      ValueError: If the choice is not clear.
    """
    for name in ("energy", "formation_energy_per_atom"):
        if name in dataset.labels:
            return name
    scalars = [k for k, v in dataset.labels.items() if isinstance(v, np.ndarray) and v.ndim == 1]
    if len(scalars) == 1:
        return scalars[0]
    raise ValueError(f"which label should be learned? Pass label=...; the data have: {', '.join(scalars) or 'no scalar label'}")


def _labelled(column: Any) -> bool:
    return any(bool(np.isfinite(row).all()) for row in column)
