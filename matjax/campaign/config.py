"""One campaign as settings: what a TOML file of thirty lines says."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from matjax.campaign.ase_oracle import AseOracle, Emt
from matjax.campaign.command_oracle import Command
from matjax.campaign.crystals.alloys import AlloyProblem
from matjax.campaign.crystals.compounds import CompoundProblem
from matjax.campaign.crystals.problem import KnownSet
from matjax.campaign.gpaw_oracle import Gpaw
from matjax.campaign.lammps_oracle import Lammps
from matjax.campaign.limits import Limits
from matjax.campaign.oracle import gives
from matjax.campaign.potential_oracle import Potential
from matjax.config import spec
from matjax.simulate.laboratory import Laboratory
from matjax.thermo import Search, Terms
from matjax.training.learner import GraphLearner
from matjax.value import (
    Alloys,
    BoTorch,
    Brake,
    Compounds,
    DensityGoal,
    ExpectedImprovement,
    GaussianProcess,
    Genetic,
    Greedy,
    LargestCluster,
    Pessimism,
    PriceGoal,
    PughGoal,
    Random,
    StabilityGoal,
    Thompson,
    UpperBound,
    Utility,
    ValueGuided,
    ValueLearner,
)

LABORATORY = "Al Co Cu Fe Mo Ni Pd Ti"
"""Elements of the default campaign."""


@spec
class Comparison:
    """What runs beside the campaign for the report, at the same number of oracle calls; none of it is learned from.

    Attributes:
      seeds: Runs of random search and of a genetic search on the oracle itself; 0 for none.
      audit: Random alloys that the oracle measures to compare the reward with the truth; 0 for none.
    """

    seeds: int = 5
    audit: int = 64


@spec
class DiscoverConfig:
    """Settings of `matjax discover`.

    Attributes:
      space: The alloys, or (kind = "compounds") the ordered compounds that may be proposed.
      utility: What makes one worth making.
      temperature: K.
      oracle: What measures.
      budget: Oracle calls, one per candidate with all its cells.
      batch: Candidates per round.
      pool: Proposals per round that the batch is picked from.
      seed: Randomness of the campaign.
      n_decoration: Cells of a candidate.
      terms: Terms of every Gibbs energy.
      known: What is measured before the first round.
      learner: The ensemble.
      n_epoch_more: Epochs of every round after the first.
      pessimism: How doubt lowers the reward.
      proposer: Who proposes.
      acquisition: What picks the batch.
      limits: Hours of the oracle and money, beside the budget of calls; they may be changed when a campaign goes on.
      brake: Holds the search back where the audit picks say that the reward promises too much.
      comparison: What runs beside it.
    """

    space: Alloys | Compounds = Alloys(LABORATORY)
    utility: Utility = Utility(goals=(StabilityGoal(scale=0.005), PughGoal(), PriceGoal(wanted=8.0), DensityGoal(at_most=6.5)))
    temperature: float = dataclasses.field(default=1200.0, metadata={"static": True})
    oracle: Laboratory | Lammps | Emt | AseOracle | Command | Gpaw | Potential = Laboratory()
    budget: int = 32
    batch: int = 8
    pool: int = 128
    seed: int = 0
    n_decoration: int = 2
    terms: Terms = Terms()
    known: KnownSet = KnownSet()
    learner: GraphLearner = GraphLearner(n_epoch=10, batch_size=12)
    n_epoch_more: int = 3
    pessimism: Pessimism = Pessimism()
    proposer: ValueGuided | Genetic | GaussianProcess | BoTorch | Random = ValueGuided(ValueLearner(n_iteration=5))
    acquisition: Thompson | UpperBound | ExpectedImprovement | Greedy | LargestCluster = Thompson()
    brake: Brake = Brake()
    limits: Limits = Limits()
    comparison: Comparison = Comparison()

    def problem(self) -> AlloyProblem | CompoundProblem:
        """What is sought."""
        shared: dict[str, Any] = dict(
            utility=self.utility,
            temperature=self.temperature,
            terms=self.terms,
            pessimism=self.pessimism,
            learner=self.learner,
            n_epoch_more=self.n_epoch_more,
            known_set=self.known,
            n_decoration=self.n_decoration,
            has_moduli="elastic" in gives(self.oracle),
        )
        return AlloyProblem(self.space, **shared) if isinstance(self.space, Alloys) else CompoundProblem(self.space, **shared)

    def key(self) -> jax.Array:
        """Randomness of the campaign."""
        return jax.random.key(self.seed)

    def check(self) -> None:
        """Refuses settings that contradict each other, before anything is computed.

        Raises:
          ValueError: If the oracle lacks elements or gives no frames, the proposer lacks its package, nothing in the space is
            new, or nothing there can satisfy the goals.
        """
        if isinstance(self.proposer, BoTorch):
            self.proposer.check()
        missing = sorted(set(self.space.available) - set(self.oracle.elements))
        if missing:
            raise ValueError(f"the oracle {self.oracle.name} has no {', '.join(missing)}; it knows {' '.join(self.oracle.elements)}")
        if "frames" not in gives(self.oracle):
            raise ValueError(f"the oracle {self.oracle.name} keeps no frames, from which the networks learn; recipe.gives must have them")
        if self.space.max_elements > Search().n_active:
            raise ValueError(
                f"space.max_elements is {self.space.max_elements}; stability is searched among at most {Search().n_active} elements"
            )
        if not self.problem().n_new():
            raise ValueError(
                f"the known set holds all {self.space.n_leaf:,} {self.space.what} of the space, so there is nothing to propose; "
                "open more (space.prototypes, space.n_grid, space.max_elements) or leave structures out of known.compounds"
            )
        self.utility.check_reachable(self.space.available)
