"""The flag: which crystals are off-distribution, and why, in words.

A crystal is flagged if its shift score is larger than all but a small share of the scores of inside calibration
crystals, or if it contains an element that no training crystal had. What is flagged goes to the oracle; it is never
silently ranked.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from matjax.config import spec
from matjax.data.elements import symbol
from matjax.types import Crystal


@spec
class Flag:
    """Flags by a conformal p-value of the shift score.

    p = (1 + number of calibration scores >= score) / (n + 1); flagged if p <= share. Of crystals drawn like the
    calibration crystals at most `share` are flagged by score, on average over calibration sets.

    Attributes:
      share: Share of inside crystals that may be flagged, in (0, 1).

    Source:
      Bates et al. (2023), arXiv 2104.08279 (conformal p-value for outliers).
    """

    share: float = 0.05

    def __post_init__(self) -> None:
        """Checks the share."""
        if isinstance(self.share, (int, float)) and not 0 < self.share < 1:
            raise ValueError(f"share is {self.share}; it must lie between 0 and 1")

    def fit(self, score: np.ndarray, parts: Mapping[str, np.ndarray] | None = None, known: Iterable[int] = ()) -> FittedFlag:
        """Takes thresholds from inside crystals that the model was not fitted on.

        Args:
          score: Shift scores of calibration crystals [n].
          parts: What the score is made of, by the name to use in reasons: {"latent distance": [n], ...}, positive.
          known: Atomic numbers that occur in the training crystals. Left out, no element is called unseen.

        Returns:
          The fitted flag.

        Raises:
          ValueError: If too few calibration crystals are given for any score to be flagged, or one is NaN.
        """
        score = np.sort(np.asarray(score, np.float64))
        needed = math.ceil(1 / self.share - 1e-9) - 1
        if len(score) < needed:
            raise ValueError(f"{len(score)} calibration crystals cannot flag {self.share:.2g} of the inside; need at least {needed}")
        if np.isnan(score).any():
            raise ValueError(f"{int(np.isnan(score).sum())} calibration scores are NaN")
        limit = tuple((name, float(np.quantile(part, 1 - self.share))) for name, part in (parts or {}).items())
        return FittedFlag(self.share, score, limit, frozenset(int(z) for z in known))


@dataclasses.dataclass(frozen=True, eq=False)
class FittedFlag:
    """A fitted `Flag`.

    Attributes:
      share: Share of inside crystals that may be flagged.
      calibration: Calibration scores [n], ascending.
      limit: (part, its 1 - share inside quantile).
      known: Atomic numbers of the training crystals; empty if not known.
    """

    share: float
    calibration: np.ndarray
    limit: tuple[tuple[str, float], ...]
    known: frozenset[int]

    def p_value(self, score: np.ndarray) -> np.ndarray:
        """Conformal p-value [n] of "drawn like the calibration crystals"; NaN scores have p = 0."""
        score = np.asarray(score, np.float64)
        n = len(self.calibration)
        above = n - np.searchsorted(self.calibration, score, side="left")
        return np.where(np.isnan(score), 0.0, (1 + above) / (n + 1))

    def unseen(self, crystals: Sequence[Crystal]) -> list[tuple[str, ...]]:
        """Symbols of the elements of each crystal that no training crystal had."""
        numbers = [() if not self.known else [z for z in np.unique(c.numbers) if int(z) not in self.known] for c in crystals]
        return [tuple(symbol(int(z)) for z in row) for row in numbers]

    def flagged(self, score: np.ndarray, crystals: Sequence[Crystal] | None = None) -> np.ndarray:
        """Whether each crystal is off-distribution [n] bool: by its score, or by an unseen element.

        Args:
          score: Shift scores [n].
          crystals: The crystals, if unseen elements are to be flagged.
        """
        by_score = self.p_value(score) <= self.share + 1e-12
        return by_score if crystals is None else by_score | np.array([bool(row) for row in self.unseen(crystals)], bool)

    def reasons(
        self, score: np.ndarray, parts: Mapping[str, np.ndarray] | None = None, crystals: Sequence[Crystal] | None = None
    ) -> tuple[str, ...]:
        """Why each crystal is flagged, in words; an empty string where it is not.

        Args:
          score: Shift scores [n].
          parts: The parts named in `fit`, for these crystals.
          crystals: The crystals, if unseen elements are to be named.
        """
        flagged, p_value = self.flagged(score, crystals), self.p_value(score)
        unseen = [()] * len(flagged) if crystals is None else self.unseen(crystals)
        return tuple(self._reason(i, p_value[i], parts or {}, unseen[i]) if flagged[i] else "" for i in range(len(flagged)))

    def _reason(self, row: int, p_value: float, parts: Mapping[str, np.ndarray], unseen: tuple[str, ...]) -> str:
        said = [f"contains element{'s' * (len(unseen) > 1)} {', '.join(unseen)} never seen in training"] if unseen else []
        for name, limit in self.limit:
            if name in parts and parts[name][row] > limit:
                ratio = f"{parts[name][row] / limit:.1f}x" if limit > 0 else "above"
                said.append(f"{name} {ratio} the {1 - self.share:.0%} inside quantile")
        if not said:
            said.append(f"shift score above that of {1 - p_value:.0%} of inside crystals")
        return "; ".join(said)
