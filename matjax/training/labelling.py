"""Crystals with labels become graphs with labels: references taken off, domains numbered."""

from __future__ import annotations

import dataclasses

import numpy as np

from matjax.data.domains import domain_labels
from matjax.graph import to_graph
from matjax.thermo import References
from matjax.training.supervision import target_per_atom
from matjax.types import Dataset, Graph

N_DOMAIN = 8
"""Domains a risk tells apart: the six largest, all others, and unlabelled target crystals. One number, so that splits share a program."""

OTHERS, TARGET = N_DOMAIN - 2, N_DOMAIN - 1


@dataclasses.dataclass(frozen=True, eq=False)
class Labelling:
    """How labels become what a network is trained on.

    Attributes:
      label: Label that is learned.
      references: Taken off the label, in float64.
      column: Domain column.
      names: Domains numbered 0, 1, ...; what is not among them counts as `OTHERS`.
      cutoff: Of the graphs, in Å.
    """

    label: str
    references: References
    column: str
    names: tuple[str, ...]
    cutoff: float

    def graphs(self, dataset: Dataset, *, held_from: np.ndarray | None = None, first: int = 0) -> list[Graph]:
        """Labelled graphs.

        Args:
          dataset: Labelled crystals.
          held_from: Bit m keeps a crystal from member m [n].
          first: Index of the first graph.

        Raises:
          ValueError: If the set is empty or none of its labels is finite.
        """
        if not len(dataset):
            raise ValueError("a part of the split is empty; training and validation both need crystals")
        per_atom = target_per_atom(dataset, self.label) - self.references.per_atom(dataset.crystals)
        if not np.isfinite(per_atom).any():
            raise ValueError(f"label {self.label!r} is absent (NaN) on all {len(dataset)} crystals")
        place = {name: i for i, name in enumerate(self.names)}
        domain = [place.get(d, OTHERS) for d in domain_labels(dataset, self.column)]
        extra = {k: dataset.labels[k] for k in ("forces", "stress") if self.label == "energy" and k in dataset.labels}
        return [
            to_graph(
                crystal,
                cutoff=self.cutoff,
                energy=float(per_atom[i] * len(crystal)),
                forces=extra["forces"][i] if "forces" in extra else None,
                stress=extra["stress"][i] if "stress" in extra else None,
                domain=domain[i],
                held_from=0 if held_from is None else int(held_from[i]),
                index=first + i,
            )
            for i, crystal in enumerate(dataset.crystals)
        ]

    def unlabelled(self, dataset: Dataset, *, first: int = 0) -> list[Graph]:
        """Graphs of target crystals: no label, a domain of their own."""
        return [to_graph(c, cutoff=self.cutoff, domain=TARGET, index=first + i) for i, c in enumerate(dataset.crystals)]


def domain_names(labels: np.ndarray) -> tuple[str, ...]:
    """The domains a risk tells apart by name, largest first."""
    names, counts = np.unique(labels, return_counts=True)
    order = np.lexsort((names, -counts))
    return tuple(str(names[i]) for i in order[:OTHERS])
