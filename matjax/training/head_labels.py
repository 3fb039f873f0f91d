"""Labels of heads: checked at the door, and the scale and shift that a head starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from matjax.nn import Model
from matjax.nn.cartesian import allowed_part, invariant_part
from matjax.nn.head import Head
from matjax.types import Dataset

TOLERANCE = 1e-3
"""Share of a label that its head's irreps may fail to say, as rounding of published tensors."""


class Targets(NamedTuple):
    """Labels of one crystal by head: `crystal` {head: [*shape]} and `atoms` {head: [n_atom, *shape]}; NaN where absent."""

    crystal: dict[str, np.ndarray]
    atoms: dict[str, np.ndarray]


def heads_of(model: Model) -> tuple[Head, ...]:
    """The heads of a network; a model of the user's own may have none."""
    return getattr(model, "heads", ())


def trained_heads(dataset: Dataset, heads: Sequence[Head]) -> tuple[Head, ...]:
    """The heads that this set labels, if only in part."""
    return tuple(h for h in heads if h.name in dataset.labels and any(np.isfinite(row).all() for row in _rows(dataset, h)))


def check_heads(dataset: Dataset, heads: Sequence[Head], label: str) -> None:
    """Refuses heads that are the same twice, learned already as the main label, or without a label.

    Raises:
      ValueError: Naming the head and the labels there are.
    """
    names = [h.name for h in heads]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two heads are named {name!r}; names must differ")
        if name == label:
            raise ValueError(f"{name!r} is a head and the label that is learned at once; name another label or drop the head")
        if name not in dataset.labels:
            raise ValueError(f"head {name!r} has no label in the data; they have: {', '.join(dataset.labels) or 'none'}")


def targets(dataset: Dataset, heads: Sequence[Head]) -> list[Targets]:
    """Labels of every crystal, all NaN where the set has none.

    Raises:
      ValueError: If a label's shape is not the head's, or has a part that the head's irreps cannot say.
    """
    columns = {h: _rows(dataset, h) for h in heads}
    pick = lambda i, per: {h.name: rows[i] for h, rows in columns.items() if h.per == per}
    return [Targets(pick(i, "crystal"), pick(i, "atom")) for i in range(len(dataset))]


def head_constants(dataset: Dataset, heads: Sequence[Head]) -> dict[str, dict[str, Any]]:
    """{module: {scale, shift}} of each head from its training labels; ones and zeros where there are none.

    shift: mean of the labels' invariant part (per atom, where the label is extensive). scale: root mean square of the rest.
    """
    return {f"head_{h.name}": dict(zip(("scale", "shift"), _standard(dataset, h), strict=True)) for h in heads}


def head_scales(model: Model, constants: Mapping[str, Any]) -> dict[Head, Any]:
    """{head: label units per unit of the network}."""
    return {h: constants[f"head_{h.name}"]["scale"] for h in heads_of(model)}


def _standard(dataset: Dataset, head: Head) -> tuple[Any, Any]:
    found = [(row, len(c)) for row, c in zip(_rows(dataset, head), dataset.crystals, strict=True) if np.isfinite(row).all()]
    if not found:
        return jnp.float32(1.0), jnp.zeros(head.shape, jnp.float32)
    values = [row / (n if head.extensive else 1) for row, n in found]
    values = np.concatenate(values) if head.per == "atom" else np.stack(values)
    shift = invariant_part(values.mean(0)[None], head.irreps)[0]
    scale = float(np.sqrt(np.mean((values - shift[None]) ** 2)))
    return jnp.float32(scale if scale > 1e-6 else 1.0), jnp.asarray(shift, jnp.float32)


def _rows(dataset: Dataset, head: Head) -> list[np.ndarray]:
    """The label of each crystal, float64, checked; NaN where absent."""
    expected = [(len(c), *head.shape) if head.per == "atom" else head.shape for c in dataset.crystals]
    if head.name not in dataset.labels:
        return [np.full(shape, np.nan) for shape in expected]
    rows = [np.asarray(row, np.float64) for row in dataset.labels[head.name]]
    for row, shape, name in zip(rows, expected, dataset.ids, strict=True):
        if row.shape != shape:
            raise ValueError(
                f"label {head.name!r} of {name!r} has shape {row.shape}; a head per {head.per} of {head.irreps!r} needs {shape}"
            )
        lost = row - allowed_part(row.reshape(-1, *head.shape), head.irreps).reshape(shape)
        if np.abs(lost).max(initial=0.0) > TOLERANCE * np.abs(row).max(initial=0.0):
            raise ValueError(
                f"label {head.name!r} of {name!r} has a part that {head.irreps!r} cannot say, up to {np.abs(lost).max():.3g}: it lacks the "
                "symmetry of these irreps (0e+2e is symmetric, 0e+1e+2e any 3x3 tensor)"
            )
    return rows
