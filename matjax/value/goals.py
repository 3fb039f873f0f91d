"""Goals with units: what is wanted of a property, as a smooth desirability.

A goal turns a property into a desirability in (0, 1]: a logistic that is 1/2 where the wanted value is just met and close to 1
where it is met with room to spare, so that nothing is won by overshooting one goal at the cost of another ("good enough").
Everything works on the logarithm, on NumPy and JAX arrays of any shape, and is differentiable.

Source:
  Derringer & Suich (1980), Simultaneous optimization of several response variables (desirability). The logistic shape and its
  bounded tail are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from matjax.config import kind_of, spec

Array = Any  # NumPy or JAX

DEEPEST = 20.0
"""No goal takes the log desirability below minus this, however badly it is missed."""


class Goal(Protocol):
    """What the utility needs of a goal; a class of your own serves, named as `my_package.my_module:MyGoal`."""

    @property
    def weight(self) -> float:
        """Exponent of the desirability in the utility, relative to those of the other goals."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the properties it reads."""
        ...

    def log_desirability(self, properties: Mapping[str, Array]) -> Array:
        """Log desirability, <= 0, of the shape of the properties."""
        ...

    def describe(self) -> str:
        """The goal in words, with units."""
        ...


def namespace(*arrays: Array) -> Any:
    """JAX's numpy if any of the arrays is JAX's, else NumPy."""
    return jnp if any(isinstance(array, jax.Array) for array in arrays) else np


def log_logistic(z: Array) -> Array:
    """Log of the logistic function with a bounded tail: log sigmoid(z) near and above 0, and never below -DEEPEST.

    With s = log(1 + exp(-z)), -s / sqrt(1 + (s / DEEPEST)^2): worse is always worse, but no single goal, however hopeless, hides
    what the others say.
    """
    loss = namespace(z).logaddexp(0.0, -z)
    return -loss / (1 + (loss / DEEPEST) ** 2) ** 0.5


def _are_numbers(*values: Any) -> bool:
    """Whether the values are known numbers (not traced, not None)."""
    return all(isinstance(value, (int, float)) for value in values)


def _check(goal: Any, **ranges: tuple[float, float, str]) -> None:
    """Refuses a weight that is not positive and settings outside (low, high, unit); traced settings pass.

    Raises:
      ValueError: Naming the goal, what came and what is allowed.
    """
    kind = kind_of(type(goal))
    if _are_numbers(goal.weight) and not 0 < goal.weight < float("inf"):
        raise ValueError(f"{kind} goal: weight is {goal.weight:g}; it must be positive (leave the goal out to ignore it)")
    for name, (low, high, unit) in ranges.items():
        value = getattr(goal, name)
        if _are_numbers(value) and not low <= value <= high:
            raise ValueError(f"{kind} goal: {name} is {value:g}; it must lie in [{low:g}, {high:g}] {unit}".rstrip())


