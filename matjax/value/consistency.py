"""Path consistency: what a policy and its values must satisfy, as a loss, and the descent on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from matjax.value.network import Params
from matjax.value.rollout import replay
from matjax.value.tree import Tree

Loss = Callable[..., jax.Array]
"""(params, numbers, tree, *batch) -> loss."""


def _gaps(params: Params, numbers: jax.Array, tree: Tree, actions: jax.Array, targets: jax.Array) -> jax.Array:
    """V(s_t) / tau + sum over t' >= t of [log pi - log pi0] - r / tau for every beginning of trajectories [n, n_step]."""
    log_pi, log_pi0, value = replay(params, numbers, tree, actions)
    suffix = jnp.cumsum((log_pi - log_pi0)[:, ::-1], 1)[:, ::-1]
    return value + suffix - targets[:, None]


def over_suffixes(params: Params, numbers: jax.Array, tree: Tree, actions: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean square inconsistency over all beginnings of trajectories [n, n_step]; targets are r / tau [n].

    Source:
      Nachum et al. (2017), Bridging the gap between value and policy based reinforcement learning, with suffixes that reach the end.
    """
    return jnp.mean(_gaps(params, numbers, tree, actions, targets) ** 2)


def over_trajectories(params: Params, numbers: jax.Array, tree: Tree, actions: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean square inconsistency of whole trajectories: trajectory balance, with V(root) for log Z (arguments as in `over_suffixes`).

    Source:
      Malkin et al. (2022), Trajectory balance: improved credit assignment in GFlowNets, on a tree, where the backward policy is 1.
    """
    return jnp.mean(_gaps(params, numbers, tree, actions, targets)[:, 0] ** 2)


LOSSES: dict[str, Loss] = {"suffix": over_suffixes, "trajectory": over_trajectories}


def optimizer(learning_rate: float | jax.Array, n_step: float | jax.Array, clip: float | jax.Array) -> optax.GradientTransformation:
    """Adam with clipped gradients; its step size falls to zero in a cosine over n_step steps."""

    def schedule(count: jax.typing.ArrayLike) -> jax.Array:
        return learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(jnp.asarray(count) / n_step, 1.0)))

    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(schedule))  # type: ignore[arg-type]


@partial(jax.jit, static_argnames="loss")
def descend(
    loss: Loss,
    state: tuple[Params, Any],
    numbers: jax.Array,
    tree: Tree,
    batches: tuple[jax.Array, ...],
    learning_rate: float | jax.Array,
    n_step: float | jax.Array,
    clip: float | jax.Array,
) -> tuple[tuple[Params, Any], jax.Array]:
    """One gradient step per row of every array of `batches`; the state (parameters, moments) and the losses [n_row]."""
    step = optimizer(learning_rate, n_step, clip)

    def move(state: tuple[Params, Any], batch: tuple[jax.Array, ...]) -> tuple[tuple[Params, Any], jax.Array]:
        params, moments = state
        value, gradient = jax.value_and_grad(loss)(params, numbers, tree, *batch)
        updates, moments = step.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moments), value  # type: ignore[return-value]

    return jax.lax.scan(move, state, batches)
