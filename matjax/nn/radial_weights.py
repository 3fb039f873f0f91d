"""The radial network: what each path of an edge weighs at this distance."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from matjax.nn.edge_operation import Path
from matjax.nn.features import EdgeFeatures

GAIN = 1.679
"""Of silu, so that unit variance stays unit variance."""


class RadialWeights(nn.Module):
    """Radial functions of all paths: a bias-free network on the radial basis, so that they vanish at the cutoff.

    Attributes:
      hidden: Widths of hidden layers; empty for one linear map.
    """

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, edges: EdgeFeatures, wanted: dict[Path, int]) -> dict[Path, jax.Array]:
        """{path: [n_edge, n_channel]} for the channels wanted of each path."""

        def network(x: jax.Array) -> jax.Array:
            for width in self.hidden:
                x = nn.silu(nn.Dense(width, use_bias=False)(x)) * GAIN  # silu(0) = 0 keeps the cutoff
            return nn.Dense(sum(wanted.values()), use_bias=False)(x)

        per_pair = bool(self.hidden) and edges.pair_basis is not None  # one linear map costs less than spreading its result
        x = network(edges.pair_basis if per_pair else edges.basis)  # pyright: ignore[reportArgumentType]
        parts = jnp.split(x, np.cumsum(list(wanted.values()))[:-1].tolist(), axis=-1)
        return {path: part[edges.pair] if per_pair else part for path, part in zip(wanted, parts, strict=True)}
