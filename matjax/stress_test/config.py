"""A whole stress test as one spec: what a TOML file says and `matjax stress-test` runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from matjax.config import spec
from matjax.data.shifts import LeaveElementOut, LeaveOut, PropertyTail, Random
from matjax.data.split import Sizes
from matjax.data.suggest import suggest_domain, suggest_shifts
from matjax.risk import ERM, Coral, GroupDRO, Risk
from matjax.stress_test.job import StressTest
from matjax.training.learner import GraphLearner
from matjax.types import Dataset

AnyShift = Random | LeaveOut | LeaveElementOut | PropertyTail


def refuse_conditions(learner: GraphLearner) -> None:
    """Refuses models whose answer depends on more than the crystal: their intervals would be calibrated at one condition only.

    Raises:
      ValueError: If the learner or its model has fidelities or charges.
    """
    model = learner.model
    if learner.fidelity or learner.charge or getattr(model, "fidelities", ()) or getattr(model, "charge", False):
        raise ValueError("intervals are not yet fitted for models conditioned on fidelity or charge; use GraphLearner.fit in Python")


@spec
class Method:
    """One line of the comparison: the shared learner with another risk.

    Attributes:
      title: Name in tables and figures.
      risk: What training minimises.
      likelihood: Train mean and variance by Gaussian likelihood; the low-density penalty needs it.
      use_target: Show the unlabelled crystals of the held-out domain to the risk (information level L1).
    """

    title: str
    risk: Risk = dataclasses.field(default_factory=Risk)
    likelihood: bool = False
    use_target: bool = False

    def learner(self, shared: GraphLearner) -> GraphLearner:
        """The shared learner with this risk."""
        loss = dataclasses.replace(shared.loss, shape="nll") if self.likelihood else shared.loss
        model = shared.model.clone(variance=True) if self.likelihood else shared.model
        return dataclasses.replace(shared, risk=self.risk, loss=loss, model=model, use_target=self.use_target)


def default_methods() -> tuple[Method, ...]:
    """Empirical risk beside two robust risks."""
    return (
        Method("ERM", Risk(ERM())),
        Method("GroupDRO", Risk(GroupDRO())),
        Method("CORAL", Risk(penalties=(Coral(0.1),))),
    )


@spec
class StressTestConfig:
    """Everything a stress test is.

    Attributes:
      data: Name of an embedded set, or a path.
      label: Label to learn; empty for the energy, a formation energy or the only scalar.
      seed: Randomness of splits and fits.
      shifts: Domains held out; empty to choose from what the data have.
      sizes: Sizes of the parts of every split.
      methods: What is compared; the first is the reference.
      learner: What the methods share.
      test: Intervals, baseline, seeds, second fits.
    """

    data: str = "flla"
    label: str = ""
    seed: int = 0
    shifts: tuple[AnyShift, ...] = ()
    sizes: Sizes = dataclasses.field(default_factory=Sizes)
    methods: tuple[Method, ...] = dataclasses.field(default_factory=default_methods)
    learner: GraphLearner = dataclasses.field(default_factory=GraphLearner)
    test: StressTest = dataclasses.field(default_factory=StressTest)

    def __post_init__(self) -> None:
        """Refuses what cannot be measured."""
        refuse_conditions(self.learner)

    def key(self) -> jax.Array:
        """The key of the run."""
        return jax.random.key(self.seed)

    def resolved_shifts(self, dataset: Dataset) -> tuple[list[Any], str]:
        """Shifts with the sizes of this configuration, and why they were chosen."""
        if not self.shifts:
            return suggest_shifts(dataset, self.sizes)
        return [dataclasses.replace(shift, sizes=shift.sizes or self.sizes) for shift in self.shifts], "named in the settings"

    def learners(self, dataset: Dataset) -> dict[str, GraphLearner]:
        """{title: learner}, with one batch shape for the whole data set.

        Raises:
          ValueError: If two methods share a title, or there are none.
        """
        titles = [m.title for m in self.methods]
        if not titles or len(set(titles)) != len(titles):
            raise ValueError(f"methods are titled {titles}; at least one is needed, and titles must differ")
        domain = self.learner.domain or suggest_domain(dataset)
        shared = dataclasses.replace(self.learner, label=self.label or self.learner.label, domain=domain).shape_for(dataset)
        return {m.title: m.learner(shared) for m in self.methods}
