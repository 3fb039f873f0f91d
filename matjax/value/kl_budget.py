"""The temperature at which a policy stays within a number of nats of the reference policy.

A temperature in units of the reward says little; how far a search may go from what is known does. With pi_tau = pi0 exp((r - V) / tau),

  KL(pi_tau || pi0) = (E_pi[r] - V(root)) / tau,

which falls as tau rises, from the log of how rare the best alloy is to zero; so a budget of nats is a temperature, found by bracketing.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from matjax import keys
from matjax.value.policy import Policy
from matjax.value.rollout import draw

LARGEST, SMALLEST = 1e4, 1e-6
"""Temperatures between which a budget is sought, in units of the spread of the rewards."""


def divergence(rewards: np.ndarray, tau: float, log_weight: np.ndarray | None = None) -> float:
    """KL(pi_tau || pi0) in nats.

    Args:
      rewards: Of every alloy, or of draws from pi0, or from anywhere with weights [n].
      tau: Temperature, in units of the reward.
      log_weight: Log of pi0 over what drew them [n], up to a constant; without it all count alike.
    """
    rewards = np.asarray(rewards, float)
    log_prior = np.zeros_like(rewards) if log_weight is None else np.asarray(log_weight, float)
    log_prior = log_prior - logsumexp(log_prior)
    value = logsumexp(rewards / tau + log_prior)
    return float(max(np.exp(rewards / tau + log_prior - value) @ (rewards / tau) - value, 0.0))


def temperature_within(rewards: np.ndarray, budget: float, log_weight: np.ndarray | None = None) -> float:
    """The smallest temperature at which KL(pi_tau || pi0) is at most `budget` nats (arguments as in `divergence`).

    Zero where no temperature spends the budget: rewards that do not differ, or a best alloy that is not rare enough.

    Raises:
      ValueError: If the budget is not positive.
    """
    if not budget > 0:
        raise ValueError(f"the budget is {budget} nats; it must be positive")
    spread = float(np.ptp(rewards))
    if spread == 0 or divergence(rewards, SMALLEST * spread, log_weight) <= budget:
        return 0.0
    over = lambda log_tau: divergence(rewards, float(np.exp(log_tau)) * spread, log_weight) - budget
    if over(np.log(LARGEST)) > 0:
        return LARGEST * spread
    log_tau = brentq(over, np.log(SMALLEST), np.log(LARGEST), xtol=1e-6)
    return float(np.exp(np.asarray(log_tau, float))) * spread


def policy_divergence(policy: Policy, key: jax.Array, n_sample: int = 512) -> tuple[float, float]:
    """KL(pi || pi0) of a policy as it is, learned well or not: mean log ratio over its own draws, and the standard error. In nats."""
    actions = draw(policy.params, policy.numbers, policy.tree, policy.tree, n_sample, key)
    ratio = policy.log_ratio(np.asarray(actions))
    return float(ratio.mean()), float(ratio.std(ddof=1) / np.sqrt(n_sample))


def policy_temperature(policy: Policy, budget: float, key: jax.Array, n_sample: int = 1024) -> float:
    """The smallest temperature within a budget for the reward that a policy stands for, r = V(root) + tau log(pi / pi0).

    No reward is asked: half of the draws are the policy's, half uniform, each counted by pi0 over the mixture of both.
    """
    at_prior = {**policy.params, "score": jnp.zeros_like(policy.params["score"])}
    parts = [
        draw(params, policy.numbers, policy.tree, policy.tree, n_sample // 2, keys.child(key, name))
        for name, params in (("uniform", at_prior), ("policy", policy.params))
    ]
    ratio = policy.log_ratio(np.concatenate([np.asarray(p) for p in parts]))
    return temperature_within(policy.tau * ratio, budget, -np.logaddexp(0.0, ratio))
