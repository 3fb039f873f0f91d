"""A whole stress test as one spec: what a TOML file says and `matjax stress-test` runs."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax

from matjax.config import spec
from matjax.data.split import Sizes
from matjax.data.suggest import suggest_domain, suggest_shifts
from matjax.risk import ERM, Coral, GroupDRO, Risk
from matjax.stress_test.controls import Control, twins, with_random_domains
from matjax.stress_test.job import StressTest
from matjax.stress_test.recipe import AnyShift
from matjax.stress_test.search import Candidates, Range, Search
from matjax.training.head_learner import HeadLearner
from matjax.training.learner import GraphLearner
from matjax.types import Dataset

AnyLearner = GraphLearner | HeadLearner


def refuse_conditions(learner: AnyLearner) -> None:
    """Refuses models whose answer depends on more than the crystal: their intervals would be calibrated at one condition only.

    Raises:
      ValueError: If the learner or its model has fidelities or charges.
    """
    if isinstance(learner, HeadLearner):
        return
    model = learner.model
    if learner.fidelity or learner.charge or getattr(model, "fidelities", ()) or getattr(model, "charge", False):
        raise ValueError("intervals are not yet fitted for models conditioned on fidelity or charge; use GraphLearner.fit in Python")


class Contest(NamedTuple):
    """What a stress test compares: learners by title, what some of them are controls of, and the data with what those need."""

    learners: dict[str, Any]
    controls: dict[str, Control]
    dataset: Dataset


@spec
class Method:
    """One line of the comparison: the shared learner with another risk.

    Attributes:
      title: Name in tables and figures.
      risk: What training minimises.
      likelihood: Train mean and variance by Gaussian likelihood; the low-density penalty needs it.
      use_target: Show the unlabelled crystals of the held-out domain to the risk (information level L1).
      ranges: Settings of this method that a search tries, such as `{path="risk.base.beta", low=0.1, high=100, off=0}`.
    """

    title: str
    risk: Risk = dataclasses.field(default_factory=Risk)
    likelihood: bool = False
    use_target: bool = False
    ranges: tuple[Range, ...] = ()

    def learner(self, shared: AnyLearner) -> AnyLearner:
        """The shared learner with this risk."""
        changed = dataclasses.replace(shared, risk=self.risk, use_target=self.use_target)
        if not self.likelihood:
            return changed
        loss = dataclasses.replace(shared.loss, shape="nll")
        if isinstance(changed, HeadLearner):
            return dataclasses.replace(changed, loss=loss, network=dataclasses.replace(changed.network, variance=True))
        return dataclasses.replace(changed, loss=loss, model=changed.model.clone(variance=True))


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
      learner: What the methods share: a `graph_learner`, or a `head_learner` on fixed descriptors, which takes seconds.
      test: Intervals, baseline, seeds, second fits, lockbox.
      search: How settings of every method are chosen inside the training domains; None takes them as they stand.
      oracle: Add every method with its settings chosen on the test crystals: a diagnostic, never a result; needs a search.
      controls: Add methods whose answer is known: random domain labels for every risk that sees domains, one-hot elements for
        the reference.
    """

    data: str = "flla"
    label: str = ""
    seed: int = 0
    shifts: tuple[AnyShift, ...] = ()
    sizes: Sizes = dataclasses.field(default_factory=Sizes)
    methods: tuple[Method, ...] = dataclasses.field(default_factory=default_methods)
    learner: AnyLearner = dataclasses.field(default_factory=GraphLearner)
    test: StressTest = dataclasses.field(default_factory=StressTest)
    search: Search | None = None
    oracle: bool = False
    controls: bool = False

    def __post_init__(self) -> None:
        """Refuses what cannot be measured."""
        refuse_conditions(self.learner)
        unused = [m.title for m in self.methods if m.ranges]
        if self.search is None and (self.oracle or unused):
            what = "oracle = true" if self.oracle else f"ranges of {', '.join(unused)}"
            raise ValueError(f"{what} without a search; add a table [search], such as draws = 20")

    def key(self) -> jax.Array:
        """The key of the run."""
        return jax.random.key(self.seed)

    def resolved_shifts(self, dataset: Dataset) -> tuple[list[Any], str]:
        """Shifts with the sizes of this configuration, and why they were chosen."""
        if not self.shifts:
            return suggest_shifts(dataset, self.sizes)
        return [dataclasses.replace(shift, sizes=shift.sizes or self.sizes) for shift in self.shifts], "named in the settings"

    def contest(self, dataset: Dataset) -> Contest:
        """What is compared on a data set, with one batch shape for all of it.

        Raises:
          ValueError: If two methods share a title, there are none, or a range names no setting.
        """
        titles = [m.title for m in self.methods]
        if not titles or len(set(titles)) != len(titles):
            raise ValueError(f"methods are titled {titles}; at least one is needed, and titles must differ")
        domain = self.learner.domain or suggest_domain(dataset)
        shared = dataclasses.replace(self.learner, label=self.label or self.learner.label, domain=domain).shape_for(dataset)
        learners: dict[str, Any] = {m.title: m.learner(shared) for m in self.methods}
        ranges, of = {m.title: m.ranges for m in self.methods}, {}
        if self.controls:
            dataset = with_random_domains(dataset, domain, self.key())
            for name, kind, twin in list(twins(learners)):
                learners[f"{name}, {kind}"], ranges[f"{name}, {kind}"], of[f"{name}, {kind}"] = twin, ranges[name], Control(kind, name)
        if self.search is not None:
            tried = {name: Candidates(learner, self.search, ranges[name]) for name, learner in learners.items()}
            known = {f"{name}, oracle": dataclasses.replace(tried[name], oracle=True) for name in titles if self.oracle}
            learners = tried | known
        return Contest(learners, of, dataset)
