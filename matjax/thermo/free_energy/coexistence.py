"""Where two phases have the same Gibbs energy: temperature or pressure of coexistence, and the slope of the line between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike

from matjax.thermo.free_energy.phase import Phase, gibbs, require_volume
from matjax.thermo.host import float64

N_SCAN = 65
"""Points of the range at which the phases are compared before a crossing is closed in on; closer pairs of crossings are missed."""

N_CLOSE = 60
"""Halvings of the interval around the crossing."""

REASONS = (
    "",
    "the first phase is the stable one over the whole range",
    "the second phase is the stable one over the whole range",
    "a phase has no Gibbs energy in a part of the range, and they do not cross in the rest",
)
"""What the codes of `Coexistence.status` say."""

Gibbs = Callable[[Array, Array], Array]
"""(temperature in K, pressure in eV/Å³) -> eV/atom; a `Partial` where it holds numbers to differentiate."""


class Coexistence(NamedTuple):
    """A crossing of two Gibbs energies; all numbers NaN where there is none, and `REASONS[status]` says why.

    Attributes:
      temperature: K.
      pressure: eV/Å³.
      enthalpy: Of the transition from the first to the second phase, T dS, eV/atom.
      entropy: dS, eV/K per atom.
      volume: dV, Å³/atom; NaN where a phase has none.
      slope: dT/dP = dV/dS along the line of coexistence, K Å³/eV (Clapeyron); NaN where a phase has no volume.
      status: 0, or an index in `REASONS`.
      n_crossing: How often they cross in the range; the lowest crossing is given.
    """

    temperature: Array
    pressure: Array
    enthalpy: Array
    entropy: Array
    volume: Array
    slope: Array
    status: Array
    n_crossing: Array


def coexistence_temperature(
    first: Phase | Gibbs, second: Phase | Gibbs, low: ArrayLike, high: ArrayLike, pressure: ArrayLike = 0.0
) -> Coexistence:
    """The lowest temperature of a range at which two phases of one composition have the same Gibbs energy per atom.

    Differentiable with respect to the pressure and every number in the phases (implicit function theorem). NaN where they do not cross;
    nothing is extrapolated beyond what the phases know. For competition among many phases see `matjax.thermo.alloy.transition`.

    Args:
      first: A phase, or any function (temperature, pressure) -> eV/atom; a `Partial` lets gradients reach what it holds.
      second: The other.
      low: Lower end of the range, K.
      high: Upper end, K.
      pressure: eV/Å³; 0 for a phase without volume.

    Raises:
      ValueError: As `gibbs`.
    """
    return _solve(first, second, low, high, pressure, axis=0)


def coexistence_pressure(
    first: Phase | Gibbs, second: Phase | Gibbs, low: ArrayLike, high: ArrayLike, temperature: ArrayLike
) -> Coexistence:
    """The lowest pressure of a range, eV/Å³, at which two phases have the same Gibbs energy; otherwise as `coexistence_temperature`."""
    return _solve(first, second, low, high, temperature, axis=1)


def _solve(first: Any, second: Any, low: ArrayLike, high: ArrayLike, fixed: ArrayLike, axis: int) -> Coexistence:
    phases = [phase for phase in (first, second) if isinstance(phase, Phase)]
    for phase in phases:
        require_volume(phase, fixed if axis == 0 else 1.0)
    has_volume = all(phase.has_volume for phase in phases)
    with float64():
        functions = [Partial(_gibbs_of, phase) if isinstance(phase, Phase) else _partial(phase) for phase in (first, second)]
        numbers = (jnp.asarray(value, jnp.float64) for value in (low, high, fixed))
        return _coexistence(*functions, *numbers, axis, has_volume)


def _partial(function: Gibbs) -> Partial:
    return function if isinstance(function, Partial) else Partial(function)


def _gibbs_of(phase: Phase, temperature: Array, pressure: Array) -> Array:
    """A phase without volume does not see the pressure, of which `_solve` has made sure that it is zero."""
    return gibbs(phase, temperature, pressure if phase.has_volume else 0.0)


@partial(jax.jit, static_argnames=("axis", "has_volume"))
def _coexistence(first: Partial, second: Partial, low: Array, high: Array, fixed: Array, axis: int, has_volume: bool) -> Coexistence:
    point = lambda x, fixed: (x, fixed) if axis == 0 else (fixed, x)
    difference = lambda x, first, second, fixed: second(*point(x, fixed)) - first(*point(x, fixed))
    held = jax.tree.map(jax.lax.stop_gradient, (first, second, fixed))
    found, status, n_crossing = _crossing(lambda x: difference(x, *held), *map(jax.lax.stop_gradient, (low, high)))
    # a step of Newton's method brings it to rounding, and carries the derivative
    along = jax.grad(difference)(found, *held)
    at = found - difference(found, first, second, fixed) / along
    by_t, by_p = jax.grad(lambda at: second(*at) - first(*at))(point(at, fixed))
    known = jnp.where(status == 0, 1.0, jnp.nan)
    volume = by_p * known if has_volume else jnp.full_like(by_p, jnp.nan)
    temperature, pressure = (value * known for value in point(at, fixed))
    entropy = -by_t * known
    return Coexistence(temperature, pressure, temperature * entropy, entropy, volume, volume / entropy, status, n_crossing)


def _crossing(difference: Callable[[Array], Array], low: Array, high: Array) -> tuple[Array, Array, Array]:
    """The first change of sign, its status and how many there are."""
    grid = jnp.linspace(low, high, N_SCAN)
    values = jax.lax.map(difference, grid)
    is_change = (values[:-1] * values[1:] <= 0) & (values[1:] != 0)  # not where either is NaN; a zero on a point counts once,
    is_change = is_change.at[-1].set(is_change[-1] | (values[-1] == 0))  # with the interval that it begins
    k = jnp.argmax(is_change)
    rises = jnp.where(values[k + 1] > values[k], 1.0, -1.0)

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        lower, upper = bracket
        middle = (lower + upper) / 2
        is_before = difference(middle) * rises < 0
        return jnp.where(is_before, middle, lower), jnp.where(is_before, upper, middle)

    lower, upper = jax.lax.fori_loop(0, N_CLOSE, halve, (grid[k], grid[k + 1]))
    none = jnp.where(jnp.all(values > 0), 1, jnp.where(jnp.all(values < 0), 2, 3))
    return jax.lax.stop_gradient((lower + upper) / 2), jnp.where(jnp.any(is_change), 0, none), jnp.sum(is_change)
