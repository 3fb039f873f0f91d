"""The rows of a table that a fit sees, padded on the host so that fits of similar size share a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

SMALLEST_SHAPE = 64


class Rows(NamedTuple):
    """What one fit sees of a table; real rows first, then padding.

    index [m]: row of the table, -1 on padding; domain [m]: in [0, n_domain); weight [m]: sample weight; labelled [m]: False
    for target crystals; validation [v]: rows that choose the epoch, -1 on padding (none: the last epoch is taken).
    """

    index: Any
    domain: Any
    weight: Any
    labelled: Any
    validation: Any


def padded_rows(
    train: np.ndarray,
    validation: np.ndarray = np.zeros(0, int),  # noqa: B008
    *,
    target: np.ndarray = np.zeros(0, int),  # noqa: B008
    domain: np.ndarray | None = None,
    n_domain: int = 2,
    weight: np.ndarray | None = None,
    shape: tuple[int, int] | None = None,
) -> Rows:
    """Rows of one fit, padded on the host.

    Args:
      train: Labelled rows of the table.
      validation: Rows that choose the epoch.
      target: Rows without labels, which a risk may look at; they are domain n_domain - 1.
      domain: Domain of each training row; all 0 where left out.
      n_domain: Domains, the targets' included.
      weight: Sample weight of each training row; 1 where left out.
      shape: Wanted lengths (rows, validation rows); powers of two that suffice where left out.

    Raises:
      ValueError: If there is no training row, a domain is out of range, or the shape is too small.
    """
    n, n_target = len(train), len(target)
    if not n:
        raise ValueError("no labelled training rows: there is nothing to learn from")
    domain, weight = np.zeros(n, int) if domain is None else domain, np.ones(n) if weight is None else weight
    if domain.min() < 0 or domain.max() >= n_domain - (n_target > 0):
        raise ValueError(f"domains from {domain.min()} to {domain.max()} do not fit n_domain={n_domain} (the last is for target rows)")
    length = shape or (shape_of(n + n_target), shape_of(len(validation)))
    if length[0] < n + n_target or length[1] < len(validation):
        raise ValueError(f"{n + n_target} rows and {len(validation)} validation rows do not fit the shape {length}")
    fill = lambda values, size, empty: np.concatenate([values, np.full(size - len(values), empty)])
    return Rows(
        fill(np.concatenate([train, target]), length[0], -1).astype(np.int32),
        fill(np.concatenate([domain, np.full(n_target, n_domain - 1)]), length[0], 0).astype(np.int32),
        fill(np.concatenate([weight, np.ones(n_target)]), length[0], 0).astype(np.float32),
        np.arange(length[0]) < n,
        fill(np.asarray(validation), length[1], -1).astype(np.int32),
    )


def shape_of(n: int) -> int:
    """A length that n rows fit, so that fits of similar size share a program: the next power of two."""
    return max(SMALLEST_SHAPE, 1 << max(n - 1, 0).bit_length())


def stacked(trees: Sequence[Any]) -> Any:
    """Fits as one: every leaf gets an axis in front.

    Raises:
      ValueError: If they differ in structure; a call of `fit_heads` needs settings that differ in numbers alone.
    """
    if len({jax.tree.structure(tree) for tree in trees}) != 1:
        raise ValueError("settings or rows differ in structure, not in numbers alone; fit them in separate calls")
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *trees)
