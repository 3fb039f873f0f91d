"""Equivariant normalisation: one length per atom over all irreps, no centring."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from matjax.nn.features import Features


class RMSNorm(nn.Module):
    """Divides by the root mean square over irreps, components and channels; a learned gain per channel.

    Every irrep counts alike, whatever its degree and number of channels.

    Source:
      Koker et al. (2025), arXiv 2508.16067 (equivariant RMS layer norm).
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, features: Features) -> Features:
        """Normalises {irrep: [n_node, 2l+1, n_channel]}."""
        square = sum(jnp.mean(x**2, axis=(1, 2)) for x in features.values()) / len(features)
        scale = 1 / jnp.sqrt(square + self.epsilon)
        gain = {irrep: self.param(f"gain_{irrep}", nn.initializers.ones, (x.shape[-1],), x.dtype) for irrep, x in features.items()}
        return {irrep: x * scale[:, None, None] * gain[irrep][None, None, :] for irrep, x in features.items()}
