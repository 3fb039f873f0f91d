"""Crystals with labels become graphs with labels: references taken off, domains numbered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from matjax.data.domains import domain_labels
from matjax.graph import CachedGraphs, cached_graphs, to_graph
from matjax.nn import Model
from matjax.nn.head import Head
from matjax.thermo import References
from matjax.training.conditions import from_columns
from matjax.training.head_labels import targets, trained_heads
from matjax.training.supervision import target_per_atom
from matjax.types import Dataset, Graph

Graphs = list[Graph] | CachedGraphs

N_DOMAIN = 8
"""Domains a risk tells apart: the six largest, all others, and unlabelled target crystals. One number, so that splits share a program."""

OTHERS, TARGET = N_DOMAIN - 2, N_DOMAIN - 1


@dataclasses.dataclass(frozen=True, eq=False)
class Labelling:
    """How labels become what a network is trained on.

    Attributes:
      label: Label that is learned; empty where heads are learned alone.
      references: Taken off the label, in float64.
      column: Domain column.
      names: Domains numbered 0, 1, ...; what is not among them counts as `OTHERS`.
      model: What the graphs are for: its cutoff, and what it is conditioned on.
      heads: Heads that are learned.
      fidelity: Domain column of fidelities; empty for none.
      charge: Domain column of charges; empty for none.
      cache: Folder of a graph cache; empty to build the graphs in memory.
    """

    label: str
    references: References
    column: str
    names: tuple[str, ...]
    model: Model
    heads: tuple[Head, ...] = ()
    fidelity: str = ""
    charge: str = ""
    cache: str = ""

    def graphs(self, dataset: Dataset, *, held_from: np.ndarray | None = None, first: int = 0) -> Graphs:
        """Labelled graphs.

        Args:
          dataset: Labelled crystals.
          held_from: Bit m keeps a crystal from member m [n].
          first: Index of the first graph.

        Raises:
          ValueError: If the set is empty, none of its labels is finite, or a head's labels are not of its shape.
        """
        if not len(dataset):
            raise ValueError("a part of the split is empty; training and validation both need crystals")
        per_atom = np.full(len(dataset), np.nan)
        if self.label:
            per_atom = target_per_atom(dataset, self.label) - self.references.per_atom(dataset.crystals)
        if self.label and not np.isfinite(per_atom).any():
            raise ValueError(f"label {self.label!r} is absent (NaN) on all {len(dataset)} crystals")
        place = {name: i for i, name in enumerate(self.names)}
        domain = [place.get(d, OTHERS) for d in domain_labels(dataset, self.column)]
        fidelity, charge = from_columns(dataset, self.model, self.fidelity, self.charge)
        labels = targets(dataset, self.heads)
        if not self.label and not trained_heads(dataset, self.heads):
            raise ValueError(f"all {len(dataset)} crystals lack the label of every head ({', '.join(h.name for h in self.heads)})")
        extra = {k: dataset.labels[k] for k in ("forces", "stress") if self.label == "energy" and k in dataset.labels}

        def label(i: int) -> dict[str, Any]:
            return {
                "energy": float(per_atom[i] * len(dataset.crystals[i])),
                "forces": extra["forces"][i] if "forces" in extra else None,
                "stress": extra["stress"][i] if "stress" in extra else None,
                "domain": domain[i],
                "held_from": 0 if held_from is None else int(held_from[i]),
                "index": first + i,
                "fidelity": int(fidelity[i]),
                "charge": float(charge[i]),
                "targets": labels[i].crystal,
                "atom_targets": labels[i].atoms,
            }

        return self._made(dataset, label)

    def unlabelled(self, dataset: Dataset, *, first: int = 0) -> Graphs:
        """Graphs of target crystals: no label, a domain of their own."""
        bare = dataclasses.replace(dataset, labels={})
        fidelity, charge = from_columns(bare, self.model, self.fidelity, self.charge)
        absent = targets(bare, self.heads)

        def label(i: int) -> dict[str, Any]:
            return {
                "domain": TARGET,
                "index": first + i,
                "fidelity": int(fidelity[i]),
                "charge": float(charge[i]),
                "targets": absent[i].crystal,
                "atom_targets": absent[i].atoms,
            }

        return self._made(dataset, label)

    def _made(self, dataset: Dataset, label: Callable[[int], dict[str, Any]]) -> Graphs:
        if self.cache:
            return cached_graphs(dataset.crystals, self.model.cutoff, self.cache, label=label)
        return [to_graph(crystal, cutoff=self.model.cutoff, **label(i)) for i, crystal in enumerate(dataset.crystals)]


def domain_names(labels: np.ndarray) -> tuple[str, ...]:
    """The domains a risk tells apart by name, largest first."""
    names, counts = np.unique(labels, return_counts=True)
    order = np.lexsort((names, -counts))
    return tuple(str(names[i]) for i in order[:OTHERS])
