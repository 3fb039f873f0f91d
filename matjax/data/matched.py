"""The matched second fit: the same materials judged from outside and from inside the training domains."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from matjax.keys import child, generator
from matjax.types import Dataset, Split


def join(first: Dataset, second: Dataset) -> Dataset:
    """Both sets, one after the other; they share their columns and metadata (parts of one data set do)."""
    both = lambda a, b: np.concatenate([a, b]) if isinstance(a, np.ndarray) else tuple(a) + tuple(b)
    columns = lambda kind: {name: both(column, getattr(second, kind)[name]) for name, column in getattr(first, kind).items()}
    crystals, ids = first.crystals + second.crystals, first.ids + second.ids
    return dataclasses.replace(first, crystals=crystals, ids=ids, labels=columns("labels"), domains=columns("domains"))


def matched(split: Split, key: jax.Array) -> Split:
    """The split whose training set has seen half of the domain that was held out, at the same size.

    Half of `test_outside` joins the training crystals, and as many as before are drawn from both; the other half
    is `test_outside`. The error of the first learner on it, over the error of a learner of this split on it, is the
    price of the shift on identical materials. Validation, calibration and test_inside stay as they are.

    Args:
      split: A split of any shift.
      key: Source of the draws.

    Returns:
      A split named `matched(...)`.

    Raises:
      ValueError: If fewer than two crystals are outside.
    """
    n = len(split.test_outside)
    if n < 2:
        raise ValueError(
            f"a matched fit halves test_outside; {split.shift} with {split.domain!r} held out has {n} crystals there, it needs 2"
        )
    draw = generator(child(key, "matched", split.shift, split.domain))
    rows = draw.permutation(n)
    pool = join(split.train, split.test_outside.select(rows[: n // 2]))
    train = pool.select(draw.permutation(len(pool))[: len(split.train)])
    return dataclasses.replace(split, shift=f"matched({split.shift})", train=train, test_outside=split.test_outside.select(rows[n // 2 :]))
