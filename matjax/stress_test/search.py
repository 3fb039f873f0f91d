"""Selection of settings inside the training domains: the same number of draws for every method, strength zero in each search.

A method that has been tuned more than another, or on the domain it is tested on, has an advantage that is not its own. Every
method therefore gets the same number of draws; shared settings are drawn alike for all; the first draw switches the method off
(its file settings with strength zero), so that plain training can always be chosen; and a draw is judged on training domains
that were left out of its fit, one at a time. No test label, and no calibration crystal, is seen.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from matjax.config import spec
from matjax.keys import child, generator
from matjax.override import override
from matjax.training.supervision import target_per_atom
from matjax.types import Dataset, Visible
from matjax.uncertainty.cross_fit import FEWEST, LARGEST, TooFewDomains, memberships

Fold = tuple[Visible, Dataset]
Report = Callable[[dict[str, Any]], None]
RULES = ("leave-one-domain-out", "validation")


@spec
class Range:
    """A setting that is searched.

    Attributes:
      path: Where it stands in the learner, such as `risk.base.beta` or `optimizer.learning_rate`.
      low: Smallest value.
      high: Largest value.
      off: Value that switches the method off; it is in the search. None for a setting that all methods share.
      logarithmic: Draw uniformly in the logarithm.
    """

    path: str
    low: float
    high: float
    off: float | None = None
    logarithmic: bool = True

    def __post_init__(self) -> None:
        """Refuses what is no range."""
        numbers = [v for v in (self.low, self.high) if isinstance(v, (int, float))]
        if len(numbers) == 2 and not (self.low < self.high and (self.low > 0 or not self.logarithmic)):
            kind = "0 < low < high, or logarithmic = false" if self.logarithmic else "low < high"
            raise ValueError(f"range of {self.path} from {self.low} to {self.high}; allowed: {kind}")

    def draw(self, key: jax.Array) -> float:
        """One value."""
        share = generator(child(key, self.path)).random()
        if not self.logarithmic:
            return float(self.low + share * (self.high - self.low))
        return float(math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low))))


@spec
class Search:
    """How settings are chosen.

    Attributes:
      draws: Settings tried per method, the one that is switched off included.
      folds: Training domains that are left out in turn; drawn where there are more.
      shared: Settings that all methods search, drawn alike for all.
      select: `leave-one-domain-out` inside the training domains, or `validation` on crystals of the same domains.
    """

    draws: int = 20
    folds: int = 4
    shared: tuple[Range, ...] = ()
    select: str = "leave-one-domain-out"

    def __post_init__(self) -> None:
        """Refuses searches without a choice."""
        if self.draws < 2:
            raise ValueError(f"{self.draws} draws choose nothing; give 2 or more (20 for a claim)")
        if self.folds < 2:
            raise ValueError(f"{self.folds} folds of training domains; give 2 or more")
        if self.select not in RULES:
            raise ValueError(f"select={self.select!r}; allowed: {', '.join(RULES)}")


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """A method and the settings that it is searched over: what a stress test takes in place of a learner.

    Attributes:
      learner: The method with the settings of its file.
      search: How settings are chosen, the same for all methods.
      ranges: Settings of this method alone.
      oracle: Choose on the test crystals: a diagnostic of what better selection could give, never a result.
    """

    learner: Any
    search: Search = dataclasses.field(default_factory=Search)
    ranges: tuple[Range, ...] = ()
    oracle: bool = False

    def __post_init__(self) -> None:
        """Refuses ranges of settings that the learner does not have."""
        for r in (*self.search.shared, *self.ranges):
            _with(self.learner, {r.path: float(r.low)})

    @property
    def n_fit(self) -> int:
        """Fits that a selection takes."""
        return self.search.draws * (self.search.folds if self.search.select == RULES[0] else 1)

    @property
    def selection(self) -> str:
        """How settings are chosen, as rows say it."""
        return "oracle" if self.oracle else f"{self.search.select}, {self.search.draws} draws"

    def draws(self, key: jax.Array) -> list[dict[str, float]]:
        """{path: value} per draw; the first is switched off and otherwise as the file says. Shared settings are alike for all methods."""
        off = {r.path: float(r.off) for r in self.ranges if r.off is not None}
        several = (
            {r.path: r.draw(child(key, "shared", i)) for r in self.search.shared}
            | {r.path: r.draw(child(key, "own", i)) for r in self.ranges}
            for i in range(1, self.search.draws)
        )
        return list({tuple(draw.items()): draw for draw in [off, *several]}.values())

    def choose(self, tests: Sequence[Fold], *, label: str, key: jax.Array, report: Report | None = None) -> Chosen:
        """The draw of smallest error, a geometric mean over the folds: a domain counts once, however hard it is.

        Args:
          tests: What a fit sees, and what it is judged on: `inner_folds`.
          label: Label that is learned.
          key: Randomness of draws and fits, the same for all methods.
          report: Called with a record per epoch.
        """
        draws, scores = self.draws(child(key, "draws")), []
        for draw in draws if len(draws) > 1 else []:
            learner = _with(self.learner, draw)
            errors = []
            for i, (inner, held) in enumerate(tests):
                said = learner.fit(inner, child(key, "inner", i), report=report)(held.crystals).mean
                errors.append(float(np.abs(said - target_per_atom(held, label)).mean()))
            scores.append(float(np.exp(np.mean(np.log(np.maximum(errors, 1e-12))))))
        best = int(np.argmin(scores)) if scores else 0
        return Chosen(_with(self.learner, draws[best]), draws[best], best, tuple(scores))


@dataclasses.dataclass(frozen=True, eq=False)
class Chosen:
    """What a search found.

    Attributes:
      learner: The learner with the chosen settings.
      settings: {path: value} that were chosen.
      draw: Which draw; 0 is the method switched off.
      scores: Geometric mean over the folds of the mean absolute error, per draw.
    """

    learner: Any
    settings: dict[str, float]
    draw: int
    scores: tuple[float, ...]


def inner_folds(visible: Visible, column: str, search: Search, key: jax.Array) -> list[Fold]:
    """(what an inner fit sees, the crystals it is judged on) per fold; calibration crystals are in neither.

    A domain that is left out is in neither training nor validation crystals of its fit; its crystals without labels take the
    place of the target, so that a method that is shown target crystals is searched as it will be used.

    Raises:
      TooFewDomains: If fewer than two training domains are large enough.
    """
    if search.select != RULES[0]:
        return [(visible, visible.validation)]
    train, validation = memberships(visible.train, column), memberships(visible.validation, column)
    left = {name: ~validation.get(name, np.zeros(len(visible.validation), bool)) for name in train}
    large = sorted(name for name, inside in train.items() if FEWEST <= inside.sum() <= LARGEST * len(inside) and left[name].any())
    if len(large) < 2:
        raise TooFewDomains(
            f"{len(large)} training domains of at least {FEWEST} crystals in {column}; leaving one out needs two, "
            'or choose select = "validation"'
        )
    folds = []
    for name in generator(key).permutation(large)[: search.folds]:
        held = visible.train.select(np.flatnonzero(train[name]))
        inner = dataclasses.replace(
            visible,
            train=visible.train.select(np.flatnonzero(~train[name])),
            validation=visible.validation.select(np.flatnonzero(left[name])),
            target=dataclasses.replace(held, labels={}),
        )
        folds.append((inner, held))
    return folds


def _with(learner: Any, settings: dict[str, float]) -> Any:
    """The learner with some settings replaced.

    Raises:
      ValueError: If it has no such setting.
    """
    return override(learner, [f"{path}={value!r}" for path, value in settings.items()]) if settings else learner
