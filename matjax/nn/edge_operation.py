"""The edge operation: messages from neighbours, the one place where time is spent.

Clebsch-Gordan coefficients are contracted with the harmonics first (they have one channel), each path is summed on its own
into the receivers (sorted), and nothing is concatenated on edges.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from matjax.nn.coupling import clebsch_gordan
from matjax.nn.features import Features, irrep_of

Path = tuple[str, str, str]  # (irrep of the features, of the harmonics, of the message)


def paths(inputs: tuple[str, ...], harmonics: tuple[str, ...], outputs: tuple[str, ...]) -> tuple[Path, ...]:
    """All (input, harmonic, output) that the selection rules allow, in a fixed order."""
    return tuple((a, y, b) for a in inputs for y in harmonics for b in outputs if irrep_of(b) in list(irrep_of(a) * irrep_of(y)))


def convolve(
    features: Features,
    harmonics: Features,
    weights: dict[Path, jax.Array],
    senders: jax.Array,
    receivers: jax.Array,
) -> dict[Path, jax.Array]:
    """Sum over neighbours of features times harmonics times radial weights, path by path.

    A_i[m3, c] = sum over edges j -> i of sum_{m1, m2} C[m1, m2, m3] x_j[m1, c] Y_ij[m2] w_ij[c]

    Args:
      features: {irrep: [n_node, 2l+1, n_channel]}.
      harmonics: {irrep: [n_edge, 2l+1]}.
      weights: {path: [n_edge, n_channel]}, zero at and beyond the cutoff.
      senders: [n_edge].
      receivers: [n_edge], ascending.

    Returns:
      {path: [n_node, 2 l3 + 1, n_channel]}.
    """
    n_node = next(iter(features.values())).shape[0]
    sent = {irrep: x[senders] for irrep, x in features.items()}
    message = lambda path, weight: _message(path, sent[path[0]], harmonics[path[1]], weight)
    return {path: jax.ops.segment_sum(message(path, w), receivers, n_node, indices_are_sorted=True) for path, w in weights.items()}


def _message(path: Path, x: jax.Array, y: jax.Array, weight: jax.Array) -> jax.Array:
    """One path on every edge [n_edge, 2 l3 + 1, n_channel]; the weight multiplies whichever side has fewer components."""
    first, middle, last = clebsch_gordan(path).shape
    if middle == 1:
        return x * (y * float(clebsch_gordan(path)[0, 0, 0]) * weight)[:, None, :]
    rotated = _rotated(path, y)
    x = x * weight[:, None, :] if first <= last else x
    message = sum((rotated[:, a, :, None] * x[:, a, None, :] for a in range(1, first)), rotated[:, 0, :, None] * x[:, 0, None, :])
    return message if first <= last else message * weight[:, None, :]


def _rotated(path: Path, y: jax.Array) -> jax.Array:
    """Coefficients times harmonics [n_edge, 2 l1 + 1, 2 l3 + 1]: the harmonics themselves where features or messages are scalars."""
    coefficients = clebsch_gordan(path)
    first, _, last = coefficients.shape
    if first == 1 or last == 1:
        return (y * float(coefficients[0, 0, 0])).reshape(-1, first, last)
    return jnp.einsum("abc,eb->eac", jnp.asarray(coefficients, y.dtype), y)
