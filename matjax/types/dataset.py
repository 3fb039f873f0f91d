"""Labelled crystals, and the split of them that a learner may see a part of."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from matjax.types.crystal import Crystal


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What the numbers of a data set mean. Written into every checkpoint and report.

    Attributes:
      name: What people call the set.
      units: {label: unit}, after conversion: eV, eV/atom, eV/Å, eV/Å³, or the property's own unit.
      reference: What energies are relative to: "elements" (formation), "atoms", "functional" (total energies), "unknown".
      functional: "PBE", "PBE+U/GGA mixed (MP-2018)", "EAM", "experiment", ...; "unknown" where the source does not say.
      structures: "relaxed", "ideal", "unrelaxed" (frames off equilibrium) or "unknown".
      source: Where the file came from.
      citation: What to cite.
      license: Under which terms.
      notes: What a reader of a result must know (label conventions that differ between domains, for example).
      set_aside: (record, reason) of what the reader left out, by policy.
    """

    name: str = "unnamed"
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reference: str = "unknown"
    functional: str = "unknown"
    structures: str = "unknown"
    source: str = ""
    citation: str = ""
    license: str = ""
    notes: str = ""
    set_aside: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Crystals with labels and domain columns.

    Attributes:
      crystals: The crystals.
      ids: One name per crystal, unique.
      labels: {name: array}. A scalar label is [n], NaN where absent. `forces` is a tuple of [n_atom, 3] arrays, all NaN
        where absent; `stress` is [n, 3, 3]. `energy` is a total in eV; labels in eV/atom end in `_per_atom`.
      domains: {column: [n] array of str or numbers}: any metadata that names where a crystal came from.
      metadata: What the numbers mean.
    """

    crystals: tuple[Crystal, ...]
    ids: tuple[str, ...]
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    domains: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    metadata: Metadata = dataclasses.field(default_factory=Metadata)

    def __post_init__(self) -> None:
        """Checks that every column has one row per crystal and that ids are unique."""
        n = len(self.crystals)
        for kind, columns in (("label", self.labels), ("domain column", self.domains)):
            for name, column in columns.items():
                if len(column) != n:
                    raise ValueError(f"{kind} {name!r} has {len(column)} rows for {n} crystals")
        if len(self.ids) != n:
            raise ValueError(f"{len(self.ids)} ids for {n} crystals")
        if len(set(self.ids)) != n:
            seen: set[str] = set()
            twice = next(i for i in self.ids if i in seen or seen.add(i))
            raise ValueError(f"id {twice!r} occurs twice; ids must be unique (n={n})")

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.crystals)

    def select(self, rows: np.ndarray | Sequence[int]) -> Dataset:
        """The data set of these rows (indices or a boolean mask), in the order given."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
        take = lambda column: column[rows] if isinstance(column, np.ndarray) else tuple(column[i] for i in rows)
        return dataclasses.replace(
            self,
            crystals=tuple(self.crystals[i] for i in rows),
            ids=tuple(self.ids[i] for i in rows),
            labels={k: take(v) for k, v in self.labels.items()},
            domains={k: take(v) for k, v in self.domains.items()},
        )

    def with_domains(self, **columns: np.ndarray) -> Dataset:
        """The same set with further (or replaced) domain columns."""
        return dataclasses.replace(self, domains={**self.domains, **{k: np.asarray(v) for k, v in columns.items()}})

    @cached_property
    def key(self) -> str:
        """Content hash of crystals, ids, labels and domain columns (16 hex digits)."""
        digest = hashlib.sha256()
        for crystal, name in zip(self.crystals, self.ids, strict=True):
            digest.update(crystal.key.encode() + name.encode())
        for name in sorted(self.domains):
            digest.update(name.encode() + "\n".join(map(str, self.domains[name])).encode())
        for name in sorted(self.labels):
            column = self.labels[name]
            for array in [column] if isinstance(column, np.ndarray) else column:
                digest.update(name.encode() + np.ascontiguousarray(np.asarray(array, np.float64)).tobytes())
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True, eq=False)
class Visible:
    """What a learner may see of a split: no test labels, by type.

    Attributes:
      train: Labelled crystals to fit.
      validation: Labelled crystals for early stopping and selection.
      calibration: Labelled crystals for intervals; not for fitting.
      target: Crystals of the new domain, labels removed (information level L1; most methods ignore it).
    """

    train: Dataset
    validation: Dataset
    calibration: Dataset
    target: Dataset


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One shift: where a model is trained and where it is tested.

    Attributes:
      shift: Name of the shift, such as `leave_out(anion)`.
      domain: What was held out, such as `nitride`; `random` for the control.
      train: Labelled crystals of the training domains.
      validation: Inside the training domains.
      calibration: Inside the training domains.
      test_inside: Inside the training domains.
      test_outside: The domain that was held out.
      target: Crystals of the held-out domain without labels (disjoint from test_outside).
    """

    shift: str
    domain: str
    train: Dataset
    validation: Dataset
    calibration: Dataset
    test_inside: Dataset
    test_outside: Dataset
    target: Dataset

    def visible(self) -> Visible:
        """The part a learner is given: the tests are not in this type."""
        return Visible(self.train, self.validation, self.calibration, self.target)
