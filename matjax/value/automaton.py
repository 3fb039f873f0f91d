"""From the rules of a space to its tree: count what lies behind every choice; and walks down the tree on the host."""

from __future__ import annotations

import dataclasses

import numpy as np

from matjax.value.tree import Tree


def counted(tree: Tree, is_open: np.ndarray, is_end: np.ndarray) -> Tree:
    """A tree with the prior under which every material is equally likely.

    Args:
      tree: Where choices lead; its prior is not read.
      is_open: Whether a choice may be made [n_step, n_node, n_action].
      is_end: Whether a node after the last step is a material [n_node].

    Returns:
      The tree, float64. Where no material satisfies the rules, every first choice is -inf.
    """
    log_prior = np.full(tree.log_prior.shape, -np.inf)
    ways = np.asarray(is_end, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        for t in reversed(range(tree.n_step)):
            branch = np.where(is_open[t], ways[np.asarray(tree.next_node[t])], 0.0)
            ways = branch.sum(-1)
            log_prior[t] = np.where(branch > 0, np.log(branch) - np.log(ways)[:, None], -np.inf)
    return dataclasses.replace(tree, log_prior=log_prior)


def within(tree: Tree, is_open: np.ndarray) -> Tree:
    """The part of a tree whose choices are open [n_step, n_node or 1, n_action], counted anew."""
    last, end = np.isfinite(tree.log_prior[-1]), np.zeros(tree.log_prior.shape[1], bool)
    end[np.asarray(tree.next_node[-1])[last]] = True
    return counted(tree, np.isfinite(tree.log_prior) & is_open, end)


def n_leaf(tree: Tree) -> int:
    """How many materials a tree has, exactly."""
    ways = np.ones(tree.log_prior.shape[1], object)
    for t in reversed(range(tree.n_step)):
        ways = np.where(np.isfinite(tree.log_prior[t]), ways[np.asarray(tree.next_node[t])], 0).sum(-1)
    return int(ways[0])


def follow(tree: Tree, actions: np.ndarray) -> np.ndarray:
    """How many choices [n] of trajectories [n, n_step], any integers, are open one after the other; n_step for a material."""
    node, length, alive = np.zeros(len(actions), int), np.zeros(len(actions), int), np.ones(len(actions), bool)
    for t in range(tree.n_step):
        action = np.clip(actions[:, t], 0, tree.n_action - 1)
        alive = alive & (action == actions[:, t]) & np.isfinite(tree.log_prior[t, node, action])
        length += alive
        node = np.where(alive, np.asarray(tree.next_node)[t, node, action], 0)
    return length


def sample(tree: Tree, n: int, rng: np.random.Generator) -> np.ndarray:
    """Independent draws by the prior: trajectories [n, n_step]."""
    actions, node = np.zeros((n, tree.n_step), np.int32), np.zeros(n, int)
    for t in range(tree.n_step):
        upto = np.cumsum(np.exp(np.asarray(tree.log_prior)[t, node]), 1)
        actions[:, t] = np.argmax(upto > (rng.random(n) * upto[:, -1])[:, None], 1)
        node = np.asarray(tree.next_node)[t, node, actions[:, t]]
    return actions


def enumerate_leaves(tree: Tree, limit: int) -> np.ndarray:
    """Every material once, in the order of the tree: trajectories [n_leaf, n_step].

    Raises:
      ValueError: If there are more than `limit`.
    """
    if (n := n_leaf(tree)) > limit:
        raise ValueError(f"the space has {n:,} materials, more than the limit of {limit:,}; sample it, or raise `limit`")
    actions, node = np.zeros((1, 0), np.int32), np.zeros(1, int)
    for t in range(tree.n_step):
        row, action = np.nonzero(np.isfinite(np.asarray(tree.log_prior)[t, node]))
        actions = np.concatenate([actions[row], action[:, None].astype(np.int32)], 1)
        node = np.asarray(tree.next_node)[t, node[row], action]
    return actions
