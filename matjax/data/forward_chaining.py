"""Forward chaining: trained on the past, tested on what came next."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from matjax.config import spec
from matjax.data.domains import domain_values
from matjax.data.split import Sizes, cut
from matjax.types import Dataset, Split


@spec
class ForwardChaining:
    """Trained up to a time, tested on the block after it: the only honest split by year, since nobody learns from the future.

    The crystals are cut into k + 1 consecutive blocks of about equal size, never within one value of the column; split i is
    trained on the first i blocks and tested on the next. Training sets grow from split to split: compare methods within a split.

    Attributes:
      column: A column of numbers that order the crystals, such as a year or a release; crystals without one take no part.
      k: Number of splits.
      sizes: How large the parts are; None for the sizes of the run, or `Sizes()`.
    """

    column: str
    k: int = 4
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        """Refuses a chain without links."""
        if self.k < 1:
            raise ValueError(f"forward_chaining({self.column}) with k={self.k}; at least one split is needed")

    def __call__(self, dataset: Dataset, key: jax.Array) -> Iterator[Split]:
        """One split per block after the first, the earliest first.

        Raises:
          ValueError: If the column holds no numbers or too few different ones, or crystals do not suffice for a part.
        """
        values = self._values(dataset)
        starts = self._starts(values)
        for start, stop in zip(starts, [*starts[1:], np.inf], strict=True):
            inside, outside = np.flatnonzero(values < start), np.flatnonzero((values >= start) & (values < stop))
            last = values[outside].max()
            domain = f"{self.column} {start:g}" + (f" to {last:g}" if last > start else "")
            yield cut(
                dataset, inside, outside, shift=f"forward_chaining({self.column})", domain=domain, sizes=self.sizes or Sizes(), key=key
            )

    def _values(self, dataset: Dataset) -> np.ndarray:
        """The column as numbers [n]."""
        values = domain_values(dataset, self.column)
        if values.dtype.kind not in "iuf":
            raise ValueError(
                f"forward chaining needs a column of numbers such as a year; {self.column!r} holds text such as {str(values[:1])}"
            )
        return values.astype(np.float64)

    def _starts(self, values: np.ndarray) -> np.ndarray:
        """First value of each block that is tested, ascending."""
        known = np.sort(values[np.isfinite(values)])
        at = np.linspace(0, len(known), self.k + 2).round().astype(int)[1:-1]
        starts = np.unique(known[at]) if len(known) > self.k else np.empty(0)
        if len(starts) < self.k or starts[0] == known[0]:
            raise ValueError(
                f"{self.column!r} has {len(np.unique(known))} values, unevenly filled; {self.k + 1} blocks cannot be cut, so lower k"
            )
        return starts

    def describe(self) -> str:
        """The shift in one line."""
        return f"trained up to a {self.column.replace('_', ' ')}, tested on what came next, {self.k} times"
