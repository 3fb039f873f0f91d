"""Materials as a tree: which choices are open at every partial alloy, and how many alloys lie behind each of them.

An alloy is built in a fixed order: first its lattice, then a count for each element in turn. So every alloy has exactly one
trajectory, any alloy from anywhere can be replayed, and counting by dynamic programming is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from matjax.simulate.prototypes import LATTICES

N_LATTICE = len(LATTICES)


class Tree(NamedTuple):
    """The open choices of a space and their share of its alloys.

    A trajectory is actions [n_step], n_step = 1 + n_element: the index of the lattice in LATTICES, then each element's count.
    A state is (step, atoms remaining, elements used): no more is needed to know what is open.

    log_prior: [n_step, n_site + 1, max_elements + 1, n_action] log of the share of the alloys below a state that lie behind an
    action; -inf where the action leads to none. Its product along a trajectory is 1 / (number of alloys).
    """

    log_prior: np.ndarray | jax.Array

    @property
    def n_step(self) -> int:
        """Choices per alloy."""
        return self.log_prior.shape[0]

    @property
    def n_site(self) -> int:
        """Atoms to hand out."""
        return self.log_prior.shape[1] - 1

    @property
    def n_action(self) -> int:
        """Width of a choice."""
        return self.log_prior.shape[3]


def grow(allowed: np.ndarray, lattices: np.ndarray, n_site: int, min_elements: int, max_elements: int) -> Tree:
    """The tree of all alloys within bounds.

    Args:
      allowed: Whether an element may have a count [n_element, n_action]; column 0 is "absent".
      lattices: Whether a lattice is open [n_lattice].
      n_site: Sum of the counts.
      min_elements: Fewest elements present.
      max_elements: Most elements present.

    Returns:
      The tree, float64. Where no alloy satisfies the bounds, every root choice is -inf.
    """
    n_element, n_action = allowed.shape
    log_prior = np.full((1 + n_element, n_site + 1, max_elements + 1, n_action), -np.inf)
    ways = np.zeros(())
    with np.errstate(divide="ignore", invalid="ignore"):
        for k, branch in _branches(allowed, n_site, min_elements, max_elements, float):
            ways = branch.sum(-1)
            log_prior[k + 1] = np.where(branch > 0, np.log(branch) - np.log(ways)[..., None], -np.inf)
    if ways[n_site, 0] > 0:
        log_prior[0, n_site, 0, :N_LATTICE] = np.where(lattices, -np.log(lattices.sum()), -np.inf)
    return Tree(log_prior)


def count_leaves(allowed: np.ndarray, lattices: np.ndarray, n_site: int, min_elements: int, max_elements: int) -> int:
    """How many alloys there are within bounds, exactly (arguments as in `grow`)."""
    ways = np.zeros((n_site + 1, max_elements + 1), object)
    for _, branch in _branches(allowed, n_site, min_elements, max_elements, object):
        ways = branch.sum(-1)
    return int(ways[n_site, 0]) * int(lattices.sum())


def _branches(allowed: np.ndarray, n_site: int, min_elements: int, max_elements: int, dtype: type) -> Iterator[tuple[int, np.ndarray]]:
    """From the last element to the first: alloys [remaining, used, action] behind each choice, by dynamic programming."""
    ways = np.zeros((n_site + 1, max_elements + 1), dtype)
    ways[0, min_elements:] = 1
    for k in reversed(range(len(allowed))):
        branch = np.zeros((*ways.shape, allowed.shape[1]), dtype)
        for count in np.flatnonzero(allowed[k, : n_site + 1]):
            is_present = int(count > 0)
            branch[count:, : max_elements + 1 - is_present, count] = ways[: n_site + 1 - count, is_present:]
        yield k, branch
        ways = branch.sum(-1)


class State(NamedTuple):
    """A batch of partial alloys at one step.

    remaining: atoms left [n]; used: elements present [n]; lattice: index in LATTICES [n], -1 before it is chosen; counts [n, n_element].
    """

    remaining: jax.Array
    used: jax.Array
    lattice: jax.Array
    counts: jax.Array


def reset(tree: Tree, n: int) -> State:
    """The state in which nothing is chosen, n times."""
    whole = jnp.full(n, tree.n_site, jnp.int32)
    return State(whole, jnp.zeros(n, jnp.int32), jnp.full(n, -1, jnp.int32), jnp.zeros((n, tree.n_step - 1), jnp.int32))


def legal(tree: Tree, index: int | jax.Array, state: State) -> jax.Array:
    """Log prior of each action [n, n_action] at step `index`; -inf where the action is closed."""
    return jnp.asarray(tree.log_prior)[index, state.remaining, state.used]


def step(index: int | jax.Array, state: State, action: jax.Array) -> State:
    """The state after `action` [n] at step `index`."""
    is_lattice = jnp.asarray(index) == 0
    count = jnp.where(is_lattice, 0, action)
    column = jnp.arange(state.counts.shape[1])[None, :] == jnp.asarray(index) - 1
    return State(
        remaining=state.remaining - count,
        used=state.used + (count > 0),
        lattice=jnp.where(is_lattice, action, state.lattice),
        counts=jnp.where(column, count[:, None], state.counts),
    )


def prefixes(tree: Tree, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Atoms remaining and elements used [n, n_step] before each step of trajectories [n, n_step]."""
    counts = jnp.concatenate([jnp.zeros_like(actions[:, :1]), actions[:, 1:]], 1)
    before = lambda x: jnp.cumsum(x, 1) - x
    return tree.n_site - before(counts), before((counts > 0).astype(jnp.int32))


def priors(tree: Tree, actions: jax.Array) -> jax.Array:
    """Log prior of every action [n, n_step, n_action] along trajectories [n, n_step]."""
    remaining, used = prefixes(tree, actions)
    steps = jnp.broadcast_to(jnp.arange(tree.n_step)[None, :], remaining.shape)
    return jnp.asarray(tree.log_prior)[steps, remaining, used]
