"""The interaction layer of the NequIP-type core: gather, couple, mix, normalise, gate."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from matjax.nn.backends import edge_operation
from matjax.nn.edge_operation import paths
from matjax.nn.features import EdgeFeatures, Features, NodeFeatures, channels
from matjax.nn.linear import Linear
from matjax.nn.norm import RMSNorm
from matjax.nn.radial_weights import RadialWeights


class Interaction(nn.Module):
    """One message-passing layer: (features, edges, nodes) -> features.

    Messages couple sender features with the harmonics (`edge_operation.convolve`). The aggregate is mixed over paths and
    channels and modulated by the receiver's element; scalars then see the squared lengths of the vectors and tensors
    (a cheap many-body term), gate them, and are added to a skip connection.

    Attributes:
      irreps: Output irreps, such as "32x0e+32x1o".
      radial: Hidden widths of the radial network.
      backend: Of the edge operation.
    """

    irreps: str
    radial: tuple[int, ...] = ()
    backend: str = "xla"

    @nn.compact
    def __call__(self, features: Features, edges: EdgeFeatures, nodes: NodeFeatures) -> Features:
        """Applies the layer; shapes as in `features`."""
        wanted = channels(self.irreps)
        x = Linear("+".join(f"{v.shape[-1]}x{ir}" for ir, v in features.items()), name="up")(features)
        routes = paths(tuple(sorted(x)), tuple(sorted(edges.harmonics)), tuple(wanted))  # jit sorts dicts: their order must not matter
        weights = RadialWeights(self.radial, name="weights")(edges, {p: x[p[0]].shape[-1] for p in routes})
        summed = edge_operation(self.backend)(x, edges.harmonics, weights, edges.senders, edges.receivers)
        root = jnp.sqrt(nodes.average_degree)
        gathered = {ir: [a / root for p, a in summed.items() if p[2] == ir] for ir in wanted}
        mixed = Linear(self.irreps, name="mix")({ir: jnp.concatenate(a, -1) for ir, a in gathered.items() if a})
        mixed = {ir: a * (1 + nn.Dense(wanted[ir], name=f"element_{ir}")(nodes.embedding))[:, None, :] for ir, a in mixed.items()}
        skip = Linear(self.irreps, name="skip")(features)
        return RMSNorm(name="norm")(_gate(mixed, skip, self.irreps))


def _gate(mixed: Features, skip: Features, irreps: str) -> Features:
    """Scalars are updated by a network on all invariants; vectors and tensors are multiplied by sigmoids of it."""
    wanted = channels(irreps)
    higher = [ir for ir in mixed if ir != "0e"]
    invariants = [mixed["0e"][:, 0], skip["0e"][:, 0]] + [jnp.mean(mixed[ir] ** 2, axis=1) for ir in higher]
    z = nn.LayerNorm(name="invariants")(jnp.concatenate(invariants, -1))
    z = nn.silu(nn.Dense(2 * wanted["0e"], name="hidden")(z))
    out = {"0e": skip["0e"] + nn.Dense(wanted["0e"], name="scalars")(z)[:, None, :]}
    for ir in higher:
        gate = nn.sigmoid(nn.Dense(wanted[ir], name=f"gate_{ir}")(z))
        out[ir] = mixed[ir] * gate[:, None, :] + skip.get(ir, 0.0)
    return out
