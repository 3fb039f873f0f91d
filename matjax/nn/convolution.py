"""The convolution layer of NequIP, as nequip and Nequix have it: linear, tensor product, linear, skip, norm, gate."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from matjax.nn.backends import edge_operation
from matjax.nn.edge_operation import paths
from matjax.nn.features import EdgeFeatures, Features, NodeFeatures, channels
from matjax.nn.linear import Linear
from matjax.nn.norm import RMSNorm
from matjax.nn.radial_weights import RadialWeights

SILU = 1.6765648
"""1 / root mean square of silu under a standard normal, as e3nn-jax has it."""


class Convolution(nn.Module):
    """A NequIP layer: (features, edges, nodes) -> features.

    Attributes:
      irreps: Output irreps, such as "32x0e+32x1o"; a last layer gives scalars alone, "32x0e".
      radial: Hidden widths of the radial network.
      norm: Equivariant RMS norm before the gate (Nequix has it, nequip has not).
      skip: "shared" for one linear map of the features, "element" for one that is bilinear in features and element embedding,
        "none" for none.
      backend: Of the edge operation.

    Source:
      Batzner et al. (2022), Nat. Commun. 13, 2453; Koker et al. (2025), arXiv 2508.16067.
    """

    irreps: str = "32x0e+32x1o"
    radial: tuple[int, ...] = (64,)
    norm: bool = True
    skip: str = "shared"
    backend: str = "xla"

    @nn.compact
    def __call__(self, features: Features, edges: EdgeFeatures, nodes: NodeFeatures) -> Features:
        """Applies the layer; shapes as in `features`."""
        x = Linear("+".join(f"{v.shape[-1]}x{ir}" for ir, v in features.items()), name="up")(features)
        routes = paths(tuple(sorted(x)), tuple(sorted(edges.harmonics)), tuple(channels(self.irreps)))
        reached = {last for _, _, last in routes}  # an irrep that no product gives is left out
        wanted = {ir: n for ir, n in channels(self.irreps).items() if ir in reached}
        gated = {ir: n for ir, n in wanted.items() if ir != "0e"}
        inner = "+".join(f"{n + (sum(gated.values()) if ir == '0e' else 0)}x{ir}" for ir, n in wanted.items())
        weights = RadialWeights(self.radial, name="weights")(edges, {p: x[p[0]].shape[-1] for p in routes})
        summed = edge_operation(self.backend)(x, edges.harmonics, weights, edges.senders, edges.receivers)
        root = jnp.sqrt(nodes.average_degree)
        gathered = {ir: [a / root for p, a in summed.items() if p[2] == ir] for ir in wanted}
        mixed = Linear(inner, name="mix")({ir: jnp.concatenate(a, -1) for ir, a in gathered.items() if a})
        skip = self._skip(features, nodes, inner)
        mixed = {ir: a + skip[ir] if ir in skip else a for ir, a in mixed.items()}
        if self.norm:
            mixed = RMSNorm(1e-12, "multiplicity", name="norm")(mixed)
        return _gate(mixed, gated)

    def _skip(self, features: Features, nodes: NodeFeatures, inner: str) -> Features:
        if self.skip == "shared":
            return Linear(inner, name="skip")(features)
        if self.skip == "none":
            return {}
        if self.skip != "element":
            raise ValueError(f"skip is {self.skip!r}; allowed: shared, element, none")
        times = lambda x: (x[..., :, None] * nodes.embedding[:, None, None, :]).reshape(*x.shape[:2], -1)
        return Linear(inner, name="skip")({ir: times(x) for ir, x in features.items() if ir in channels(inner)})


def _gate(features: Features, gated: dict[str, int]) -> Features:
    """Scalars through silu; the last of them, one per other channel, multiply those channels."""
    scalars = nn.silu(features["0e"]) * SILU
    start = scalars.shape[-1] - sum(gated.values())
    out = {"0e": scalars[..., :start]}
    for ir, n in gated.items():
        out[ir] = features[ir] * scalars[..., start : start + n]
        start += n
    return out
