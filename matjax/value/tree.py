"""Materials as a tree: which choices are open at every partial material, and how many materials lie behind each of them.

A material is built in a fixed order: first its structure, then a count for each element in turn, on each orbit of the structure in turn.
So every material has exactly one trajectory, any material from anywhere can be replayed, and counting by dynamic programming is exact.
What is open depends on the past through a node of a finite automaton alone, so a tree is a few arrays.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = np.ndarray | jax.Array


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("log_prior", "next_node", "left", "used", "share"),
    meta_fields=("n_element", "max_elements", "n_grid"),
)
@dataclasses.dataclass(frozen=True, eq=False)
class Tree:
    """The open choices of a space and their share of its materials.

    A trajectory is actions [n_step], n_step = 1 + n_element * n_orbit: the index of the structure, then the count of the first element
    on each orbit, then of the second, and so on. It starts at node 0.

    Attributes:
      log_prior: [n_step, n_node, n_action] log of the share of the materials below a node that lie behind an action; -inf where the
        action leads to none. Its product along a trajectory is 1 / (number of materials).
      next_node: [n_step, n_node, n_action] the node before the next step; anything where the action is closed.
      left: [n_step, n_node] share of the orbit in turn that is still to be handed out.
      used: [n_step, n_node] elements present so far.
      share: [n_structure, n_orbit] share of a material's atoms that one count on an orbit stands for; 0 where there is no such orbit.
      n_element: Number of elements.
      max_elements: Most elements in a material.
      n_grid: Counts on a full orbit.
    """

    log_prior: Array
    next_node: Array
    left: Array
    used: Array
    share: Array
    n_element: int
    max_elements: int
    n_grid: int

    @property
    def n_step(self) -> int:
        """Choices per material."""
        return self.log_prior.shape[0]

    @property
    def n_action(self) -> int:
        """Width of a choice."""
        return self.log_prior.shape[2]

    @property
    def n_structure(self) -> int:
        """Structures, closed ones included."""
        return self.share.shape[0]

    @property
    def n_orbit(self) -> int:
        """Most orbits of a structure."""
        return self.share.shape[1]

    def on_device(self) -> Tree:
        """The tree with float32 and int32 arrays of JAX."""
        real = {name: jnp.asarray(getattr(self, name), jnp.float32) for name in ("log_prior", "left", "share")}
        whole = {name: jnp.asarray(getattr(self, name), jnp.int32) for name in ("next_node", "used")}
        return dataclasses.replace(self, **real, **whole)


class State(NamedTuple):
    """A batch of partial materials at one step.

    node: of the automaton [n]; structure: its index [n], -1 before it is chosen; counts [n, n_element * n_orbit].
    """

    node: jax.Array
    structure: jax.Array
    counts: jax.Array


def reset(tree: Tree, n: int) -> State:
    """The state in which nothing is chosen, n times."""
    return State(jnp.zeros(n, jnp.int32), jnp.full(n, -1, jnp.int32), jnp.zeros((n, tree.n_step - 1), jnp.int32))


def legal(tree: Tree, index: int | jax.Array, state: State) -> jax.Array:
    """Log prior of each action [n, n_action] at step `index`; -inf where the action is closed."""
    return jnp.asarray(tree.log_prior)[index, state.node]


def step(tree: Tree, index: int | jax.Array, state: State, action: jax.Array) -> State:
    """The state after `action` [n] at step `index`."""
    is_structure = jnp.asarray(index) == 0
    column = jnp.arange(state.counts.shape[1])[None, :] == jnp.asarray(index) - 1
    return State(
        node=jnp.asarray(tree.next_node)[index, state.node, action],
        structure=jnp.where(is_structure, action, state.structure),
        counts=jnp.where(column, action[:, None], state.counts),
    )


def nodes(tree: Tree, actions: jax.Array) -> jax.Array:
    """The node [n, n_step] before each step of trajectories [n, n_step]."""

    def move(node: jax.Array, at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        onward, action = at
        return onward[node, action], node

    first = jnp.zeros(len(actions), jnp.int32)
    return jax.lax.scan(move, first, (jnp.asarray(tree.next_node, jnp.int32), actions.T))[1].T


def priors(tree: Tree, before: jax.Array) -> jax.Array:
    """Log prior of every action [n, n_step, n_action] at the nodes [n, n_step] before the steps of trajectories."""
    return jnp.asarray(tree.log_prior)[jnp.arange(tree.n_step)[None, :], before]
