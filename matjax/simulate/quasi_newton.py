"""Limited-memory BFGS as a conversation: it says which step it wants, is told what was found there, and wants the next.

Written once for one crystal and for many crystals packed side by side: every crystal keeps its own memory, step length and
count, and what belongs to a crystal is said by two functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from matjax.types import Array

MEMORY = 8
"""Steps that the quasi-Newton method remembers."""

Coordinates = Any
"""A tree of arrays: displacements and strains."""


class Space(NamedTuple):
    """How coordinates and numbers per crystal meet.

    inner(a, b): inner product of two coordinates, one number per crystal; spread(number): one number per crystal as a tree that
    multiplies coordinates; reach(x): length of a step per crystal, Å.
    """

    inner: Callable[[Coordinates, Coordinates], jax.Array]
    spread: Callable[[jax.Array], Coordinates]
    reach: Callable[[Coordinates], jax.Array]

    def times(self, number: jax.Array, x: Coordinates) -> Coordinates:
        """Coordinates times a number per crystal."""
        return jax.tree.map(lambda n, a: n * a, self.spread(number), x)

    def choose(self, is_first: jax.Array, first: Coordinates, second: Coordinates) -> Coordinates:
        """One or the other, crystal by crystal."""
        return jax.tree.map(lambda c, a, b: jnp.where(c, a, b), self.spread(is_first), first, second)


class Point(NamedTuple):
    """A configuration: its coordinates, energy per crystal, gradient."""

    x: Coordinates
    energy: Array
    gradient: Coordinates


class State(NamedTuple):
    """A minimisation under way.

    point: the best so far; move: the step that is wanted from there; moves, changes: [MEMORY, ...] last steps and changes of
    the gradient; n_pair: pairs ever stored; scale: length of the next step relative to what the quasi-Newton method wants;
    n_step: evaluations.
    """

    point: Point
    move: Coordinates
    moves: Coordinates
    changes: Coordinates
    n_pair: Array
    scale: Array
    n_step: Array


def start(zeros: Coordinates, like: Array) -> State:
    """Nowhere yet: the first step stays where it is and looks.

    Args:
      zeros: The coordinates to begin at.
      like: Any numbers per crystal, for shape and precision.
    """
    nowhere = Point(zeros, np.full(like.shape, np.inf, like.dtype), zeros)
    memory = jax.tree.map(lambda a: np.zeros((MEMORY, *a.shape), a.dtype), zeros)
    none = np.zeros(like.shape, np.int32)
    return State(nowhere, zeros, memory, memory, none, np.ones(like.shape, like.dtype), none)


def wanted(state: State) -> Coordinates:
    """Where the energy should be evaluated next."""
    return jax.tree.map(lambda x, move: x + move, state.point.x, state.move)


def told(
    state: State,
    new: Point,
    space: Space,
    precondition: Callable[[Coordinates], Coordinates],
    max_move: float | jax.Array,
    active: jax.Array | bool = True,
) -> State:
    """What is wanted after the energy at `wanted` is known; crystals that are not active keep their state.

    A step that raises the energy beyond rounding, or finds no number, is taken back and the next one halved.

    Args:
      state: Before.
      new: The configuration that was wanted, evaluated.
      space: What belongs to which crystal.
      precondition: First guess of the inverse Hessian, applied to a gradient.
      max_move: Longest step, Å.
      active: Which crystals go on.

    Source:
      Nocedal & Wright, Numerical Optimization, alg. 7.4.
    """
    old, move, half = state.point, state.move, jnp.multiply(0.5, state.scale)
    is_number = jnp.isfinite(new.energy) & jnp.isfinite(space.inner(new.gradient, new.gradient))
    noise = 16 * jnp.finfo(new.energy.dtype).eps * jnp.abs(new.energy)
    is_lower = (new.energy <= old.energy + noise) & is_number & active
    change = jax.tree.map(jnp.subtract, new.gradient, old.gradient)
    is_useful = is_number & active & (space.inner(move, change) > 1e-12 * space.inner(move, move))

    def push(memory: Coordinates, row: Coordinates) -> Coordinates:
        rolled = jax.tree.map(lambda m, r: jnp.concatenate([r[None], m[:-1]]), memory, row)
        return jax.vmap(lambda a, b: space.choose(is_useful, a, b))(rolled, memory)

    point = Point(
        space.choose(is_lower, new.x, old.x),
        jnp.where(is_lower, new.energy, old.energy),
        space.choose(is_lower, new.gradient, old.gradient),
    )
    state = State(
        point=point,
        move=move,
        moves=push(state.moves, move),
        changes=push(state.changes, change),
        n_pair=state.n_pair + is_useful,
        scale=jnp.where(active, jnp.where(is_lower, jnp.ones_like(half), half), jnp.asarray(state.scale)),
        n_step=state.n_step + jnp.asarray(active, jnp.int32),
    )
    return state._replace(move=_next_move(state, space, precondition, max_move, active))


def _next_move(state: State, space: Space, precondition: Callable, max_move: float | jax.Array, active: jax.Array | bool) -> Coordinates:
    negative = lambda x: jax.tree.map(jnp.negative, x)
    move = negative(_two_loop(state, space, precondition))
    is_downhill = space.inner(move, state.point.gradient) < 0
    move = space.choose(is_downhill, move, negative(precondition(state.point.gradient)))
    scale = jnp.minimum(state.scale, max_move / (space.reach(move) + 1e-30))
    return space.times(jnp.where(active, scale, jnp.zeros_like(scale)), move)


def _two_loop(state: State, space: Space, precondition: Callable) -> Coordinates:
    """The inverse Hessian times the gradient, from the remembered steps; empty memory counts for nothing."""
    inner = jnp.asarray(jax.vmap(space.inner)(state.moves, state.changes))
    is_convex = inner > 0
    rho = jnp.where(is_convex, jnp.reciprocal(jnp.where(is_convex, inner, jnp.ones_like(inner))), jnp.zeros_like(inner))
    add = lambda x, number, y: jax.tree.map(jnp.add, x, space.times(number, y))

    def down(q, pair):
        move, change, rho = pair
        alpha = rho * space.inner(move, q)
        return add(q, -alpha, change), alpha

    def up(q, pair):
        (move, change, rho), alpha = pair
        return add(q, alpha - rho * space.inner(change, q), move), None

    memory = (state.moves, state.changes, rho)
    q, alphas = jax.lax.scan(down, state.point.gradient, memory)  # newest first
    newest = jax.tree.map(lambda m: m[0], state.changes)
    softness = jnp.where(state.n_pair > 0, inner[0] / (space.inner(newest, precondition(newest)) + 1e-30), 1.0)
    return jax.lax.scan(up, space.times(softness, precondition(q)), (memory, alphas), reverse=True)[0]
