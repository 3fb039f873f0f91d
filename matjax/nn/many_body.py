"""The MACE-type product: an atom's features with themselves, so that one layer sees angles, triples and beyond.

A layer like any of a user's own; it shows how small one can be.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from matjax.nn.coupling import clebsch_gordan
from matjax.nn.features import EdgeFeatures, Features, NodeFeatures, channels, degree, irrep_of
from matjax.nn.linear import Linear

Product = tuple[str, str, str]  # (irrep of the power so far, of the features, of the product)


def products(power: tuple[str, ...], features: tuple[str, ...], wanted: tuple[str, ...], *, square: bool) -> tuple[Product, ...]:
    """The couplings that the selection rules allow; of a square, each once and none that is zero.

    Args:
      power: Irreps of the power so far.
      features: Irreps of the features that it is multiplied with.
      wanted: Irreps to keep.
      square: Whether both are the same features: then a x b equals b x a, and a x a has no antisymmetric part.
    """
    found = [(a, b, c) for a in power for b in features for c in wanted if irrep_of(c) in list(irrep_of(a) * irrep_of(b))]
    return tuple((a, b, c) for a, b, c in found if not square or a < b or (a == b and degree(c) % 2 == 0))


class ManyBody(nn.Module):
    """Adds products of up to `correlation` of an atom's features: (features, edges, nodes) -> features.

    With x = a linear map of the features to equally many channels, x^1 = x and channel by channel

      x^(n+1)[l3] = sum over paths (l1, l2) of w_path(element) C[l1, l2, l3] x^n[l1] x[l2],

    the output is skip(features) + linear(x^1 + ... + x^correlation). Features that sum over neighbours once know distances
    (body order 2); their square knows angles (3), their cube how angles go together (4). The products are kept in the irreps
    of the features and of `irreps`.

    Attributes:
      irreps: Output irreps, such as "32x0e+32x1o".
      correlation: The largest number of factors, 2 or 3.

    Source:
      Batatia, Kovács, Simm, Ortner & Csányi (2022), MACE, arXiv 2206.07697, eqs. 10 and 11. The symmetrised product is
      expanded power by power instead of by one dense tensor, and the weights are a linear map of the element's embedding
      instead of a table by species, so that an unseen element has weights.
    """

    irreps: str
    correlation: int = 2

    @nn.compact
    def __call__(self, features: Features, edges: EdgeFeatures, nodes: NodeFeatures) -> Features:
        """Applies the layer; shapes as in `features`."""
        if self.correlation not in (2, 3):
            raise ValueError(f"correlation is {self.correlation!r}; allowed: 2 (angles) or 3 (how angles go together)")
        n_channel = max(channels(self.irreps).values())
        x = Linear("+".join(f"{n_channel}x{ir}" for ir in sorted(features)), name="up")(features)
        kept = tuple(sorted({*x, *channels(self.irreps)}))  # jit sorts dicts: their order must not matter
        total, power = x, x
        for order in range(2, self.correlation + 1):
            routes = products(tuple(sorted(power)), tuple(sorted(x)), kept, square=order == 2)
            weights = nn.Dense(len(routes) * n_channel, name=f"weights_{order}")(nodes.embedding)
            power = _multiply(power, x, dict(zip(routes, jnp.split(weights, len(routes), axis=-1), strict=True)))
            total = {**total, **{ir: total[ir] + p if ir in total else p for ir, p in power.items()}}
        update, skip = Linear(self.irreps, name="mix")(total), Linear(self.irreps, name="skip")(features)
        return {ir: update[ir] + skip[ir] if ir in skip else update[ir] for ir in channels(self.irreps) if ir in update}


def _multiply(power: Features, x: Features, weights: dict[Product, jax.Array]) -> Features:
    """Channelwise products, weights [n_node, n_channel] by path, summed over the paths to each irrep."""
    out: dict[str, list[jax.Array]] = {}
    for path, weight in weights.items():
        coefficients = jnp.asarray(clebsch_gordan(path), weight.dtype)
        product = jnp.einsum("abc,nau,nbu->ncu", coefficients, power[path[0]], x[path[1]])
        out.setdefault(path[2], []).append(product * weight[:, None, :])
    return {ir: sum(parts[1:], parts[0]) * len(parts) ** -0.5 for ir, parts in out.items()}
