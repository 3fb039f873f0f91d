"""Equivariant normalisation: one length per atom over all irreps, no centring."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from matjax.nn.features import Features


class RMSNorm(nn.Module):
    """Divides by the root mean square over irreps, components and channels; a learned gain per channel.

    Attributes:
      epsilon: Added to the mean square.
      weighting: "equal": every irrep counts alike, whatever its degree and number of channels; "multiplicity": by channels
        over components, n_channel / (2l+1), as Nequix does.

    Source:
      Koker et al. (2025), arXiv 2508.16067 (equivariant RMS layer norm).
    """

    epsilon: float = 1e-5
    weighting: str = "equal"

    @nn.compact
    def __call__(self, features: Features) -> Features:
        """Normalises {irrep: [n_node, 2l+1, n_channel]}."""
        if self.weighting not in ("equal", "multiplicity"):
            raise ValueError(f"weighting is {self.weighting!r}; allowed: equal, multiplicity")
        weight = lambda x: x.shape[2] / x.shape[1] if self.weighting == "multiplicity" else 1.0
        square = sum(weight(x) * jnp.mean(x**2, axis=(1, 2)) for x in features.values()) / len(features)
        scale = 1 / jnp.sqrt(square + self.epsilon)
        gain = {irrep: self.param(f"gain_{irrep}", nn.initializers.ones, (x.shape[-1],), x.dtype) for irrep, x in features.items()}
        return {irrep: x * scale[:, None, None] * gain[irrep][None, None, :] for irrep, x in features.items()}
