"""A sequential test of whether a reward promises more than it keeps, on candidates that were picked at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from matjax.config import spec
from matjax.risk.protocol import check_range

STAKES = np.linspace(0.0, 0.95, 20)
"""Shares of the stake that a wager may lose; the evidence is the mean over all of them."""


class AuditState(NamedTuple):
    """What the audit picks say so far.

    n: audit picks; gap: mean of promised less true utility over them (NaN for none); evidence: against "the gap is within the tolerance",
    since the last breach (1 is none); n_breach: breaches; factor: what the KL budget and the tolerance of disagreement are multiplied by;
    stopped: whether the campaign must stop.
    """

    n: int
    gap: float
    evidence: float
    n_breach: int
    factor: float
    stopped: bool


@spec
class Brake:
    """Watches the audit picks; where the reward promises too much, the search is held back, and at last stopped.

    Per audit pick the gap is g = exp(reward) - utility, in [-1, 1]. The evidence against "the mean of g, given all that came
    before, is at most the tolerance" is the mean over wagers w of the products of 1 + w (g - tolerance) / (1 + tolerance). If
    that is true it exceeds 1 / alpha with probability at most alpha, however long one looks and whatever the distribution of g.
    Where it does, that is a breach: the factor is halved and the evidence starts again, for the search goes on with another
    reward.

    Attributes:
      tolerance: Largest mean gap of utility that is accepted.
      alpha: Chance of a false breach, between one breach and the next.
      most: Breaches after which the campaign stops.

    Source:
      Waudby-Smith & Ramdas (2024), Estimating means of bounded random variables by betting; Ville (1939) for the bound.
    """

    tolerance: float = 0.1
    alpha: float = 0.1
    most: int = 3

    def __post_init__(self) -> None:
        """Refuses a tolerance that is everything, or an alpha that is no chance."""
        check_range(self, tolerance=(0.0, 0.99), alpha=(1e-6, 0.5))
        if self.most < 1:
            raise ValueError(f"most of the brake is {self.most} breaches; it must be at least 1")

    def state(self, gaps: Sequence[Sequence[float]]) -> AuditState:
        """What the gaps of each round's audit picks lead to: a function of what is stored alone, so a resumed campaign comes to the same.

        Args:
          gaps: Per round, in order, the gaps of its audit picks that were measured; a failed one has none.

        Raises:
          ValueError: If a gap is not in [-1, 1].

        Example:
          >>> Brake().state([[0.0, 0.1], [-0.05]]).n_breach
          0
          >>> Brake().state([[0.9] * 8, [0.9] * 8]).factor
          0.25
        """
        flat = np.array([gap for some in gaps for gap in some], float)
        if not (np.abs(flat) <= 1).all():  # also NaN
            raise ValueError(f"gaps of utility must lie in [-1, 1]; got {flat[~(np.abs(flat) <= 1)][:5].tolist()}")
        wealth, n_breach = np.ones(len(STAKES)), 0
        for some in gaps:
            for gap in some:
                wealth = wealth * (1 + STAKES * (gap - self.tolerance) / (1 + self.tolerance))
            if wealth.mean() >= 1 / self.alpha:
                wealth, n_breach = np.ones(len(STAKES)), n_breach + 1
        gap = float(flat.mean()) if flat.size else float("nan")
        return AuditState(flat.size, gap, float(wealth.mean()), n_breach, 0.5**n_breach, n_breach >= self.most)
