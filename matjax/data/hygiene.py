"""Hygiene of a split: which test crystals have a twin in what the learner saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from matjax.data.domains import domain_labels
from matjax.types import Dataset, Split

VOLUME_TOLERANCE = 0.05
"""Largest relative difference in volume per atom between near-equal structures."""


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Test crystals with a twin among the labelled crystals that a learner may see.

    Attributes:
      kind: `composition` (same reduced formula), `prototype` (same anonymous formula and space group) or `structure`
        (same formula and space group, volume per atom within `VOLUME_TOLERANCE`).
      part: `test_inside` or `test_outside`.
      n_part: Crystals in that part.
      pairs: (test id, id of a twin), one per test crystal that has one.
    """

    kind: str
    part: str
    n_part: int
    pairs: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """One line for a report."""
        return f"{len(self.pairs)} of {self.n_part} crystals in {self.part} share their {self.kind} with a crystal the learner saw"


def overlaps(split: Split) -> tuple[Overlap, ...]:
    """Twins across a split, by kind and test part.

    Twins inside are expected in a random split; twins outside say that a shift holds out less than its name claims.
    """
    seen = [split.train, split.validation, split.calibration]
    found = []
    for kind, twin in (("composition", _same("composition")), ("prototype", _same("prototype")), ("structure", _near_equal)):
        for part in ("test_inside", "test_outside"):
            tests = getattr(split, part)
            found.append(Overlap(kind, part, len(tests), tuple(twin(tests, seen))))
    return tuple(found)


def _same(column: str) -> Callable[[Dataset, list[Dataset]], list[tuple[str, str]]]:
    """Twins by equal domain labels."""

    def twins(tests: Dataset, seen: list[Dataset]) -> list[tuple[str, str]]:
        owner = {label: name for part in seen for name, label in zip(part.ids, domain_labels(part, column), strict=True)}
        pairs = zip(tests.ids, domain_labels(tests, column), strict=True)
        return [(name, owner[label]) for name, label in pairs if label in owner]

    return twins


def _near_equal(tests: Dataset, seen: list[Dataset]) -> list[tuple[str, str]]:
    """Twins by formula, space group and volume per atom."""
    owners: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for part in seen:
        for name, label, volume in _structures(part):
            owners.setdefault(label, []).append((name, volume))
    pairs = []
    for name, label, volume in _structures(tests):
        near = [other for other, v in owners.get(label, []) if abs(v / volume - 1) <= VOLUME_TOLERANCE]
        pairs += [(name, near[0])] if near else []
    return pairs


def _structures(dataset: Dataset) -> list[tuple[str, tuple[str, str], float]]:
    """(id, (formula, space group), volume per atom in Å³) of every crystal."""
    labels = zip(*(domain_labels(dataset, column) for column in ("composition", "space_group")), strict=True)
    volumes = np.array([crystal.volume / len(crystal) for crystal in dataset.crystals])
    return [(i, (str(a), str(b)), float(v)) for i, (a, b), v in zip(dataset.ids, labels, volumes, strict=True)]
