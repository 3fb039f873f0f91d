"""The part of a batched relaxation that runs on the device: many crystals side by side in one packed graph, until the host is needed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from matjax.nn import Model
from matjax.simulate.network import displaced, energies
from matjax.simulate.quasi_newton import Point, Space, State, start, told, wanted
from matjax.simulate.relax import LEVER, MODULI, SHORTEST, Cell, cauchy_stress, free_strain
from matjax.types import Graph

STIFFNESS = 15.0
"""Of an atom in its cage, eV/Å²: the first guess of how atoms resist."""

REFILL = 0.25
"""Share of the crystals that may have come to rest before new ones take their places."""


class Goal(NamedTuple):
    """Where a relaxation ends: max_force eV/Å, max_stress eV/Å³, n_step evaluations; max_move: longest move of an atom in a step, Å."""

    max_force: jax.Array | float
    max_stress: jax.Array | float
    n_step: jax.Array | int
    max_move: jax.Array | float


class Report(NamedTuple):
    """What the host needs of a round, per crystal: [n_graph].

    force: eV/Å; stress: eV/Å³; active: still to be relaxed; drift: how much of the skin the next step uses up, Å.
    """

    force: jax.Array
    stress: jax.Array
    active: jax.Array
    drift: jax.Array


Coordinates = tuple[jax.Array, jax.Array]
"""Displacements [n_node, 3] and strains [n_graph, 3, 3]; positions are (x_0 + u) (1 + strain)."""


_ROWS = State(
    Point(("node 0", "graph 0"), "graph 0", ("node 0", "graph 0")),
    ("node 0", "graph 0"),
    ("node 1", "graph 1"),
    ("node 1", "graph 1"),
    "graph 0",
    "graph 0",
    "graph 0",
)  # pyright: ignore[reportArgumentType]  (a state of words: what the rows of each array stand for, and along which axis)


def blank(n_node: int, n_graph: int = 1) -> State:
    """The state of crystals whose relaxation has not begun (NumPy)."""
    dtype = jax.dtypes.canonicalize_dtype(float)
    return start((np.zeros((n_node, 3), dtype), np.zeros((n_graph, 3, 3), dtype)), np.zeros(n_graph, dtype))


def joined(states: Sequence[State]) -> State:
    """The state of crystals side by side."""
    return jax.tree.map(lambda rows, *parts: np.concatenate(parts, axis=int(rows[-1])), _ROWS, *states)


def split(state: State, n_atom: Sequence[int]) -> list[State]:
    """The states of the first crystals of a batch (NumPy)."""
    state, last = jax.tree.map(np.asarray, state), np.cumsum(n_atom)

    def part(i: int) -> State:
        where = {"node": slice(last[i] - n_atom[i], last[i]), "graph": slice(i, i + 1)}
        return jax.tree.map(lambda rows, x: x[where[rows[:-2]]] if rows[-1] == "0" else x[:, where[rows[:-2]]], _ROWS, state)

    return [part(i) for i in range(len(n_atom))]


@functools.partial(jax.jit, static_argnames=("model", "cell"))
def relax_round(
    variables: Any,
    graph: Graph,
    listed: Coordinates,
    state: State,
    goal: Goal,
    skin: jax.Array | float,
    is_hungry: jax.Array | bool,
    *,
    model: Model,
    cell: Cell,
) -> tuple[State, Report]:
    """Relaxes until all crystals are at rest, one is about to leave its neighbour list, or enough are done to make room.

    Args:
      variables: Of the members; their mean energy is minimised.
      graph: Packed batch whose edge vectors are those of the undisplaced crystals, edges as far as cutoff + skin at `listed`.
      listed: Where each crystal's neighbours were looked up.
      state: Of the minimisation.
      goal: Where it ends.
      skin: In Å.
      is_hungry: Whether there are crystals left to take the places of those that are done.
      model: The network.
      cell: What is free.
    """
    n_graph, n_node = graph.n_node.shape[0], graph.nodes.mask.shape[0]
    owner = jnp.repeat(jnp.arange(n_graph), graph.n_node, total_repeat_length=n_node)
    over = lambda reduce, x: reduce(x, owner, n_graph, indices_are_sorted=True)
    eye = jnp.eye(3, dtype=state.scale.dtype)[None]
    volume, mask = graph.globals.volume, graph.globals.mask
    length = lambda x: jnp.sqrt(jnp.sum(x * x, axis=-1))
    project = jax.vmap(functools.partial(free_strain, cell=cell))

    def evaluate(x: Coordinates) -> Point:
        def total(x: Coordinates) -> tuple[jax.Array, jax.Array]:
            energy = energies(model, variables, displaced(graph, x[0], eye + x[1])).mean(0)
            return jnp.sum(energy, where=mask), energy

        (_, energy), (push, strain) = jax.value_and_grad(total, has_aux=True)(x)
        return Point(x, energy, (push * graph.nodes.mask[:, None], project(strain * mask[:, None, None])))

    def report(state: State) -> Report:
        deformation = eye + state.point.x[1]
        force = jnp.einsum("ni,nji->nj", state.point.gradient[0], jnp.linalg.inv(deformation)[owner])
        force = over(jax.ops.segment_max, length(force))
        stress = jnp.abs(jax.vmap(cauchy_stress)(state.point.gradient[1], deformation, volume)).max((1, 2))
        is_done = (force <= goal.max_force) & (stress <= goal.max_stress) & jnp.isfinite(state.point.energy)
        active = mask & ~is_done & (state.n_step < goal.n_step) & (state.scale > SHORTEST)
        return Report(force, stress, active, jnp.where(active, _drift(wanted(state)), 0.0))

    def _drift(x: Coordinates) -> jax.Array:
        before = eye + listed[1]
        apart = jnp.einsum("ni,nij->nj", x[0] - listed[0], before[owner])
        turned = jnp.linalg.solve(eye + x[1], before) - eye
        return 2 * over(jax.ops.segment_max, length(apart)) + model.cutoff * jnp.sqrt(jnp.square(turned).sum((1, 2)))

    def precondition(gradient: Coordinates) -> Coordinates:
        isotropic = jnp.trace(gradient[1], axis1=1, axis2=2)[:, None, None] / 3 * eye
        bulk, shear = (modulus * volume[:, None, None] for modulus in MODULI)
        return gradient[0] / STIFFNESS, isotropic / (3 * bulk) + (gradient[1] - isotropic) / (2 * shear)

    space = Space(
        inner=lambda a, b: over(jax.ops.segment_sum, (a[0] * b[0]).sum(1)) + (a[1] * b[1]).sum((1, 2)),
        spread=lambda number: (number[owner][:, None], number[:, None, None]),
        reach=lambda x: jnp.sqrt(over(jax.ops.segment_max, jnp.square(x[0]).sum(1)) + LEVER**2 * jnp.square(x[1]).sum((1, 2))),
    )

    def step(carried: tuple[State, Report]) -> tuple[State, Report]:
        state, found = carried
        state = told(state, evaluate(wanted(state)), space, precondition, goal.max_move, found.active)
        return state, report(state)

    def is_open(carried: tuple[State, Report]) -> jax.Array:
        active, drift = carried[1].active, carried[1].drift
        is_full = ~is_hungry | (active.sum() >= (1 - REFILL) * mask.sum())
        return jnp.any(active) & is_full & jnp.all(drift <= skin)  # a drift that is no number goes to the host

    return jax.lax.while_loop(is_open, step, (state, report(state)))
