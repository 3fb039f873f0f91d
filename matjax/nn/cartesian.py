"""Cartesian tensors and irreps: the exact linear map between the numbers of a label and what a network can say.

A tensor with symmetries is a sum of irreps; a symmetric 3x3 tensor is 0e (its trace) and 2e (the rest). Irreps are normalised so
that the sum of squares over components is the same on both sides.
"""

from __future__ import annotations

import functools

import e3nn_jax as e3nn
import numpy as np

from matjax.nn.features import channels

_TENSORS = {
    "1x0e+1x2e": ("ij=ji", "i"),
    "1x0e+1x1e+1x2e": ("ij", "ij"),
    "2x1o+1x2o+1x3o": ("ijk=ikj", "ij"),
    "2x0e+2x2e+1x4e": ("ijkl=jikl=klij", "i"),
}
"""Irreps, the symmetry of their indices, and the indices that symmetry leaves independent."""


@functools.cache
def cartesian_basis(irreps: str) -> np.ndarray:
    """The map from irreps to the label's components [*shape, dim], orthonormal: label = basis @ irreps.

    | irreps | label | such as |
    |---|---|---|
    | 0e, 0o | [] | gap, modulus |
    | 1o, 1e | [3], x y z | polarisation, magnetic moment |
    | 2e | [3, 3], symmetric and traceless | field gradient |
    | 0e+2e | [3, 3], symmetric | dielectric tensor |
    | 0e+1e+2e | [3, 3] | Born effective charge |
    | 2x1o+2o+3o | [3, 3, 3], symmetric in the last two | piezoelectric tensor |
    | 2x0e+2x2e+4e | [3, 3, 3, 3], of elastic symmetry | elastic tensor |
    | others | [dim], in the order and basis of e3nn | |

    Args:
      irreps: A sum of irreps.

    Example:
      >>> cartesian_basis("0e+2e").shape
      (3, 3, 6)
    """
    name = "+".join(f"{n}x{ir}" for ir, n in channels(irreps).items())
    dim = e3nn.Irreps(name).dim
    if name == "1x2e":
        return cartesian_basis("0e+2e")[..., 1:]
    if name not in _TENSORS:
        return np.eye(dim)[0] if name in ("1x0e", "1x0o") else np.eye(dim)
    formula, free = _TENSORS[name]
    vector = e3nn.Irreps("1o")
    if "=" not in formula:
        return np.asarray(e3nn.reduced_tensor_product_basis([vector] * len(formula)).array, np.float64)
    basis = e3nn.reduced_tensor_product_basis(formula, **dict.fromkeys(free, vector))  # pyright: ignore[reportArgumentType] names of indices
    return np.asarray(basis.array, np.float64)


def invariant_part(label: np.ndarray, irreps: str) -> np.ndarray:
    """The part of labels [n, *shape] that no rotation or inversion changes (0e), of the same shape: for a tensor, its mean trace."""
    return _project(label, cartesian_basis(irreps), np.array([ir.l == 0 and ir.p == 1 for ir in _by_component(irreps)]))


def allowed_part(label: np.ndarray, irreps: str) -> np.ndarray:
    """The part of labels [n, *shape] that the irreps can say: of a 3x3 tensor and "0e+2e", the symmetric part."""
    return _project(label, cartesian_basis(irreps), np.ones(len(_by_component(irreps)), bool))


def _by_component(irreps: str) -> list[e3nn.Irrep]:
    """The irrep that each component belongs to."""
    return [ir for mul, ir in e3nn.Irreps(irreps).regroup() for _ in range(mul * ir.dim)]


def _project(label: np.ndarray, basis: np.ndarray, keep: np.ndarray) -> np.ndarray:
    flat = basis.reshape(-1, basis.shape[-1])[:, keep]
    return (label.reshape(len(label), len(flat)) @ flat @ flat.T).reshape(label.shape)
