"""What flows between equivariant layers: features by irrep, channels last, and the geometry of the edges.

Features are a dict {irrep: [n, 2l+1, n_channel]} with keys such as "0e", "1o"; a sum of irreps such as
"32x0e+16x1o" says how many channels each has. Conversion to and from e3nn's `IrrepsArray` is here, so that functions of
e3nn-jax can be used inside a layer.
"""

from __future__ import annotations

from typing import NamedTuple

import e3nn_jax as e3nn
import jax
import jax.numpy as jnp

Features = dict[str, jax.Array]


class EdgeFeatures(NamedTuple):
    """Geometry of the edges, computed once per batch.

    vectors [n_edge, 3] Å; lengths [n_edge] Å; harmonics {irrep: [n_edge, 2l+1]}, component-normalised; basis
    [n_edge, n_basis], radial functions that vanish smoothly at the cutoff; senders, receivers [n_edge], receivers sorted; pair
    [n_edge] and pair_basis [n_edge / 2, n_basis]: the same per undirected pair, basis = pair_basis[pair], or None where the
    graph does not know its pairs.
    What depends on lengths alone costs half when it is worked out per pair and then spread, x[pair].
    """

    vectors: jax.Array
    lengths: jax.Array
    harmonics: Features
    basis: jax.Array
    senders: jax.Array
    receivers: jax.Array
    pair: jax.Array | None = None
    pair_basis: jax.Array | None = None


class NodeFeatures(NamedTuple):
    """What is fixed per atom: embedding [n_node, n_channel] of the element; mask [n_node]; average_degree, a scalar."""

    embedding: jax.Array
    mask: jax.Array
    average_degree: jax.Array


def channels(irreps: str) -> dict[str, int]:
    """{irrep: number of channels} of a sum of irreps, in the order of e3nn.

    Example:
      >>> channels("32x0e+16x1o")
      {'0e': 32, '1o': 16}

    Raises:
      ValueError: If the text is no sum of irreps.
    """
    try:
        parsed = e3nn.Irreps(irreps).regroup()
    except (ValueError, IndexError, TypeError) as error:
        raise ValueError(f"{irreps!r} is no sum of irreps; write for example '32x0e+16x1o'") from error
    return {str(ir): mul for mul, ir in parsed}


def irrep_of(name: str) -> e3nn.Irrep:
    """An irrep such as "1o" as e3nn's."""
    return e3nn.Irrep(name)  # pyright: ignore[reportArgumentType] e3nn's annotation leaves out text


def degree(irrep: str) -> int:
    """The degree l of an irrep such as "1o"."""
    return irrep_of(irrep).l


def to_irreps_array(features: Features) -> e3nn.IrrepsArray:
    """The same features as an e3nn IrrepsArray [n, sum (2l+1) n_channel]."""
    chunks = [jnp.swapaxes(x, -1, -2) for x in features.values()]
    irreps = e3nn.Irreps("+".join(f"{x.shape[-1]}x{ir}" for ir, x in features.items()))
    return e3nn.from_chunks(irreps, [*chunks], chunks[0].shape[:-2], chunks[0].dtype)


def from_irreps_array(array: e3nn.IrrepsArray) -> Features:
    """Features by irrep from an e3nn IrrepsArray; equal irreps are joined."""
    array = array.regroup()
    return {str(ir): jnp.swapaxes(chunk, -1, -2) for (_, ir), chunk in zip(array.irreps, array.chunks, strict=True) if chunk is not None}
