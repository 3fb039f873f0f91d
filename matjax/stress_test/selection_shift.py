"""Selection shift: a model is asked about the crystals that it likes best, where its errors favour what it overrates."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from matjax.config import spec
from matjax.data.split import Sizes, cut
from matjax.keys import child, generator
from matjax.stress_test.baselines import CompositionForest, CompositionRidge, CompositionTrees
from matjax.training.supervision import target_per_atom
from matjax.types import Dataset, Split


@spec
class SelectionShift:
    """Held out are the candidates that a model picks: the top of its own ranking of a random pool that it was not fitted on.

    The pool is drawn at random, so nothing shifts but the selection: the optimiser's curse. What is known is fitted, the pool is
    ranked, its best are `test_outside`; the others of the pool take no part, and `test_inside`, drawn from what is known, stands
    for the pool as a whole.

    Attributes:
      label: Scalar label; the total `energy` counts per atom.
      fraction: Share of the pool that is picked.
      side: `low` picks the smallest predictions (energies), `high` the largest.
      pool: Share of the crystals in the pool.
      selector: The model that picks.
      sizes: How large the parts are; None for the sizes of the run, or `Sizes()`.

    Source:
      Smith & Winkler (2006), The optimizer's curse, Management Science 52, 311.
    """

    label: str
    fraction: float = 0.1
    side: str = "low"
    pool: float = 0.5
    selector: CompositionTrees | CompositionForest | CompositionRidge = CompositionTrees()
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        """Refuses unknown sides and shares outside (0, 1)."""
        if self.side not in ("high", "low"):
            raise ValueError(f"side={self.side!r} of a selection; allowed: high, low")
        for name in ("fraction", "pool"):
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not 0 < value < 1:
                raise ValueError(f"{name}={value} is no share; it must lie between 0 and 1")

    def __call__(self, dataset: Dataset, key: jax.Array) -> Iterator[Split]:
        """One split; crystals without the label are in no part.

        Raises:
          ValueError: If the label does not exist or no crystal has it, or crystals do not suffice for a part.
        """
        if self.label not in dataset.labels:
            raise ValueError(f"no label {self.label!r}; available: {', '.join(dataset.labels) or 'none'}")
        target = target_per_atom(dataset, self.label)
        labelled = np.flatnonzero(np.isfinite(target))
        if not len(labelled):
            raise ValueError(f"label {self.label!r} is NaN for all {len(dataset)} crystals; there is nothing to rank by")
        rows = generator(child(key, "selection", "pool")).permutation(labelled)
        n_pool = round(self.pool * len(rows))
        pool, known = rows[:n_pool], rows[n_pool:]
        picked = self._picked(dataset, target, known, pool, child(key, "selection", "fit"))
        name, domain = f"selection_shift({self.label})", f"{self.side}est {self.fraction:.0%} by {type(self.selector).__name__}"
        yield cut(dataset, known, picked, shift=name, domain=domain, sizes=self.sizes or Sizes(), key=key)

    def _picked(self, dataset: Dataset, target: np.ndarray, known: np.ndarray, pool: np.ndarray, key: jax.Array) -> np.ndarray:
        """Rows of the pool that the selector ranks first."""
        predict = self.selector.fit([dataset.crystals[i] for i in known], target[known], key)
        order = np.argsort(predict([dataset.crystals[i] for i in pool]), kind="stable")
        order = order if self.side == "low" else order[::-1]
        return pool[order[: max(2, round(self.fraction * len(pool)))]]

    def describe(self) -> str:
        """The shift in one line."""
        return f"the {self.fraction:.0%} of a random pool with the {self.side}est predicted {self.label} held out: a model's own picks"
