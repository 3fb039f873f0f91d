"""Utility: the goals together, as one number in (0, 1] for every candidate.

The weighted geometric mean of the desirabilities (one goal missed badly is not made up for by the others), times the Born gate
where a goal needs elastic constants.

Source:
  Derringer & Suich (1980), Simultaneous optimization of several response variables (the geometric mean). The gate is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from matjax.config import kind_of, spec
from matjax.value.goals import DEEPEST, DensityGoal, Goal, PriceGoal, PughGoal, StabilityGoal, namespace
from matjax.value.price import element_prices

Array = Any  # NumPy or JAX

HURDLE = 2 * DEEPEST
"""What a Born-unstable lattice costs in log utility: more than all goals missed at once."""
_GATE_WIDTH = 0.5  # GPa: the gate falls from open to shut over a few of these
_GATE_RAMP = 10.0  # GPa: beyond the gate, less unstable is still better, by 1 in log utility for each of these


@spec
class Utility:
    """How good a candidate is, in (0, 1]: the weighted geometric mean of its goals' desirabilities, times the Born gate.

    log utility = sum_k weight_k log d_k / sum_k weight_k + log gate. With the gate open it lies in [-DEEPEST, 0]; for an unstable
    lattice it is below -1.9 DEEPEST, whatever else is good about it. The order of candidates depends on the ratios of the weights only.

    Attributes:
      goals: At most one of each kind.

    Example:
      >>> utility = Utility((StabilityGoal(), PughGoal(weight=0.5)))
      >>> alloy = {"stability": np.array([-0.02, 0.03]), "pugh_ratio": np.array([2.6, 2.6]), "born": np.array([40.0, 40.0])}
      >>> utility.utility(alloy).round(3)
      array([0.919, 0.134])
    """

    goals: tuple[StabilityGoal | PughGoal | PriceGoal | DensityGoal | Goal, ...] = (StabilityGoal(), PughGoal())

    def __post_init__(self) -> None:
        """Refuses no goals, and two of one kind."""
        if not self.goals:
            raise ValueError("a utility needs at least one goal; kinds: stability, pugh, price, density")
        kinds = [kind_of(type(goal)) for goal in self.goals]
        twice = next((kind for i, kind in enumerate(kinds) if kind in kinds[:i]), None)
        if twice is not None:
            raise ValueError(f"two {twice} goals contradict or repeat each other; keep one, and give it a larger weight if it matters more")

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the properties that the goals read."""
        return tuple(dict.fromkeys(name for goal in self.goals for name in goal.needs))

    def log_utility(self, properties: Mapping[str, Array]) -> Array:
        """Log utility, <= 0.

        Args:
          properties: {name: array} in the units of `properties.UNITS`, all of one shape.

        Raises:
          ValueError: If a property that a goal reads is missing.
        """
        return sum(self.contributions(properties).values())

    def utility(self, properties: Mapping[str, Array]) -> Array:
        """Utility in (0, 1]."""
        log_utility = self.log_utility(properties)
        return namespace(log_utility).exp(log_utility)

    def contributions(self, properties: Mapping[str, Array]) -> dict[str, Array]:
        """What each goal adds to the log utility, {kind: array <= 0}, with "born" for the gate; they sum to `log_utility`.

        Raises:
          ValueError: If a property that a goal reads is missing.
        """
        for goal in self.goals:
            lacking = [name for name in goal.needs if name not in properties]
            if lacking:
                raise ValueError(f"the {kind_of(type(goal))} goal needs {', '.join(lacking)}; given are {', '.join(properties) or 'none'}")
        total = sum(goal.weight for goal in self.goals)
        found = {kind_of(type(goal)): goal.weight / total * goal.log_desirability(properties) for goal in self.goals}
        margin = next((goal.born_margin for goal in self.goals if isinstance(goal, PughGoal)), None)
        return found if margin is None else found | {"born": log_born_gate(properties["born"], margin)}

    def describe(self) -> dict[str, str]:
        """{kind: the goal in words, with units and its share of the weight}."""
        total = sum(goal.weight for goal in self.goals)
        return {kind_of(type(goal)): f"{goal.describe()}, weight {goal.weight / total:.0%}" for goal in self.goals}

    def check_reachable(self, elements: Sequence[str]) -> None:
        """Refuses goals that no alloy of these elements can meet.

        Raises:
          ValueError: If even the cheapest element costs more than the price goal wants, or an element has no price.
        """
        goal = next((goal for goal in self.goals if isinstance(goal, PriceGoal)), None)
        if goal is None:
            return
        prices = element_prices(elements)
        cheapest = int(np.argmin(prices))
        if prices[cheapest] > goal.wanted:
            raise ValueError(
                f"price goal: at most {goal.wanted:g} USD/kg is wanted, but the cheapest of {' '.join(elements)} is "
                f"{elements[cheapest]} at {prices[cheapest]:g} USD/kg; want more or allow a cheaper element"
            )


def log_born_gate(born: Array, margin: Array) -> Array:
    """Log of the factor that rules out an unstable lattice; smooth and monotone in `born`.

    -HURDLE sigmoid((margin - born) / 0.5 GPa), less a bounded ramp below 0 (so that less unstable is better): about 0 from
    margin + 4 GPa on, -HURDLE and below for an unstable lattice.

    Args:
      born: Smallest eigenvalue of the elastic constants, GPa.
      margin: Where the gate is half open, GPa.
    """
    xp = namespace(born, margin)
    shut = xp.exp(-xp.logaddexp(0.0, (born - margin) / _GATE_WIDTH))
    depth = xp.logaddexp(0.0, -born / _GATE_WIDTH) * _GATE_WIDTH / _GATE_RAMP
    return -HURDLE * shut - depth / (1 + (depth / DEEPEST) ** 2) ** 0.5
