"""The temperature above which a phase wins over everything else, and the one at which it stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.alloy.gibbs import ALL_TERMS, Terms
from matjax.thermo.alloy.landscape import Landscape
from matjax.thermo.alloy.stability import SEARCH, Search, stability
from matjax.thermo.host import float64

REASONS = (
    "",
    "stable from the lowest temperature on",
    "not stable at any temperature that was looked at",
    "the stability is not a number",
)
"""What `Transition.reason` means; empty where a temperature was found."""

_EXACT = 1e-7  # K
_MAX_STEP = 60


class Transition(NamedTuple):
    """Between which temperatures a phase is stable.

    Attributes:
      temperature: K, above which it is stable; NaN where there is none.
      until: K, above `temperature` (or above the lowest temperature looked at, where it is stable there) from which something else is more
        stable, such as the liquid; NaN where nothing is up to the highest temperature looked at.
      reason: Index in REASONS, why `temperature` is NaN.
    """

    temperature: Array
    until: Array
    reason: Array


def transition_temperature(
    landscape: Landscape,
    phase: ArrayLike,
    x: ArrayLike,
    *,
    between: tuple[float, float] = (200.0, 3000.0),
    n_grid: int = 15,
    terms: Terms = ALL_TERMS,
    search: Search = SEARCH,
) -> Transition:
    """The temperature above which a phase is more stable than every mixture of others: where its `stability` falls below zero.

    The stability is looked at on a grid; the lowest interval in which it turns negative, and the next in which it turns positive again,
    are refined by Newton's method that bisects where Newton leaves the interval. Ranges of stability narrower than the grid may be missed.
    Differentiable in composition and everything the landscape is made of, by the implicit function theorem: dT = -d(stability) / slope.
    Runs inside jit, vmap and grad, like `stability`; of members, `jax.vmap(f, in_axes=(MEMBERS,))`.

    Args:
      landscape: One member's.
      phase: As in `stability`.
      x: Composition of the candidate.
      between: Lowest and highest temperature looked at, K.
      n_grid: Temperatures on the grid.
      terms: Terms of every Gibbs energy.
      search: How the lowest mixture is searched.

    Raises:
      ValueError: As `stability`; or if the temperatures do not ascend from above zero.
    """
    if not 0 < between[0] < between[1] < np.inf or n_grid < 2:
        raise ValueError(f"temperatures between {between} K on a grid of {n_grid}: give 0 < lowest < highest, and at least 2")
    with float64():
        grid = jnp.linspace(*between, n_grid, dtype=jnp.float64)
        value = lambda temperature: stability(landscape, phase, x, temperature, terms=terms, search=search).value
        on_grid = jax.lax.stop_gradient(jax.lax.map(value, grid))
        is_stable = on_grid < 0
        begins, ends = ~is_stable[:-1] & is_stable[1:], is_stable[:-1] & ~is_stable[1:]
        first = jnp.where(is_stable[0] | ~begins.any(), -1, jnp.argmax(begins))
        later = ends & (jnp.arange(n_grid - 1) > first)
        last = jnp.where(later.any() & (is_stable[0] | begins.any()), jnp.argmax(later), -1)
        at = jnp.stack([first, last])
        root = _roots(value, grid[at], jnp.where(at < 0, grid[at], grid[at + 1]), on_grid[at])
        is_known = jnp.isfinite(on_grid).all()
        root = jnp.where((at >= 0) & is_known, root, jnp.nan)
        reason = jnp.select([~is_known, is_stable[0], first >= 0], [3, 1, 0], 2).astype(jnp.int32)
        return Transition(root[0], root[1], reason)


def _roots(value: Callable[[Array], Array], low: Array, high: Array, at_low: Array) -> Array:
    """Where a function crosses zero in each of some intervals; any number where it does not."""
    both = jax.vmap(jax.value_and_grad(value))

    def refine(state: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, now, step, n = state
        y, slope = map(jnp.asarray, both(now))
        same = jnp.sign(y) == jnp.sign(at_low)
        low, high = jnp.where(same, now, low), jnp.where(same, high, now)
        newton = now - y / jnp.where(slope == 0, 1.0, slope)
        is_good = (slope != 0) & (newton > low) & (newton < high) & (jnp.abs(newton - now) < 0.5 * jnp.abs(step))
        new = jnp.where(is_good, newton, (low + high) / 2)
        new = jnp.where(y == 0, now, new)
        return low, high, new, new - now, n + 1

    def solve(_: Callable, start: Array) -> Array:
        state = (low, high, start, high - low, jnp.zeros((), jnp.int32))
        moving = lambda state: (jnp.abs(state[3]).max() > _EXACT) & (state[4] < _MAX_STEP)
        return jax.lax.while_loop(moving, refine, state)[2]

    tangent = lambda linear, y: y / linear(jnp.ones_like(y))
    return jax.lax.custom_root(jax.vmap(value), (low + high) / 2, solve, tangent)
