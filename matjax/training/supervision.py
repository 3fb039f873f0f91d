"""What supervised a model, and therefore what it may be asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from matjax.data.elements import symbol
from matjax.types import Crystal, Dataset, Metadata

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
      label: Name of the label that is predicted; empty where heads were trained alone.
      unit: Its unit.
      has: Which of "energy", "forces", "stress" were trained on.
      structures: "relaxed", "ideal", "unrelaxed" or "unknown".
      reference: What energies are relative to.
      functional: Functional of the labels.
      elements: Atomic numbers in the training crystals.
      n_train: Number of training crystals.
      data: Content hash of the training set.
      source: Where the data came from.
      heads: Heads that were trained.
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
    heads: tuple[str, ...] = ()

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
            trained = (
                f"{', '.join((*self.has, *self.heads))} of {self.structures} structures ({self.n_train} crystals, label {self.label!r})"
            )
            raise ValueError(f"{quantity} refused: it needs training on {', '.join(missing)}, but this model was trained on {trained}")

    def require_elements(self, crystals: Sequence[Crystal]) -> None:
        """Refuses crystals with elements that are not in the training crystals.

        Raises:
          ValueError: Naming the elements and the first crystal that has them.
        """
        known = set(self.elements)
        for i, crystal in enumerate(crystals):
            if strange := sorted({int(z) for z in crystal.numbers} - known):
                names = ", ".join(symbol(z) for z in strange)
                raise ValueError(
                    f"crystal {i} has {names}, which this model was not trained on and cannot represent ({len(known)} elements known): "
                    "leave it out, or fine-tune on crystals with it"
                )


def supervision(train: Dataset, label: str, heads: tuple[str, ...] = ()) -> Supervision:
    """What this training set teaches about this label, beside these heads."""
    meta: Metadata = train.metadata
    has = ["energy"] if label else []
    if label == "energy":
        has += [name for name in ("forces", "stress") if name in train.labels and _labelled(train.labels[name])]
    return Supervision(
        label=label if label != "energy" else "energy_per_atom",
        unit=meta.units.get(label, "unknown" if label else "") if label != "energy" else "eV/atom",
        has=tuple(has),
        structures=meta.structures,
        reference=meta.reference,
        functional=meta.functional,
        elements=tuple(sorted({int(z) for c in train.crystals for z in c.numbers})),
        n_train=len(train),
        data=train.key,
        source=meta.source or meta.name,
        heads=heads,
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


def default_label(dataset: Dataset, heads: tuple[str, ...] = ()) -> str:
    """The label to learn when none is named: the total energy, a formation energy, or the only scalar label.

    Labels of heads are not among them; where they are all there is, it is empty: heads are learned alone.

    Raises:
      ValueError: If the choice is not clear.
    """
    for name in ("energy", "formation_energy_per_atom"):
        if name in dataset.labels and name not in heads:
            return name
    scalars = [k for k, v in dataset.labels.items() if isinstance(v, np.ndarray) and v.ndim == 1 and k not in heads]
    if heads and not scalars:
        return ""
    if len(scalars) == 1:
        return scalars[0]
    raise ValueError(f"which label should be learned? Pass label=...; the data have: {', '.join(scalars) or 'no scalar label'}")


def _labelled(column: Any) -> bool:
    return any(bool(np.isfinite(row).all()) for row in column)
