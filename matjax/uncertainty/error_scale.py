"""What intervals of new domains are scaled by: a product of powers of whatever grows with the error, chosen on calibration domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import product

import numpy as np

from matjax.config import spec
from matjax.uncertainty.conformal import ROUND, check_level, scores
from matjax.uncertainty.leave_domain_out import domain_index
from matjax.uncertainty.scores import interval_score

POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Powers that are tried for every part; 0 leaves it out."""


@spec
class ErrorScale:
    """Settings of a scale for `LeaveDomainOut`: the powers that make intervals of left-out domains best.

    Errors grow with the distance from the training crystals, more slowly than the distance itself, and are large where errors of
    similar crystals are. scale = product over parts of part**power. Every calibration domain gets its
    intervals from the factor of the other domains, and the powers of least interval score (width plus a fine for misses), averaged over
    domains, are taken: it looks at calibration domains alone.

    Attributes:
      level: Coverage of the intervals.
      floor: Smallest scale as a share of the median scale, as in `LeaveDomainOut`.
      powers: What is tried for every part.

    Source:
      Gneiting & Raftery (2007), Strictly proper scoring rules, eq. 43 (interval score); its use here is ours.
    """

    level: float = 0.9
    floor: float = 0.1
    powers: tuple[float, ...] = POWERS

    def __post_init__(self) -> None:
        """Checks level and floor."""
        check_level(self.level, self.floor)

    def fit(self, error: np.ndarray, domain: np.ndarray, parts: Mapping[str, np.ndarray]) -> FittedErrorScale:
        """Chooses the powers.

        Args:
          error: Errors [n] of models that were not fitted on the domain of the crystal, in the label's unit.
          domain: Domain of each error [n].
          parts: {name: [n]}, none negative, as the models that were asked see these crystals: distance from their training crystals
            (`NearestNeighbours`, `NeighbourTable.distance`), error of similar crystals (`NeighbourTable.local_error`), spread.

        Raises:
          ValueError: If shapes differ, a number is not finite, or there are fewer than three domains.
        """
        error = np.asarray(error, np.float64)
        names, member = domain_index(domain, len(error))
        if len(names) < 3:
            raise ValueError(f"{len(names)} calibration domains; choosing a scale leaves one out in turn and needs three or more")
        choices = [FittedErrorScale(dict(zip(parts, powers, strict=True))) for powers in product(self.powers, repeat=len(parts))]
        costs = [_cost(error, member, choice.scale(parts), self.level, self.floor) for choice in choices]
        return choices[int(np.argmin(costs))]


@dataclasses.dataclass(frozen=True)
class FittedErrorScale:
    """A fitted `ErrorScale`: {part: its power}."""

    powers: Mapping[str, float]

    def scale(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The scale [n]: product of part**power.

        Args:
          parts: As in `fit`, for these crystals.

        Raises:
          ValueError: If a part is missing, or a number is negative or NaN.
        """
        if missing := [name for name in self.powers if name not in parts]:
            raise ValueError(f"the scale was chosen with {', '.join(self.powers)}; missing: {', '.join(missing)}")
        columns = {name: np.asarray(parts[name], np.float64) for name in self.powers}
        for name, column in columns.items():
            if not (column >= 0).all():
                raise ValueError(f"{int((~(column >= 0)).sum())} of {len(column)} values of part {name!r} are negative or NaN")
        return np.prod([columns[name] ** power for name, power in self.powers.items()], axis=0)


def _cost(error: np.ndarray, member: np.ndarray, scale: np.ndarray, level: float, floor: float) -> float:
    """Mean over domains of the interval score that the other domains' factor (`domain_quantile` of them) gives."""
    score, smallest = scores(error, scale, floor)
    half_width, n = np.maximum(scale, smallest), member.max() + 1
    order = np.argsort(score)
    ascending, owner, weight = score[order], member[order], (1 / np.bincount(member)[member])[order]
    costs = []
    for d in range(n):
        mass = np.cumsum(np.where(owner == d, 0, weight)) / (n - 1)
        factor = ascending[min(np.searchsorted(mass, level - ROUND), len(mass) - 1)]
        costs.append(interval_score(error[member == d], factor * half_width[member == d], level))
    return float(np.mean(costs))
