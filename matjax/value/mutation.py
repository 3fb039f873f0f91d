"""Variation of materials: swap two elements, move atoms, change the structure, cross two parents; and repair to what the space allows."""

from __future__ import annotations

import numpy as np

from matjax.value.space import Space


def repair(space: Space, actions: np.ndarray) -> np.ndarray:
    """The materials nearest to what is wanted, choice by choice: a walk down the tree that takes the nearest open action.

    A material of the space comes back unchanged. A wanted presence (count > 0) is kept before a wanted count.

    Args:
      space: The materials.
      actions: Wanted trajectories [n, n_step], any integers.

    Returns:
      Trajectories [n, n_step] of materials of the space.
    """
    tree = space.tree
    action, wanted = np.arange(tree.n_action)[None, :], np.asarray(actions)
    found = np.zeros(wanted.shape, np.int32)
    log_prior, next_node, node = np.asarray(tree.log_prior), np.asarray(tree.next_node), np.zeros(len(wanted), int)
    for t in range(tree.n_step):
        distance = np.abs(action - wanted[:, t, None]) + 2.0 * ((action > 0) != (wanted[:, t, None] > 0)) * (t > 0)
        closed = ~np.isfinite(log_prior[t, node])
        found[:, t] = np.argmin(np.where(closed, np.inf, distance), 1)
        node = next_node[t, node, found[:, t]]
    return found


def mutate(space: Space, parents: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One change to each parent [n, n_step].

    On an orbit, two elements swap their counts or atoms move from one to another; or the structure changes. Where there are several
    orbits, also two elements swap all their places, and two orbits swap all that sits on them.

    Returns:
      Children [n, n_step], materials of the space.
    """
    n, n_orbit = len(parents), space.tree.n_orbit
    rows, structure, counts = np.arange(n), parents[:, 0].copy(), parents[:, 1:].copy()
    giver, orbit = _pick(counts > 0, rng), np.arange(counts.shape[1])[None, :] % n_orbit
    other = (np.arange(counts.shape[1])[None, :] != giver[:, None]) & (orbit == giver[:, None] % n_orbit)
    anyone, present = _pick(other, rng), _pick(other & (counts > 0), rng)
    kind = rng.choice(5, n, p=_shares(n_orbit, int(space.open_structures.sum())))
    swap, move, turn, exchange, mirror = (kind == k for k in range(5))
    counts[rows[swap], giver[swap]] = parents[rows[swap], 1 + anyone[swap]]
    counts[rows[swap], anyone[swap]] = parents[rows[swap], 1 + giver[swap]]
    taker = np.where(rng.random(n) < 0.8, present, anyone)
    amount = np.minimum(rng.choice((1, 2, 3), n, p=(0.7, 0.2, 0.1)), parents[rows, 1 + giver]) * move
    np.subtract.at(counts, (rows, giver), amount)
    np.add.at(counts, (rows, taker), amount)
    structure[turn] = rng.choice(np.flatnonzero(space.open_structures), turn.sum())
    if n_orbit > 1:
        grid = counts.reshape(n, -1, n_orbit)
        here, there = np.where(exchange, giver // n_orbit, 0), np.where(exchange, anyone // n_orbit, 0)
        grid[rows, here], grid[rows, there] = grid[rows, there], grid[rows, here]
        one = np.where(mirror, giver % n_orbit, 0)
        two = np.where(mirror, (one + rng.integers(1, n_orbit, n)) % n_orbit, 0)
        grid[rows, :, one], grid[rows, :, two] = grid[rows, :, two], grid[rows, :, one]
    return repair(space, np.concatenate([structure[:, None], counts], 1))


def _shares(n_orbit: int, n_structure: int) -> tuple[float, ...]:
    """How often each kind of change is made: swap, move, structure, elements everywhere, orbits."""
    if n_orbit == 1:
        return (0.4, 0.5, 0.1, 0.0, 0.0) if n_structure > 1 else (0.45, 0.55, 0.0, 0.0, 0.0)
    return (0.25, 0.35, 0.1, 0.2, 0.1) if n_structure > 1 else (0.3, 0.4, 0.0, 0.2, 0.1)


def cross(space: Space, mothers: np.ndarray, fathers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Children [n, n_step] that take the structure and each count from one parent or the other, repaired to materials of the space."""
    return repair(space, np.where(rng.random(mothers.shape) < 0.5, mothers, fathers))


def _pick(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One True column per row [n], each equally likely (any column where there is none)."""
    return np.argmax(np.where(mask, rng.random(mask.shape), -1.0), 1)
