"""Cutting a data set into the six parts of a split."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from matjax.config import spec
from matjax.keys import child, generator
from matjax.types import Dataset, Split


@spec
class Sizes:
    """How large the parts of a split are: below 1 a fraction, from 1 on a number of crystals.

    Attributes:
      max_train: At most so many training crystals; None takes all that remain inside.
      validation: Of the inside crystals.
      calibration: Of the inside crystals.
      test_inside: Of the inside crystals.
      target: Of the outside crystals: kept without labels and not tested.
      max_test: At most so many crystals in each of the two tests; None for no limit.
    """

    max_train: int | None = None
    validation: float = 0.1
    calibration: float = 0.1
    test_inside: float = 0.1
    target: float = 0.2
    max_test: int | None = None

    def __post_init__(self) -> None:
        """Refuses what is no size."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and value < (1 if field.name.startswith("max") else 0):
                raise ValueError(f"{field.name}={value} is no size; give a fraction below 1, or a number of crystals")


def _count(asked: float, n: int) -> int:
    """Crystals asked for, out of n; a fraction above zero is at least one crystal."""
    return int(asked) if asked >= 1 or asked == 0 else max(1, round(asked * n))


def unlabelled(dataset: Dataset) -> Dataset:
    """The same crystals without their labels."""
    return dataclasses.replace(dataset, labels={})


def cut(dataset: Dataset, inside: np.ndarray, outside: np.ndarray, *, shift: str, domain: str, sizes: Sizes, key: jax.Array) -> Split:
    """Draws the six parts of a split from the crystals inside and outside.

    Args:
      dataset: The crystals.
      inside: Rows of the training domains.
      outside: Rows of the domain held out.
      shift: Name of the shift.
      domain: Name of the domain held out.
      sizes: How large the parts are.
      key: Source of the draws; shift and domain are folded in.

    Returns:
      Disjoint parts. The size of `train` depends on `sizes` alone wherever enough crystals remain.

    Raises:
      ValueError: If crystals do not suffice for a part.
    """
    draw = generator(child(key, shift, domain))
    inside, outside = draw.permutation(inside), draw.permutation(outside)
    held = [_count(asked, len(inside)) for asked in (sizes.test_inside, sizes.calibration, sizes.validation)]
    n_target = _count(sizes.target, len(outside))
    where = f"{shift} with {domain!r} held out"
    if len(outside) < 2:
        raise ValueError(f"{where} has {len(outside)} crystals outside; one error is no measurement, so hold out two or more (min_size)")
    if sum(held) >= len(inside):
        parts = dict(zip(("test_inside", "calibration", "validation"), held, strict=True))
        raise ValueError(f"{where} leaves {len(inside)} crystals inside, none for training after {parts}; ask for smaller parts")
    if n_target >= len(outside):
        raise ValueError(f"{where} has {len(outside)} crystals outside, none for testing after {n_target} for target; lower target")
    test_inside, calibration, validation, train = np.split(inside, np.cumsum(held))
    target, test_outside = outside[:n_target], outside[n_target:]
    return Split(
        shift=shift,
        domain=domain,
        train=dataset.select(train[: sizes.max_train]),
        validation=dataset.select(validation),
        calibration=dataset.select(calibration),
        test_inside=dataset.select(test_inside[: sizes.max_test]),
        test_outside=dataset.select(test_outside[: sizes.max_test]),
        target=unlabelled(dataset.select(target)),
    )
