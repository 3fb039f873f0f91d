"""What measurements tell a campaign about its own reward: which candidates cannot be measured, and whether the reward is gamed.

Both follow from the stored records alone, so a resumed campaign comes to the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from matjax.campaign.oracle import failure_class
from matjax.campaign.problem import Surrogate
from matjax.campaign.records import Record
from matjax.campaign.store import KNOWN
from matjax.types import Candidate
from matjax.value.brake import AuditState, Brake
from matjax.value.feasibility import Feasibility, FittedFeasibility
from matjax.value.properties import Properties
from matjax.value.proposers import Proposer, ValueGuided

AUDIT = "audit"
"""Why a pick was picked that says what the reward is worth where it was not exploited."""


def audit_gaps(records: Sequence[Record]) -> list[list[float]]:
    """Promised less true utility of the audit picks of every round, in order; failed ones and those without a reward are left out."""
    n_round = 1 + max((r.round for r in records), default=KNOWN)
    gaps: list[list[float]] = [[] for _ in range(n_round)]
    for r in records:
        reward, truth = r.predicted.get("reward"), (r.truth or {}).get("utility")
        if r.round != KNOWN and r.why == AUDIT and reward is not None and truth is not None:
            gaps[r.round].append(float(np.clip(math.exp(min(reward, 0.0)) - truth, -1.0, 1.0)))
    return gaps


def audit_state(brake: Brake, records: Sequence[Record]) -> AuditState:
    """What the audit picks of a campaign lead to."""
    return brake.state(audit_gaps(records))


def audit_facts(state: AuditState) -> dict[str, Any]:
    """For the round's record."""
    gap = state.gap if state.n else None
    return {"n_audit": state.n, "audit_gap": gap, "audit_evidence": state.evidence, "n_breach": state.n_breach, "brake": state.factor}


def feasibility_of(records: Sequence[Record]) -> FittedFeasibility:
    """Learned from everything that converged or failed by its own fault; known set included, not what was imported: no failures are."""
    tried = [r for r in records if r.results and not r.imported and failure_class(r.measured.worst) in ("", "numerical", "physical")]
    return Feasibility().fit([r.candidate for r in tried], [r.converged for r in tried])


def eased(proposer: Proposer, factor: float) -> Proposer:
    """The proposer with its KL budget multiplied by a factor below 1; where it has none, with its temperature divided by it."""
    if factor == 1.0 or not isinstance(proposer, ValueGuided):
        return proposer
    learner, budget = proposer.learner, proposer.learner.kl_budget
    changed = {"kl_budget": budget * factor} if math.isfinite(budget) else {"tau": learner.tau / factor}
    return dataclasses.replace(proposer, learner=dataclasses.replace(learner, **changed))


@dataclasses.dataclass(frozen=True, eq=False)
class HeldBack:
    """A surrogate whose reward knows what could not be measured, and is more pessimistic after a breach.

    Attributes:
      surrogate: The round's model; one with a method `stricter(factor)` gives itself with its tolerance of disagreement multiplied.
      feasibility: What failed before.
    """

    surrogate: Surrogate
    feasibility: FittedFeasibility

    @property
    def facts(self) -> Mapping[str, Any]:
        """Of the surrogate."""
        return self.surrogate.facts

    def properties(self, candidates: Sequence[Candidate]) -> Properties:
        """Of the surrogate."""
        return self.surrogate.properties(candidates)

    def log_utility(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Of the surrogate, given that it can be measured [n_sample, n]."""
        return self.surrogate.log_utility(candidates)

    def log_probability(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """That each can be measured [n]; added to the log utility where picks are made."""
        return self.feasibility.log_probability(candidates)

    def reward(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Pessimistic reward [n], with the log probability that the candidate can be measured."""
        return np.asarray(self.surrogate.reward(candidates), float) + self.log_probability(candidates)


def stricter(surrogate: Any, factor: float) -> Any:
    """The surrogate, with its tolerance of disagreement multiplied by a factor below 1 where it has a method for that."""
    return surrogate.stricter(factor) if factor < 1.0 and hasattr(surrogate, "stricter") else surrogate


def held_back(surrogate: Any, records: Sequence[Record], state: AuditState) -> HeldBack:
    """The surrogate as its own record demands."""
    return HeldBack(stricter(surrogate, state.factor), feasibility_of(records))
