"""Can a candidate be measured at all? What failed before tells; a failure is never a reward value, it is a probability.

Candidates whose calculation failed, lost its lattice or did not converge have no properties, so no model of properties learns from them. A
classifier does: log P(measurable) is added to the log utility, because a candidate that cannot be measured is worth nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.special import log_expit
from sklearn.linear_model import LogisticRegression

from matjax.config import spec
from matjax.data.elements import number, physical_features
from matjax.risk.protocol import check_range
from matjax.types import Candidate

N_PROPERTY = 12
"""Standardised columns at the head of `physical_features`."""


@spec
class Feasibility:
    """Logistic regression on composition, prototype, and mean and spread of the elements' physical features.

    Attributes:
      strength: Of the quadratic penalty on the coefficients, per feature of unit scale.
      fewest: Failures below which nothing is learned: a single one is chance.
    """

    strength: float = 0.3
    fewest: int = 2

    def __post_init__(self) -> None:
        """Refuses a penalty that is none."""
        check_range(self, strength=(1e-6, 1e6))
        if self.fewest < 1:
            raise ValueError(f"fewest of the feasibility head is {self.fewest} failures; it must be at least 1")

    def fit(self, candidates: Sequence[Candidate], measured: Sequence[bool]) -> FittedFeasibility:
        """Learns from what was tried.

        Args:
          candidates: Everything tried whose outcome is no fault of the machine.
          measured: Whether each converged.

        Raises:
          ValueError: If the lengths differ.
        """
        outcome = np.asarray(measured, bool)
        if len(candidates) != len(outcome):
            raise ValueError(f"{len(candidates)} candidates with {len(outcome)} outcomes; give one for each")
        if (~outcome).sum() < self.fewest or not outcome.any():
            return FittedFeasibility((), (), np.zeros(0), 0.0)
        elements = tuple(sorted({s for c in candidates for s in c.elements}))
        prototypes = tuple(sorted({c.prototype for c in candidates}))
        model = LogisticRegression(C=1 / self.strength, max_iter=1000).fit(_features(candidates, elements, prototypes), outcome)
        return FittedFeasibility(elements, prototypes, model.coef_[0], float(model.intercept_[0]))


@dataclasses.dataclass(frozen=True, eq=False)
class FittedFeasibility:
    """A fitted `Feasibility`; without coefficients nothing is known to fail.

    Attributes:
      elements: Symbols that have coefficients of their own.
      prototypes: Prototypes that have.
      coefficients: [n_feature].
      intercept: Log odds where all features are zero.
    """

    elements: tuple[str, ...]
    prototypes: tuple[str, ...]
    coefficients: np.ndarray
    intercept: float

    def log_probability(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Log of the probability that each can be measured [n], at most 0."""
        if not len(self.coefficients) or not len(candidates):
            return np.zeros(len(candidates))
        return log_expit(_features(candidates, self.elements, self.prototypes) @ self.coefficients + self.intercept)


def _features(candidates: Sequence[Candidate], elements: tuple[str, ...], prototypes: tuple[str, ...]) -> np.ndarray:
    """Composition, which prototype, mean and spread of the elements' features [n, n_feature]."""
    table = np.asarray(physical_features()[:, :N_PROPERTY], float)
    return np.stack([_row(c, elements, prototypes, table) for c in candidates])


def _row(candidate: Candidate, elements: tuple[str, ...], prototypes: tuple[str, ...], table: np.ndarray) -> np.ndarray:
    shares = candidate.composition
    known = table[[number(symbol) for symbol in shares]]
    share = np.array(list(shares.values()))
    mean = share @ known
    spread = np.sqrt(np.maximum(share @ (known - mean) ** 2, 0.0))
    own = [4.0 * shares.get(symbol, 0.0) for symbol in elements]  # a typical share of 1/4 counts like a prototype
    return np.array([*own, *(float(candidate.prototype == name) for name in prototypes), *mean, *spread])
