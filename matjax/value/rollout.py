"""Walks down the tree under a policy: replay, independent draws, and draws without repetition."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from matjax.value.network import Params, Partly, score, vocabulary
from matjax.value.tree import State, Tree, legal, nodes, priors, reset, step

Beams = tuple[State, jax.Array, jax.Array, jax.Array]


def log_policy(scores: jax.Array, log_prior: jax.Array) -> jax.Array:
    """Log probability of each action [..., n_action]: softmax of log prior + score over the open actions, -inf elsewhere."""
    return jax.nn.log_softmax(jnp.where(jnp.isfinite(log_prior), scores + log_prior, -jnp.inf), -1)


def along(params: Params, numbers: jax.Array, tree: Tree, actions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What a policy says of every choice along given trajectories.

    Args:
      params: Parameters of the scorer.
      numbers: Atomic numbers [n_element].
      tree: The tree.
      actions: Trajectories [n, n_step], open at every step.

    Returns:
      log pi and log pi0 of all actions [n, n_step, n_action], and value / tau of the state before each step [n, n_step].
    """
    n, n_step = actions.shape
    elements, words = vocabulary(params, numbers, tree.n_orbit)
    counts, share = actions[:, 1:].reshape(n, tree.n_element, tree.n_orbit, 1), jnp.asarray(tree.share)[actions[:, 0]][:, None, :, None]
    index, before = jnp.broadcast_to(jnp.arange(n_step)[None, :], (n, n_step)), nodes(tree, actions)
    from_root = lambda x: jnp.concatenate([jnp.zeros_like(x[:, :1]), x], 1)
    words_of = elements[None, :, None, :]
    placed = (counts * share * words_of).reshape(n, n_step - 1, -1)
    pooled, on_orbit = from_root(jnp.cumsum(placed, 1) - placed), None
    if tree.n_orbit > 1:
        sits = counts / tree.n_grid * words_of
        on_orbit = from_root((jnp.cumsum(sits, 1) - sits).reshape(n, n_step - 1, -1))
    flat = lambda x: x.reshape(n * n_step, *x.shape[2:])
    structure = jnp.where(index == 0, -1, actions[:, :1])
    partly = Partly(flat(index), flat(before), flat(structure), flat(pooled), None if on_orbit is None else flat(on_orbit))
    scores, value = score(params, tree, words, partly)
    prior = priors(tree, before)
    return log_policy(scores.reshape(prior.shape), prior), prior, value.reshape(n, n_step)


@jax.jit
def replay(params: Params, numbers: jax.Array, tree: Tree, actions: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What a policy says of given trajectories, exactly (arguments as in `along`).

    Returns:
      log pi and log pi0 of the actions taken [n, n_step], and value / tau of the state before each step [n, n_step].
    """
    log_pi, log_pi0, value = along(params, numbers, tree, actions)
    taken = lambda x: jnp.take_along_axis(x, actions[..., None], -1)[..., 0]
    return taken(log_pi), taken(log_pi0), value


def _choices(params: Params, tree: Tree, numbers: jax.Array, index: jax.Array, state: State, explore: jax.Array | float) -> jax.Array:
    """Log probability of each action [n, n_action] under (1 - explore) pi + explore pi0."""
    elements, words = vocabulary(params, numbers, tree.n_orbit)
    n = len(state.node)
    counts = state.counts.reshape(n, tree.n_element, tree.n_orbit).astype(elements.dtype)
    pooled, on_orbit = jnp.einsum("neo,no->ne", counts, jnp.asarray(tree.share)[state.structure]) @ elements, None
    if tree.n_orbit > 1:
        on_orbit = counts[:, :, (index - 1) % tree.n_orbit] / tree.n_grid @ elements
    scores, _ = score(params, tree, words, Partly(jnp.broadcast_to(index, (n,)), state.node, state.structure, pooled, on_orbit))
    prior = legal(tree, index, state)
    return jnp.logaddexp(log_policy(scores, prior) + jnp.log1p(-explore), prior + jnp.log(explore))


@partial(jax.jit, static_argnames="n")
def draw(params: Params, numbers: jax.Array, tree: Tree, within: Tree, n: int, key: jax.Array) -> jax.Array:
    """Independent draws from a policy that is held inside a part of its tree: trajectories [n, n_step].

    At every step the policy is renormalised over the actions that are open in `within` (the tree itself: plain draws).
    """

    def move(state: State, at: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array]:
        index, key = at
        choices = jnp.where(jnp.isfinite(legal(within, index, state)), _choices(params, tree, numbers, index, state, 0.0), -jnp.inf)
        action = jax.random.categorical(key, choices)
        return step(tree, index, state, action), action

    at = (jnp.arange(tree.n_step), jax.random.split(key, tree.n_step))
    return jax.lax.scan(move, reset(tree, n), at)[1].T


@partial(jax.jit, static_argnames="n")
def draw_distinct(
    params: Params, numbers: jax.Array, tree: Tree, n: int, explore: jax.Array | float, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Draws without repetition, in order: each is drawn from the policy restricted to the materials not drawn before.

    The policy is mixed with the prior at every step: (1 - explore) pi + explore pi0.

    Returns:
      Trajectories [n, n_step] and their log probability [n]; -inf marks places beyond the number of materials there are.

    Source:
      Kool, van Hoof & Welling (2019), Stochastic beams and where to find them, algorithm 1 and appendix B.3.
    """

    def move(carry: Beams, at: tuple[jax.Array, jax.Array]) -> tuple[Beams, None]:
        state, actions, log_p, height = carry
        index, key = at
        child_p = log_p[:, None] + _choices(params, tree, numbers, index, state, explore)
        child_p = jnp.where(jnp.isfinite(log_p)[:, None], child_p, -jnp.inf)
        heights = _condition(child_p + jax.random.gumbel(key, child_p.shape), height)
        height, best = jax.lax.top_k(heights.ravel(), n)
        beam, action = best // child_p.shape[1], best % child_p.shape[1]
        state = step(tree, index, jax.tree.map(lambda x: x[beam], state), action)
        return (state, actions[beam].at[:, index].set(action), child_p.ravel()[best], height), None

    first = jnp.where(jnp.arange(n) == 0, 0.0, -jnp.inf)
    carry = (reset(tree, n), jnp.zeros((n, tree.n_step), jnp.int32), first, first)
    at = (jnp.arange(tree.n_step), jax.random.split(key, tree.n_step))
    (_, actions, log_p, _), _ = jax.lax.scan(move, carry, at)
    return actions, log_p


def _condition(heights: jax.Array, top: jax.Array) -> jax.Array:
    """Gumbel heights [n, n_action] moved so that the highest of each row is `top` [n], in their joint distribution given that."""
    is_open = jnp.isfinite(heights)
    highest = jnp.max(heights, 1, keepdims=True)
    safe = jnp.where(is_open, heights, 0.0)
    gap = jnp.where(is_open, safe - jnp.where(jnp.isfinite(highest), highest, 0.0), -1.0)  # <= 0, zero at the highest
    top = jnp.where(jnp.isfinite(top), top, 0.0)[:, None]
    v = top - safe + jnp.where(gap < 0, jnp.log(-jnp.expm1(jnp.minimum(gap, -1e-30))), -jnp.inf)
    moved = top - jnp.maximum(v, 0.0) - jnp.log1p(jnp.exp(-jnp.abs(v)))
    return jnp.where(is_open, moved, -jnp.inf)
