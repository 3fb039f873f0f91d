"""The contract of layers catches what it says: a layer that breaks one law and no other is refused, with the law's name."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.testing import check_layer

IRREPS = "2x0e+2x1o"


class Scalars(nn.Module):
    """A sound layer: scalars are squared."""

    def __call__(self, features, edges, nodes):
        return {**features, "0e": self.change(features["0e"], edges)}

    def change(self, x, edges):
        return x**2


class Fading(Scalars):
    """Neighbours fade out linearly: no jump of the answer, a jump of the forces."""

    def change(self, x, edges):
        fade = jnp.maximum(4.0 - edges.lengths, 0)[:, None, None]
        return jax.ops.segment_sum(fade * x[edges.senders], edges.receivers, len(x))


class Counting(Scalars):
    """A bias: every listed neighbour is felt alike, however far."""

    def change(self, x, edges):
        weight = 1 + edges.basis[:, :1]
        return jax.ops.segment_sum(weight[:, :, None] * x[edges.senders], edges.receivers, len(x))


class Rough(Scalars):
    """Has a slope at zero, but no curvature."""

    def change(self, x, edges):
        return jnp.abs(x) ** 1.5


@jax.custom_jvp
def cube(x):
    return x**3


@cube.defjvp
def _(primals, tangents):
    return cube(*primals), jax.lax.stop_gradient(3 * primals[0] ** 2) * tangents[0]


class Stiff(Scalars):
    """Its slope is right, the slope of its slope is not: training on forces would go wrong silently."""

    def change(self, x, edges):
        return cube(x)


@jax.custom_batching.custom_vmap
def company(x):
    return jnp.zeros_like(x)


@company.def_vmap
def _(axis_size, in_batched, x):
    return jnp.ones_like(x), True


class Shared(Scalars):
    """Knows that it is one of several members."""

    def change(self, x, edges):
        return x + company(jax.lax.stop_gradient(x))


class Eager(Scalars):
    """Does something else when it is compiled."""

    def change(self, x, edges):
        return x if isinstance(x, jax.core.Tracer) else 2 * x


class Precise(Scalars):
    """Makes float64 of float32 by a NumPy number."""

    def change(self, x, edges):
        return x * np.sqrt(2)


class Flat(Scalars):
    """Loses an axis."""

    def change(self, x, edges):
        return x[:, 0]


def test_the_sound_one_passes() -> None:
    check_layer(Scalars(), irreps_in=IRREPS, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Fading(), "jump or a kink"),
        (Counting(), "beyond the cutoff is felt"),
        (Rough(), "second derivatives at features that are all zero.*not finite"),
        (Stiff(), "second derivatives are not the slope of the first"),
        (Shared(), "a member of a vmapped ensemble differs"),
        (Eager(), "jit and eager differ"),
        (Precise(), "float64 where all that came in was float32"),
        (Flat(), r"it must be \[n_node, 2l\+1, n_channel\]"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, nn.Module) else None,
)
def test_a_broken_layer_is_caught(layer: nn.Module, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_layer(layer, irreps_in=IRREPS, key=jax.random.key(0))
