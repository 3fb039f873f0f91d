"""What a part of a risk must offer: the protocols of bases, weights and penalties, and the shape they are built for."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Protocol

import jax

from matjax.types import Outcome

Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class RiskShape:
    """Sizes that a risk's params and memory depend on.

    Attributes:
      n_domain: Number of domains; `Outcome.domain` lies in [0, n_domain). Unlabelled target crystals are one of them.
      n_feature: Width of `Outcome.features`.
      sizes: Labelled training crystals per domain [n_domain], where known. Needed only by `GroupDRO(size_adjustment > 0)`.
      n_input: Width of `Outcome.inputs`, 0 where a batch has none.
    """

    n_domain: int
    n_feature: int
    sizes: tuple[int, ...] | None = None
    n_input: int = 0

    def __post_init__(self) -> None:
        """Refuses sizes that do not fit the domains."""
        if self.n_domain < 1 or self.n_feature < 1:
            raise ValueError(f"n_domain={self.n_domain} and n_feature={self.n_feature} must both be at least 1")
        if self.sizes is not None and len(self.sizes) != self.n_domain:
            raise ValueError(f"{len(self.sizes)} sizes for {self.n_domain} domains; give one per domain (0 where it has no labels)")


class Base(Protocol):
    """Turns the losses of a batch into one number.

    `init` gives (params, memory): params are trained with the model, memory is carried from step to step and never
    receives a gradient. `apply` sees a clean outcome (`matjax.risk.batch.clean`): rows that are padding have weight 0
    and finite values, rows without a label have loss 0; so `outcome.weight * outcome.labelled` is all the masking needed.
    """

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[Any, Any]:
        """Fresh (params, memory)."""
        ...

    def apply(self, params: Any, memory: Any, outcome: Outcome) -> tuple[jax.Array, Any, Metrics]:
        """(value, new memory, metrics)."""
        ...


class Penalty(Protocol):
    """Adds to the value: as a base, with a strength, and it may look at target crystals (`uses_target`)."""

    uses_target: ClassVar[bool]

    @property
    def strength(self) -> float:
        """Factor on the penalty; 0 trains the model as if the penalty were not there."""
        ...

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[Any, Any]:
        """Fresh (params, memory)."""
        ...

    def apply(self, params: Any, memory: Any, outcome: Outcome) -> tuple[jax.Array, Any, Metrics]:
        """(value with the strength applied, new memory, metrics)."""
        ...


class Weights(Protocol):
    """Turns the sample weights of a batch into other sample weights [n_graph]; has a memory and no params."""

    def init(self, shape: RiskShape) -> Any:
        """Fresh memory."""
        ...

    def apply(self, memory: Any, outcome: Outcome) -> tuple[jax.Array, Any, Metrics]:
        """(weights, new memory, metrics)."""
        ...


def check_range(spec: Any, **ranges: tuple[float, float]) -> None:
    """Refuses settings outside their closed range; traced settings pass, since their value is not known.

    Raises:
      ValueError: If a number lies outside its range.
    """
    for name, (low, high) in ranges.items():
        value = getattr(spec, name)
        if isinstance(value, (int, float)) and not low <= value <= high:
            raise ValueError(f"{type(spec).__name__}({name}={value}) is out of range; {name} must lie in [{low:g}, {high:g}]")
