"""The value of what is only partly known: two elements together, three elements in a proportion, in any order.

The tree fixes an order of choices, so its own V speaks of beginnings only. Anything else is estimated from the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from matjax import keys
from matjax.value.automaton import within
from matjax.value.network import Params
from matjax.value.policy import Partial, Policy
from matjax.value.rollout import along, draw
from matjax.value.space import fixed
from matjax.value.tree import Tree, nodes, priors


class Estimate(NamedTuple):
    """Values [n] in units of the reward, NaN where no alloy of the space fits, and their Monte Carlo standard errors [n]."""

    value: np.ndarray
    error: np.ndarray


def partial_values(policy: Policy, partials: Sequence[Partial], key: jax.Array, n_sample: int = 512) -> Estimate:
    """What materials with given facts are worth: V(F) = tau log( mean of exp(r / tau) over the materials F ), r as the policy has it.

    With the reward that the policy stands for, r(x) = V(root) + tau log(pi(x) / pi0(x)), this is

      V(F) = V(root) + tau log( P_pi(F) / P_pi0(F) ),

    the log of how much more often the policy makes such a material than chance does. P_pi0(F) is counted exactly. P_pi(F) is estimated
    from draws inside F, half of them uniform (u), half by the policy renormalised at every choice over what keeps F possible (q):
    the mean of pi(x) / (u(x)/2 + q(x)/2), which is unbiased with bounded weights (q >= pi inside F). V(root) is the network's.

    Args:
      policy: The policy.
      partials: (structure or None, {element: count, or counts by orbit}) in any order; count 0 says that the element is absent.
      key: Random key.
      n_sample: Draws per entry.

    Raises:
      ValueError: If an element or structure is not of the space.
    """
    return _estimate(policy, [fixed(policy.space.tree, policy.space.choices(*p)) for p in partials], key, n_sample)


def pair_values(policy: Policy, key: jax.Array, n_sample: int = 512) -> np.ndarray:
    """The value of two elements together: V over all materials that contain both, whatever else [n_element, n_element].

    See `partial_values` for what V is and how it is estimated. The diagonal speaks of all materials that contain the element. NaN where
    no material of the space contains both. In units of the reward; symmetric.
    """
    n = len(policy.space.elements)
    pairs = [(i, j) for i in range(n) for j in range(i, n)]
    facts = [policy.space.contains_all([policy.space.elements[k] for k in pair]) for pair in pairs]
    values = np.full((n, n), np.nan)
    for (i, j), value in zip(pairs, _estimate(policy, facts, key, n_sample).value, strict=True):
        values[i, j] = values[j, i] = value
    return values


def ternary_values(
    policy: Policy, elements: tuple[str, str, str], steps: int, key: jax.Array, n_sample: int = 512
) -> list[tuple[float, float, float, float]]:
    """The value of three elements in a proportion: they share `steps` sites of the grid, the other sites are free for other elements.

    See `partial_values` for what V is and how it is estimated.

    Args:
      policy: The policy.
      elements: Three symbols A, B, C.
      steps: Sites that the three share out; 12 of 20 says 60 at.% of the alloy.
      key: Random key.
      n_sample: Draws per point.

    Returns:
      (a, b, c, value) with a + b + c = 1 for every way of sharing, value NaN where no alloy of the space fits.

    Raises:
      ValueError: If the elements are not three of the space, or there are fewer sites than `steps`.
    """
    tree = policy.space.tree
    if tree.n_orbit > 1:
        raise ValueError("a ternary map shares out the sites of one orbit; this space has several: ask `partial_values`")
    if len(set(elements)) != 3:
        raise ValueError(f"a ternary map needs three different elements; got {elements}")
    if not 1 <= steps <= tree.n_grid:
        raise ValueError(f"{steps} sites for three elements; allowed: 1 to {tree.n_grid}")
    shares = [(a, b, steps - a - b) for a in range(steps + 1) for b in range(steps + 1 - a)]
    values = partial_values(policy, [(None, dict(zip(elements, s, strict=True))) for s in shares], key, n_sample).value
    return [(a / steps, b / steps, c / steps, float(value)) for (a, b, c), value in zip(shares, values, strict=True)]


def _estimate(policy: Policy, facts: Sequence[np.ndarray], key: jax.Array, n_sample: int) -> Estimate:
    """Facts: which choices they leave open [n_step, n_node or 1, n_action]."""
    tree, numbers, n_draw = policy.tree, policy.numbers, max(n_sample // 2, 2)
    root, values, errors = float(policy.value([(None, {})])[0]), np.full(len(facts), np.nan), np.full(len(facts), np.nan)
    for i, is_open in enumerate(facts):
        inside = within(policy.space.tree, is_open)
        if not np.isfinite(inside.log_prior[0]).any():
            continue
        ratio = np.asarray(_log_ratios(policy.params, numbers, tree, inside.on_device(), n_draw, keys.child(key, i)), float)
        top = ratio.max()
        weights = np.exp(ratio - top)
        values[i] = root + policy.tau * (top + np.log(weights.mean()))
        errors[i] = policy.tau * weights.std(ddof=1) / np.sqrt(len(weights)) / weights.mean()
    return Estimate(values, errors)


@partial(jax.jit, static_argnames="n")
def _log_ratios(params: Params, numbers: jax.Array, tree: Tree, inside: Tree, n: int, key: jax.Array) -> jax.Array:
    """Log weights [2 n] of n draws from u, then n from q, whose mean is P_pi(F) / P_pi0(F).

    The weight is (pi / pi0) u / (u/2 + q/2), with u = pi0 / P_pi0(F).
    """
    k_uniform, k_guided = jax.random.split(key)
    at_prior = {**params, "score": jnp.zeros_like(params["score"])}
    actions = jnp.concatenate([draw(at_prior, numbers, inside, inside, n, k_uniform), draw(params, numbers, tree, inside, n, k_guided)])
    log_pi, log_pi0, _ = along(params, numbers, tree, actions)
    prior = priors(inside, nodes(inside, actions))
    log_q = jax.nn.log_softmax(jnp.where(jnp.isfinite(prior), log_pi, -jnp.inf), -1)
    total = lambda x: jnp.take_along_axis(x, actions[..., None], -1)[..., 0].sum(1)
    log_u = total(prior)
    return total(log_pi) - total(log_pi0) + log_u - jnp.logaddexp(log_u, total(log_q)) + jnp.log(2.0)
