"""Risk: what training minimises. One base, optional sample weights, any number of penalties."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from matjax.config import kind_of, spec
from matjax.keys import child
from matjax.risk.balance import Balance
from matjax.risk.batch import clean
from matjax.risk.conditional_dann import ConditionalDANN
from matjax.risk.coral import Coral
from matjax.risk.cvar import CVaR
from matjax.risk.dann import DANN
from matjax.risk.dare_gram import DareGram
from matjax.risk.erm import ERM
from matjax.risk.group_dro import GroupDRO
from matjax.risk.irm import IRM
from matjax.risk.low_density import LowDensity
from matjax.risk.mmd import MMD
from matjax.risk.protocol import Base, Metrics, Penalty, RiskShape, Weights
from matjax.risk.rsd import RSD
from matjax.risk.vrex import VREx
from matjax.risk.weights import Importance
from matjax.types import Outcome


@spec
class Risk:
    """A base over the losses of a batch, on optional weights, plus penalties: `Risk(GroupDRO()) + Coral(0.1)`.

    Only `params` get gradients; `memory` is carried along. Padding, missing labels and domains that are absent
    from a batch are harmless in value and gradient. Bases see labelled crystals only; penalties see target crystals as one
    more domain. The unions below name what a configuration file can choose; any object with the protocol's methods
    serves.

    Attributes:
      base: How losses become one number.
      weights: How sample weights are made before the base sees them, or None to take them as they are.
      penalties: What is added.

    Example:
      >>> Risk(VREx(beta=10.0)) + Coral(0.1)
      Risk(base=VREx(beta=10.0), weights=None, penalties=(Coral(strength=0.1, mean=1.0),))
    """

    base: ERM | GroupDRO | VREx | IRM | CVaR | Base = ERM()
    weights: Importance | Balance | Weights | None = None
    penalties: tuple[Coral | MMD | DANN | ConditionalDANN | RSD | DareGram | LowDensity | Penalty, ...] = ()

    def __add__(self, penalty: Penalty) -> Risk:
        """The risk with one more penalty.

        Raises:
          ValueError: If what is added is not a penalty: two bases have no sum.
        """
        if not (hasattr(penalty, "strength") and hasattr(penalty, "apply")):
            raise ValueError(f"cannot add {penalty!r} to a risk; only penalties (with a strength) can be added")
        return dataclasses.replace(self, penalties=(*self.penalties, penalty))

    @property
    def uses_target(self) -> bool:
        """Whether a penalty looks at target crystals when a batch has any (information level L1)."""
        return any(getattr(p, "uses_target", False) for p in self.penalties)

    @property
    def uses_slope(self) -> bool:
        """Whether a part looks at `Outcome.slope`, which is not worked out for the others."""
        return any(getattr(part, "uses_slope", False) for part in (self.base, *self.penalties))

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[dict[str, Any], dict[str, Any]]:
        """Fresh (params, memory), each with an entry for base, weights and penalties."""
        base_params, base_memory = self.base.init(child(key, "base"), shape)
        parts = [p.init(child(key, "penalty", i), shape) for i, p in enumerate(self.penalties)]
        weights_memory = () if self.weights is None else self.weights.init(shape)
        params = {"base": base_params, "penalties": tuple(params for params, _ in parts)}
        return params, {"base": base_memory, "weights": weights_memory, "penalties": tuple(memory for _, memory in parts)}

    def apply(self, params: Any, memory: Any, outcome: Outcome) -> tuple[jax.Array, Any, Metrics]:
        """(value, new memory, metrics), metrics named `risk`, `base/...`, `weights/...`, `coral/...` (`coral_2/...`)."""
        outcome, memory = clean(outcome), jax.lax.stop_gradient(memory)
        metrics: Metrics = {}
        weights_memory = memory["weights"]
        if self.weights is not None:
            weight, weights_memory, found = self.weights.apply(weights_memory, outcome)
            outcome = outcome._replace(weight=weight)
            metrics |= {f"weights/{k}": v for k, v in found.items()}
        value, base_memory, found = self.base.apply(params["base"], memory["base"], outcome)
        metrics |= {"base/value": value} | {f"base/{k}": v for k, v in found.items()}
        memories = []
        for name, penalty, p, m in zip(self._names(), self.penalties, params["penalties"], memory["penalties"], strict=True):
            addition, m, found = penalty.apply(p, m, outcome)
            value = value + addition
            memories.append(m)
            metrics |= {f"{name}/{k}": v for k, v in found.items()}
        after = {"base": base_memory, "weights": weights_memory, "penalties": tuple(memories)}
        return value, jax.lax.stop_gradient(after), {"risk": value} | metrics

    def _names(self) -> list[str]:
        """The kinds of the penalties, numbered from the second of a kind."""
        kinds = [kind_of(type(p)) for p in self.penalties]
        return [kind if kinds[:i].count(kind) == 0 else f"{kind}_{kinds[:i].count(kind) + 1}" for i, kind in enumerate(kinds)]
