"""Properties of candidates as the utility reads them: samples in the units that metallurgists use."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

UNITS: Mapping[str, str] = MappingProxyType(
    {
        "stability": "eV/atom",
        "gibbs_mixing": "eV/atom",
        "bulk_modulus": "GPa",
        "shear_modulus": "GPa",
        "pugh_ratio": "",
        "born": "GPa",
        "density": "g/cm³",
        "price": "USD/kg",
        "n_element": "",
    }
)
"""{property: unit}. `stability` is thermo's one definition (negative is stable); `born` the smallest eigenvalue of C_ij."""


@dataclasses.dataclass(frozen=True, eq=False)
class Properties:
    """What is predicted of n candidates, sample by sample: sample i of every property is the same ensemble member.

    A candidate whose calculation failed has no properties and is not in here: a failure is never a number.

    Attributes:
      samples: {property: [n_sample, n]} in UNITS.
      novelty: Distance from the training crystals [n], or None.
      notes: Per candidate, what the report shows beside the numbers (competitors, flags); empty for none at all.
    """

    samples: Mapping[str, np.ndarray]
    novelty: np.ndarray | None = None
    notes: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Casts to float64 and checks names, shapes and that every number is finite."""
        if not self.samples:
            raise ValueError(f"properties without any property; known: {', '.join(UNITS)}")
        samples = {name: np.asarray(value, np.float64) for name, value in self.samples.items()}
        shape = next(iter(samples.values())).shape
        if len(shape) != 2 or shape[0] < 1:
            raise ValueError(f"{next(iter(samples))} has shape {shape}; it must be [n_sample, n] with at least one sample")
        for name, value in samples.items():
            self._check(name, value, shape)
        object.__setattr__(self, "samples", MappingProxyType(samples))
        if self.novelty is not None:
            novelty = np.asarray(self.novelty, np.float64)
            self._check("novelty", novelty, shape[1:])
            object.__setattr__(self, "novelty", novelty)
        if len(self.notes) not in (0, shape[1]):
            raise ValueError(f"{len(self.notes)} notes for {shape[1]} candidates; give one per candidate, or none")

    @staticmethod
    def _check(name: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
        """Refuses an unknown name, another shape, and numbers that are not finite."""
        if name not in UNITS and name != "novelty":
            raise ValueError(f"{name!r} is not a property; known: {', '.join(UNITS)}")
        if value.shape != shape:
            raise ValueError(f"{name} has shape {value.shape}; it must be {shape}")
        if not np.isfinite(value).all():
            bad = np.unique(np.argwhere(~np.isfinite(value))[:, -1])
            raise ValueError(
                f"{name} is not finite for {len(bad)} of {shape[-1]} candidates (first: number {bad[0]}); "
                "leave out candidates whose calculation failed"
            )

    def __len__(self) -> int:
        """Number of candidates."""
        return next(iter(self.samples.values())).shape[1]

    @property
    def n_sample(self) -> int:
        """Number of samples per candidate."""
        return next(iter(self.samples.values())).shape[0]

    def mean(self, name: str) -> np.ndarray:
        """Mean of a property over the samples [n]."""
        return self.samples[name].mean(0)

    def std(self, name: str) -> np.ndarray:
        """Spread of a property over the samples [n] (ddof 1; zero for a single sample)."""
        return self.samples[name].std(0, ddof=1) if self.n_sample > 1 else np.zeros(len(self))

    def select(self, rows: np.ndarray | Sequence[int]) -> Properties:
        """The properties of these candidates (indices or a boolean mask), in the order given."""
        rows = np.asarray(rows)
        index = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
        return Properties(
            {name: value[:, index] for name, value in self.samples.items()},
            None if self.novelty is None else self.novelty[index],
            tuple(self.notes[i] for i in index) if self.notes else (),
        )
