"""Group folds: k splits, each holding out whole groups of a column, for columns of many small groups."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from matjax.config import spec
from matjax.data.apart import kept_apart
from matjax.data.domains import UNKNOWN, domain_labels
from matjax.data.split import Sizes, cut
from matjax.types import Dataset, Split


@spec
class GroupFolds:
    """Whole groups of a column are held out together, so that none is on both sides: k folds of about equal size.

    For `composition`, `chemical_system`, `prototype`, `space_group`, papers: columns whose groups are
    too many or too small to be held out one at a time. Groups are dealt to folds by size, the largest first, each to the
    smallest fold; the folds do not depend on the key, so that every seed and method has the same.

    Attributes:
      column: Domain column with one value per crystal; crystals without one take no part.
      k: Number of folds.
      apart: A further column that the two sides must not share (`matjax.data.apart`).
      sizes: How large the parts are; None for the sizes of the run, or `Sizes()`.

    Source:
      Meredig et al. (2018), Mol. Syst. Des. Eng. 3, 819 (leave-one-cluster-out); the dealing is that of scikit-learn's `GroupKFold`.
    """

    column: str
    k: int = 5
    apart: str | None = None
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        """Refuses fewer than two folds."""
        if self.k < 2:
            raise ValueError(f"group_folds({self.column}) with k={self.k}; at least two folds are needed")

    def __call__(self, dataset: Dataset, key: jax.Array) -> Iterator[Split]:
        """One split per fold.

        Raises:
          ValueError: If there are fewer groups than folds, or crystals do not suffice for a part.
        """
        for fold, (inside, outside) in enumerate(self._folds(dataset)):
            inside = kept_apart(dataset, inside, outside, self.apart)
            domain = f"fold {fold + 1} of {self.k}"
            yield cut(dataset, inside, outside, shift=f"group_folds({self.column})", domain=domain, sizes=self.sizes or Sizes(), key=key)

    def _folds(self, dataset: Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(rows inside, rows outside) of every fold."""
        from sklearn.model_selection import GroupKFold  # takes a second: not for everyone who reads a crystal

        labels = domain_labels(dataset, self.column)
        known = np.flatnonzero(labels != UNKNOWN)
        n_group = len(np.unique(labels[known]))
        if n_group < self.k:
            raise ValueError(f"{self.column!r} has {n_group} groups; {self.k} folds need as many groups, so lower k or name another column")
        for inside, outside in GroupKFold(self.k).split(known, groups=labels[known]):
            yield known[inside], known[outside]

    def describe(self) -> str:
        """The shift in one line."""
        return f"{self.k} folds that share no {self.column.replace('_', ' ')}"
