"""Variation of alloys: swap two elements, move atoms, change the lattice, cross two parents; and repair to what the space allows."""

from __future__ import annotations

import numpy as np

from matjax.value.space import Alloys


def repair(space: Alloys, actions: np.ndarray) -> np.ndarray:
    """The alloys nearest to what is wanted, choice by choice: a walk down the tree that takes the nearest open action.

    An alloy of the space comes back unchanged. A wanted presence (count > 0) is kept before a wanted count.

    Args:
      space: The alloys.
      actions: Wanted trajectories [n, n_step], any integers.

    Returns:
      Trajectories [n, n_step] of alloys of the space.
    """
    tree = space.tree
    action, wanted = np.arange(tree.n_action)[None, :], np.asarray(actions)
    found = np.zeros(wanted.shape, np.int32)
    remaining, used = np.full(len(wanted), space.n_site), np.zeros(len(wanted), int)
    for t in range(tree.n_step):
        distance = np.abs(action - wanted[:, t, None]) + 2.0 * ((action > 0) != (wanted[:, t, None] > 0)) * (t > 0)
        closed = ~np.isfinite(tree.log_prior[t, remaining, used])
        found[:, t] = np.argmin(np.where(closed, np.inf, distance), 1)
        if t:
            remaining, used = remaining - found[:, t], used + (found[:, t] > 0)
    return found


def mutate(space: Alloys, parents: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One change to each parent [n, n_step]: two elements swap their counts, or atoms move, or the lattice changes.

    Returns:
      Children [n, n_step], alloys of the space.
    """
    n = len(parents)
    rows, lattice, counts = np.arange(n), parents[:, 0].copy(), parents[:, 1:].copy()
    giver = _pick(counts > 0, rng)
    other = np.arange(counts.shape[1])[None, :] != giver[:, None]
    anyone, present = _pick(other, rng), _pick(other & (counts > 0), rng)
    kind = rng.choice(3, n, p=(0.4, 0.5, 0.1) if len(space.lattices) > 1 else (0.45, 0.55, 0.0))
    swap, move, turn = (kind == k for k in range(3))
    counts[rows[swap], giver[swap]] = parents[rows[swap], 1 + anyone[swap]]
    counts[rows[swap], anyone[swap]] = parents[rows[swap], 1 + giver[swap]]
    taker = np.where(rng.random(n) < 0.8, present, anyone)
    amount = np.minimum(rng.choice((1, 2, 3), n, p=(0.7, 0.2, 0.1)), parents[rows, 1 + giver]) * move
    np.subtract.at(counts, (rows, giver), amount)
    np.add.at(counts, (rows, taker), amount)
    lattice[turn] = rng.choice(np.flatnonzero(space.open_lattices()), turn.sum())
    return repair(space, np.concatenate([lattice[:, None], counts], 1))


def cross(space: Alloys, mothers: np.ndarray, fathers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Children [n, n_step] that take the lattice and each count from one parent or the other, repaired to alloys of the space."""
    return repair(space, np.where(rng.random(mothers.shape) < 0.5, mothers, fathers))


def _pick(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One True column per row [n], each equally likely (any column where there is none)."""
    return np.argmax(np.where(mask, rng.random(mask.shape), -1.0), 1)
