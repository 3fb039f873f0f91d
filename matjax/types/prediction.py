"""What a predictor says of crystals: samples, whoever drew them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """A prediction is its samples: one model, an ensemble and a posterior look the same.

    Attributes:
      samples: [n_sample, n] in the label's unit (energies: eV/atom).
      noise: Predicted aleatoric standard deviation [n], or None where the model has no variance head.
      features: Latent features [n, n_feature] of the first sample, or None.
      forces: Per sample and atom [n_sample, sum n_atom, 3], eV/Å, or None.
      stress: [n_sample, n, 3, 3], eV/Å³, or None.
      n_atom: Atoms per crystal [n], to cut `forces`.
      label: Name of the label that is predicted.
      unit: Its unit.
      heads: What further heads say, {name: [n_sample, n, ...], or [n_sample, sum n_atom, ...] per atom}, in their labels' units.
      head_noise: Predicted aleatoric standard deviation {name: [n] or [sum n_atom]} of heads that have a variance.
    """

    samples: np.ndarray
    noise: np.ndarray | None = None
    features: np.ndarray | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    n_atom: np.ndarray | None = None
    label: str = "energy_per_atom"
    unit: str = "eV/atom"
    heads: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    head_noise: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        """Number of crystals."""
        return self.samples.shape[1]

    @property
    def mean(self) -> np.ndarray:
        """Mean over the samples [n]."""
        return self.samples.mean(0)

    @property
    def std(self) -> np.ndarray:
        """Epistemic standard deviation [n]: the spread of the samples (ddof 1; zero for a single sample)."""
        return self.samples.std(0, ddof=1) if len(self.samples) > 1 else np.zeros(len(self))

    @property
    def total_std(self) -> np.ndarray:
        """Epistemic and aleatoric together [n]."""
        return self.std if self.noise is None else np.sqrt(self.std**2 + self.noise**2)
