"""What a pretrained model has seen of a target set: labels of its materials apart from what its representation was made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from matjax.data.domains import domain_labels, element_counts
from matjax.data.elements import N_ELEMENT
from matjax.types import Dataset

SHARED = ("elements", "chemical_system", "composition", "prototype")
"""What a target crystal can have in common with the pretraining set."""


@dataclasses.dataclass(frozen=True, eq=False)
class Exposure:
    """Which target crystals a model was exposed to, and how.

    Good transfer is not extrapolation: a model that was pretrained on a target's elements and prototypes at another fidelity
    meets a new label, not a new material. Both are said, each on its own.

    Attributes:
      ids: Target crystals.
      shares: {what: [n] bool}: whether the pretraining set has it too. `elements` means all of them; `composition` the reduced
        formula; `prototype` anonymous formula and space group; `material` composition and prototype of one crystal.
      labelled: Whether this material is among those labelled at the target's fidelity [n].
    """

    ids: tuple[str, ...]
    shares: Mapping[str, np.ndarray]
    labelled: np.ndarray

    @property
    def label_ood(self) -> np.ndarray:
        """The label of this material at this fidelity was not seen [n]."""
        return ~self.labelled

    @property
    def representation_ood(self) -> np.ndarray:
        """Pretraining saw not all of its elements, or not its prototype (where prototypes are compared) [n]."""
        return ~(self.shares["elements"] & self.shares.get("prototype", np.ones(len(self.ids), bool)))

    def columns(self) -> dict[str, float]:
        """Shares of the target crystals, for the row of a result."""
        flags = {f"pretrained_{name}": seen for name, seen in self.shares.items()}
        flags |= {"label_ood": self.label_ood, "representation_ood": self.representation_ood}
        return {name: float(flag.mean()) for name, flag in flags.items()}

    def __str__(self) -> str:
        """A line per question, for a report."""
        n = len(self.ids)
        lines = [
            f"{int(seen.sum())} of {n} share their {name.replace('_', ' ')} with the pretraining set" for name, seen in self.shares.items()
        ]
        lines.append(f"{int(self.label_ood.sum())} of {n} are label-OOD, {int(self.representation_ood.sum())} representation-OOD")
        return "\n".join(lines)


def exposure(source: Dataset, target: Dataset, labelled: Dataset | None = None, *, structures: bool = True) -> Exposure:
    """Compares target crystals with what a model was pretrained on and with what it was labelled on.

    Args:
      source: Crystals of the pretraining set; its labels are not looked at.
      target: Crystals that will be predicted.
      labelled: Crystals whose labels at the target's fidelity the model was given; None for none.
      structures: False where crystals stand for compositions alone: prototypes are then not compared, and a material is its formula.

    Raises:
      ValueError: If there is no target crystal.
    """
    if not len(target):
        raise ValueError("the target set is empty; there is nothing to compare")
    known = element_counts(source).any(0) if len(source) else np.zeros(N_ELEMENT + 1, bool)
    shares: dict[str, np.ndarray] = {"elements": np.all(known | (element_counts(target) == 0), axis=1)}
    for column in SHARED[1:] if structures else SHARED[1:-1]:
        shares[column] = _among(domain_labels(target, column), domain_labels(source, column))
    materials = _materials(target, structures)
    shares["material"] = _among(materials, _materials(source, structures))
    given = np.zeros(len(target), bool) if labelled is None else _among(materials, _materials(labelled, structures))
    return Exposure(target.ids, shares, given)


def _among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.isin(values, known) if len(known) else np.zeros(len(values), bool)


def _materials(dataset: Dataset, structures: bool) -> np.ndarray:
    columns = ("composition", "prototype") if structures else ("composition",)
    return np.array([" ".join(names) for names in zip(*(domain_labels(dataset, c) for c in columns), strict=True)], dtype=np.str_)
