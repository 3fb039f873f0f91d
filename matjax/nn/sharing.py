"""Members that share parameters: a leaf whose member axis is one belongs to all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def over_members(function: Callable[[Any], Any], params: Any) -> Any:
    """`function` of every member's parameters, with a leading member axis.

    Full members come one after another, which keeps memory flat. Members that share leaves are mapped together, so that what
    depends on the shared leaves alone is worked out once: an ensemble of last layers costs one network forward.

    Args:
      function: Of one member's parameters.
      params: Leaves [n_member, ...], or [1, ...] where all members share them.
    """
    n_member = count(params)
    if all(leaf.shape[0] == n_member for leaf in jax.tree.leaves(params)):
        return jax.lax.map(function, params)
    shared = lambda leaf: leaf.shape[0] == 1
    axes = jax.tree.map(lambda leaf: None if shared(leaf) else 0, params)
    return jax.vmap(function, in_axes=(axes,))(jax.tree.map(lambda leaf: leaf[0] if shared(leaf) else leaf, params))


def repeated(params: Any, n_member: int) -> Any:
    """Parameters of `n_member` full members from fewer leaves: what is shared, or a single member, is given to each."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (n_member, *leaf.shape[1:])), params)


def count(params: Any) -> int:
    """Number of members."""
    return max(leaf.shape[0] for leaf in jax.tree.leaves(params))
