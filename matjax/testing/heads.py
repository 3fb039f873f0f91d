"""How heads must turn with the crystal, whatever they are: scalars, vectors, tensors, per crystal or per atom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import e3nn_jax as e3nn
import jax.numpy as jnp
import numpy as np

from matjax.nn.cartesian import cartesian_basis
from matjax.nn.features import channels
from matjax.nn.head import Head

Heads = dict[str, np.ndarray]  # [n_atom, *shape] per atom, [1, *shape] per crystal


def known_heads(model: Any) -> dict[str, Head]:
    """What a model says of its own heads, by name; a head that is not described is taken for a Cartesian tensor."""
    return {head.name: head for head in getattr(model, "heads", ())}


def heads_of(said: Mapping[str, Any], known: Mapping[str, Head], n_node: int, row: int, atoms: slice) -> Heads:
    """The answers about one crystal of a packed batch; without a description, a head with a row per node is per atom."""
    per_atom = {name: known[name].per == "atom" if name in known else len(value) == n_node for name, value in said.items()}
    return {name: np.asarray(value)[atoms if per_atom[name] else slice(row, row + 1)] for name, value in said.items()}


def turned(heads: Heads, known: Mapping[str, Head], matrix: np.ndarray) -> Heads:
    """What the heads become when the crystal is rotated or inverted."""
    return {name: _by_irreps(x, known[name].irreps, matrix) if name in known else _by_axis(x, matrix) for name, x in heads.items()}


def permuted(heads: Heads, order: np.ndarray) -> Heads:
    """What the heads become when the atoms stand in another order."""
    return {name: value if len(value) == 1 else value[order] for name, value in heads.items()}


def doubled(heads: Heads, known: Mapping[str, Head]) -> Heads:
    """What the heads become for two cells instead of one; those per crystal that are not described are left out."""
    kept = {name: value for name, value in heads.items() if len(value) > 1 or name in known}
    twice = {name for name, value in kept.items() if len(value) == 1 and known[name].extensive}
    return {name: np.concatenate([x, x]) if len(x) > 1 else 2 * x if name in twice else x for name, x in kept.items()}


def _by_irreps(value: np.ndarray, irreps: str, matrix: np.ndarray) -> np.ndarray:
    basis = cartesian_basis(irreps)
    basis = basis.reshape(-1, basis.shape[-1])
    blocks = e3nn.Irreps("+".join(f"{n}x{ir}" for ir, n in channels(irreps).items()))
    turn = basis @ np.asarray(blocks.D_from_matrix(jnp.asarray(matrix))) @ basis.T
    return (value.reshape(-1, len(basis)) @ turn.T).reshape(value.shape)


def _by_axis(value: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    for axis in range(1, value.ndim):
        value = np.moveaxis(np.tensordot(value, matrix, (axis, 1)), -1, axis)
    return value
