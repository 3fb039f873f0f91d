"""Who carries out the edge operation: XLA, or a library of CUDA kernels. Chosen by name; what is missing is said, never replaced.

All backends are functions (features, harmonics, weights, senders, receivers) -> {path: aggregate} as `edge_operation.convolve`,
and give the same numbers.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matjax.nn.coupling import clebsch_gordan
from matjax.nn.edge_operation import Path, convolve
from matjax.nn.features import Features, degree

Convolve = Callable[[Features, Features, dict[Path, jax.Array], jax.Array, jax.Array], dict[Path, jax.Array]]

BACKENDS = ("xla", "cuequivariance", "openequivariance")


def edge_operation(backend: str = "xla") -> Convolve:
    """The edge operation of a backend.

    Args:
      backend: "xla": plain JAX, on any device; "cuequivariance": NVIDIA's kernels, on a CUDA device; "openequivariance": known by
        name, and refused.

    Raises:
      ValueError: If the backend is unknown, or its package or a CUDA device is missing. Nothing falls back to XLA.
    """
    if backend == "xla":
        return convolve
    if backend == "cuequivariance":
        _require(backend, ("cuequivariance", "cuequivariance_jax", "cuequivariance_ops_jax"))
        return functools.partial(cuequivariance_convolve, method="uniform_1d")
    if backend == "openequivariance":
        raise ValueError(
            "the backend 'openequivariance' is not connected to matjax: its kernels are compiled against a CUDA device and could not be "
            "checked against XLA; choose 'cuequivariance' for kernels on an NVIDIA GPU, or 'xla'"
        )
    raise ValueError(f"unknown backend {backend!r} of the edge operation; allowed: {', '.join(BACKENDS)}")


def _require(backend: str, packages: tuple[str, ...]) -> None:
    """Refuses a backend without its packages, or without a CUDA device."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"the backend {backend!r} needs {', '.join(missing)}, not installed here: pip install 'matjax[{backend}]' on a machine with "
            "an NVIDIA GPU, or choose the backend 'xla'"
        )
    if jax.default_backend() not in ("cuda", "gpu"):
        raise ValueError(
            f"the backend {backend!r} runs on NVIDIA GPUs, and JAX found {jax.default_backend()!r} devices: "
            "pip install 'jax[cuda12]' where there is a GPU, or choose the backend 'xla'"
        )


def cuequivariance_convolve(
    features: Features,
    harmonics: Features,
    weights: dict[Path, jax.Array],
    senders: jax.Array,
    receivers: jax.Array,
    *,
    method: str,
) -> dict[Path, jax.Array]:
    """`edge_operation.convolve` as one segmented polynomial of cuEquivariance: gather, product and scatter in one kernel.

    The kernel wants one number of channels; paths are grouped by it.

    Args:
      features: {irrep: [n_node, 2l+1, n_channel]}.
      harmonics: {irrep: [n_edge, 2l+1]}.
      weights: {path: [n_edge, n_channel]}.
      senders: [n_edge].
      receivers: [n_edge].
      method: "uniform_1d", the CUDA kernel; or "naive", plain JAX on any device, for tests.

    Returns:
      {path: [n_node, 2 l3 + 1, n_channel]}.

    Source:
      NVIDIA cuEquivariance 0.13, `cuequivariance_jax.segmented_polynomial`.
    """
    out: dict[Path, jax.Array] = {}
    for n_channel in sorted({features[path[0]].shape[2] for path in weights}):
        group = tuple(path for path in weights if features[path[0]].shape[2] == n_channel)
        out |= _one_kernel(group, n_channel, features, harmonics, weights, senders, receivers, method)
    return {path: out[path] for path in weights}


def _one_kernel(
    group: tuple[Path, ...],
    n_channel: int,
    features: Features,
    harmonics: Features,
    weights: dict[Path, jax.Array],
    senders: jax.Array,
    receivers: jax.Array,
    method: str,
) -> dict[Path, jax.Array]:
    """The paths whose features have `n_channel` channels."""
    import cuequivariance_jax as cuex  # pyright: ignore[reportMissingImports]

    kinds = _kinds(group)
    flat = lambda x: x.reshape(len(x), -1)
    weight = jnp.concatenate([weights[path] for path in group], -1)
    inputs = [weight, *(flat(features[ir]) for ir in kinds[0]), *(harmonics[ir] for ir in kinds[1])]
    n_node = len(features[kinds[0][0]])
    outputs = [jax.ShapeDtypeStruct((n_node, -1), weight.dtype)] * len(kinds[2])
    indices = [None, *[senders] * len(kinds[0]), *[None] * len(kinds[1]), *[receivers] * len(kinds[2])]
    said = cuex.segmented_polynomial(_polynomial(group, n_channel), inputs, outputs, indices, method=method, name="edge_operation")
    summed = dict(zip(kinds[2], said, strict=True))
    out: dict[Path, jax.Array] = {}
    for ir in kinds[2]:
        members = [path for path in group if path[2] == ir]
        blocks = summed[ir].reshape(n_node, len(members), 2 * degree(ir) + 1, n_channel)
        out |= {path: blocks[:, i] for i, path in enumerate(members)}
    return out


def _kinds(group: tuple[Path, ...]) -> list[list[str]]:
    """The irreps of features, harmonics and messages that occur, each once."""
    return [list(dict.fromkeys(path[i] for path in group)) for i in range(3)]


@functools.cache
def _polynomial(group: tuple[Path, ...], n_channel: int) -> Any:
    """The polynomial of a group of paths.

    Operands: the weights of all paths; features by irrep; harmonics by irrep; messages by irrep, path after path.
    """
    import cuequivariance as cue  # pyright: ignore[reportMissingImports]

    kinds, channel = _kinds(group), (n_channel,)
    size = lambda ir: 2 * degree(ir) + 1
    messages = {ir: [path for path in group if path[2] == ir] for ir in kinds[2]}
    operand = lambda shape, count: cue.SegmentedOperand(ndim=len(shape), segments=[shape] * count)
    inputs = [operand(channel, len(group)), *(operand(channel, size(ir)) for ir in kinds[0]), *(operand((), size(ir)) for ir in kinds[1])]
    outputs = [operand(channel, size(ir) * len(messages[ir])) for ir in kinds[2]]
    operations = []
    for number, path in enumerate(group):
        a, y, b = (kind.index(ir) for kind, ir in zip(kinds, path, strict=True))
        buffers = (0, 1 + a, 1 + len(kinds[0]) + y, len(inputs) + b)
        product = cue.SegmentedTensorProduct.from_subscripts("u,u,,u")
        for i, buffer in enumerate(buffers):
            product.set_operand(i, (inputs + outputs)[buffer])
        coefficients, first = clebsch_gordan(path), size(path[2]) * messages[path[2]].index(path)
        for m1, m2, m3 in np.argwhere(np.abs(coefficients) > 1e-12).tolist():
            product.add_path(number, m1, m2, first + m3, c=coefficients[m1, m2, m3])
        operations.append((buffers, product))
    return cue.SegmentedPolynomial(inputs, outputs, operations)
