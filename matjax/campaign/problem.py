"""What a campaign is about, as protocols: the loop knows candidates and numbers, and nothing of networks or thermodynamics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np

from matjax.campaign.oracle import FAILURES, failure_class
from matjax.types import STATUS, Candidate, Crystal, Result

if TYPE_CHECKING:
    from matjax.value.properties import Properties


def worst(results: Sequence[Result]) -> Result:
    """The result that decides, of a candidate's crystals."""
    classes = ("", *FAILURES)
    return max(results, key=lambda result: (STATUS.index(result.status), classes.index(failure_class(result))))


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """A candidate with what the oracle said of each of its crystals.

    Attributes:
      candidate: What was measured.
      results: One per crystal of `Problem.cells`, in that order.
    """

    candidate: Candidate
    results: tuple[Result, ...]

    @property
    def worst(self) -> Result:
        """The result that decides: a candidate is as far from converged as the worst of its crystals."""
        return worst(self.results)

    @property
    def converged(self) -> bool:
        """Whether every crystal converged: only then is the candidate learned from, or given a true utility."""
        return self.worst.converged


class Surrogate(Protocol):
    """What one round's model says of candidates that nobody has measured."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the round's record shows of the model, as plain values: `spread_factor`, for example."""
        ...

    def properties(self, candidates: Sequence[Candidate]) -> Properties:
        """Named properties with units [n_sample, n] each, one sample per ensemble member."""
        ...

    def log_utility(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Logarithm of the utility [n_sample, n], at most 0."""
        ...

    def reward(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """The pessimistic reward [n] that proposals are guided by."""
        ...


class Problem(Protocol):
    """What is sought, where, and what is made of measurements."""

    @property
    def space(self) -> Any:
        """The candidates that may be proposed."""
        ...

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols that can occur; the oracle must know them all."""
        ...

    def cells(self, candidate: Candidate) -> list[Crystal]:
        """The crystals that stand for a candidate; equal candidates give equal crystals."""
        ...

    def known(self) -> list[Candidate]:
        """What is measured before the first round, not charged to the budget."""
        ...

    def learn(self, measured: Mapping[str, Measured], *, round: int, run_dir: Path, key: jax.Array) -> Surrogate:
        """The surrogate of a round.

        Args:
          measured: {candidate key: measurement} of everything that converged so far, known set first.
          round: Which round it is for, from 0.
          run_dir: Folder of the campaign; state of an interrupted fit belongs in a folder of its own there.
          key: Equal keys and measurements give an equal surrogate.
        """
        ...

    def truth(self, measured: Mapping[str, Measured]) -> Mapping[str, Mapping[str, Any]]:
        """{candidate key: {property: value, "utility", "log_utility", "competitors": [...]}} by the oracle's own landscape."""
        ...