@spec
class StabilityGoal:
    """Stable, or nearly: thermo's stability (eV/atom; G of the candidate minus that of its best competitors) at most `threshold`.

    Attributes:
      threshold: Stability that is just good enough, eV/atom; 0 asks to be on the hull of free energies.
      scale: Change that turns a clear yes into a clear no, eV/atom.
      weight: Exponent of the desirability in the utility, relative to those of the other goals.
    """

    kind: ClassVar[str] = "stability"
    needs: ClassVar[tuple[str, ...]] = ("stability",)
    threshold: float = 0.0
    scale: float = 0.01
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses thresholds that look like another unit."""
        _check(self, threshold=(-0.5, 0.5, "eV/atom (1 meV = 0.001)"), scale=(1e-4, 1.0, "eV/atom"))

    def log_desirability(self, properties: Mapping[str, Array]) -> Array:
        """Log logistic of (threshold - stability) / scale."""
        return log_logistic((self.threshold - properties["stability"]) / self.scale)

    def describe(self) -> str:
        """The goal in words, with units."""
        return f"stability at most {self.threshold:g} eV/atom against all competing phases (1/2 there, scale {self.scale:g} eV/atom)"


@spec
class PughGoal:
    """Ductile by Pugh's proxy: B/G at least `wanted`, no further gain beyond `saturation`, and Born-stable.

    With e(r) = saturation - h(saturation - r), h(z) = z^2 / 2c for 0 <= z < c, z - c/2 beyond, c = saturation - wanted, the
    desirability is the logistic of (e(r) - e(wanted)) / scale divided by its value at saturation: it rises with B/G, with slope
    zero from saturation on, where it is exactly 1. B/G means something on a stable lattice only, so the Born gate goes with it.

    Attributes:
      wanted: B/G that is just good enough; 1.75 is Pugh's border between brittle and ductile.
      saturation: B/G beyond which more is no better (gold and lead have 6, and no strength).
      scale: Change in B/G that turns a clear yes into a clear no.
      weight: Exponent of the desirability in the utility, relative to those of the other goals.
      born_margin: Smallest eigenvalue of the elastic constants where the gate is half open, GPa; it is shut at 0.

    Source:
      Pugh (1954), Relations between the elastic moduli and the plastic properties of polycrystalline pure metals.
    """

    kind: ClassVar[str] = "pugh"
    needs: ClassVar[tuple[str, ...]] = ("pugh_ratio", "born")
    wanted: float = 1.75
    saturation: float = 2.5
    scale: float = 0.15
    weight: float = 1.0
    born_margin: float = 3.0

    def __post_init__(self) -> None:
        """Refuses a saturation that is not above the wanted ratio."""
        _check(self, wanted=(0.1, 10.0, ""), saturation=(0.1, 20.0, ""), scale=(1e-3, 10.0, ""), born_margin=(3.0, 50.0, "GPa"))
        if _are_numbers(self.wanted, self.saturation) and self.saturation <= self.wanted:
            raise ValueError(
                f"pugh goal: B/G of {self.wanted:g} is wanted, but beyond the saturation {self.saturation:g} more is no better; "
                "saturation must be above wanted"
            )

    def log_desirability(self, properties: Mapping[str, Array]) -> Array:
        """Log desirability of B/G alone; the gate is a factor of the utility."""
        ratio, width = properties["pugh_ratio"], self.saturation - self.wanted
        xp = namespace(ratio, width)
        short = xp.maximum(self.saturation - ratio, 0.0)
        loss = xp.where(short < width, short**2 / (2 * width), short - width / 2)
        at_saturation = width / 2 / self.scale
        return log_logistic(at_saturation - loss / self.scale) - log_logistic(at_saturation)

    def describe(self) -> str:
        """The goal in words, with units."""
        return (
            f"Pugh ratio B/G at least {self.wanted:g} (scale {self.scale:g}), no gain beyond {self.saturation:g}; "
            f"a lattice whose smallest elastic eigenvalue is not above {self.born_margin:g} GPa is ruled out"
        )


@spec
class PriceGoal:
    """Affordable: elements for at most `wanted` USD/kg. Prices span five decades, so their logarithm is judged.

    Attributes:
      wanted: Price of the elements that is just good enough, USD/kg.
      scale: Change in the natural logarithm of the price that turns a clear yes into a clear no.
      weight: Exponent of the desirability in the utility, relative to those of the other goals.
    """

    kind: ClassVar[str] = "price"
    needs: ClassVar[tuple[str, ...]] = ("price",)
    wanted: float = 20.0
    scale: float = 0.3
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses prices that nothing has."""
        _check(self, wanted=(0.05, 1e6, "USD/kg"), scale=(1e-2, 10.0, ""))

    def log_desirability(self, properties: Mapping[str, Array]) -> Array:
        """Log logistic of log(wanted / price) / scale."""
        price = properties["price"]
        xp = namespace(price, self.wanted)
        return log_logistic((xp.log(self.wanted) - xp.log(price)) / self.scale)

    def describe(self) -> str:
        """The goal in words, with units."""
        return f"elements for at most {self.wanted:g} USD/kg (1/2 there, scale a factor of {np.exp(self.scale):.3g})"


@spec
class DensityGoal:
    """Light, or heavy, or between the two.

    Attributes:
      at_most: Density that is just light enough, g/cm³, or None.
      at_least: Density that is just heavy enough, g/cm³, or None.
      scale: Change that turns a clear yes into a clear no, g/cm³.
      weight: Exponent of the desirability in the utility, relative to those of the other goals.
    """

    kind: ClassVar[str] = "density"
    needs: ClassVar[tuple[str, ...]] = ("density",)
    at_most: float | None = 8.0
    at_least: float | None = None
    scale: float = 0.5
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses densities that no solid element has, and bounds that exclude each other."""
        _check(self, at_most=(0.5, 23.0, "g/cm³"), at_least=(0.5, 23.0, "g/cm³"), scale=(1e-2, 10.0, "g/cm³"))
        if self.at_most is None and self.at_least is None:
            raise ValueError("density goal without a bound; set at_most, at_least, or both (g/cm³)")
        if _are_numbers(self.at_most, self.at_least) and self.at_least >= self.at_most:  # type: ignore[operator]
            raise ValueError(
                f"density goal: at least {self.at_least:g} and at most {self.at_most:g} g/cm³ exclude each other; swap or widen them"
            )

    def log_desirability(self, properties: Mapping[str, Array]) -> Array:
        """Sum of the log logistics of the distances to the bounds / scale."""
        density = properties["density"]
        above = 0.0 if self.at_most is None else log_logistic((self.at_most - density) / self.scale)
        below = 0.0 if self.at_least is None else log_logistic((density - self.at_least) / self.scale)
        return above + below

    def describe(self) -> str:
        """The goal in words, with units."""
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        return f"density {' and '.join(f'{word} {b:g}' for word, b in bounds if b is not None)} g/cm³ (scale {self.scale:g} g/cm³)"
