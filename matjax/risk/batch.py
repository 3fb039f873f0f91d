"""Masked statistics of a batch: what every risk needs, safe for empty domains and for garbage in the padding."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from matjax.types import Outcome


def clean(outcome: Outcome) -> Outcome:
    """The outcome with padding and missing labels made harmless, in value and in gradient.

    Padding rows become zeros with weight 0 and `labelled` False; rows without a label get loss and error 0. Values of
    labelled crystals are left as they are: a NaN there is a finding and must surface. (A loss that is NaN for want of a
    label is cut here, but its own derivative would be NaN times zero: labels that are absent must be packed as zeros.)
    """
    real, known = outcome.mask, outcome.mask & outcome.labelled

    def keep(mask: jax.Array, x: Any) -> Any:
        return None if x is None else jnp.where(mask.reshape(-1, *(1,) * (x.ndim - 1)), x, jnp.zeros((), x.dtype))

    return Outcome(
        loss=keep(known, outcome.loss),
        features=keep(real, outcome.features),
        log_variance=keep(real, outcome.log_variance),
        error=keep(known, outcome.error),
        domain=keep(real, outcome.domain),
        weight=keep(real, outcome.weight),
        labelled=known,
        mask=real,
        prediction=keep(real, outcome.prediction),
        slope=keep(known, outcome.slope),
        inputs=keep(real, outcome.inputs),
    )


def weighted_mean(values: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean over the graphs, sum w x / sum w, for values [n_graph, ...]; zero where no graph has weight."""
    total = weight.sum()
    return jnp.tensordot(weight, values, axes=1, precision="highest") / jnp.where(total > 0, total, 1.0)


def domain_means(values: jax.Array, weight: jax.Array, domain: jax.Array, n_domain: int) -> tuple[jax.Array, jax.Array]:
    """Weighted mean of values [n_graph, ...] per domain [n_domain, ...], and which domains are present [n_domain].

    A domain without weight in the batch has mean zero and is not present.
    """
    trailing = (1,) * (values.ndim - 1)
    total = jax.ops.segment_sum(weight, domain, n_domain)
    sums = jax.ops.segment_sum(weight.reshape(-1, *trailing) * values, domain, n_domain)
    present = total > 0
    return sums / jnp.where(present, total, 1.0).reshape(-1, *trailing), present


def masked_max(values: jax.Array, mask: jax.Array) -> jax.Array:
    """The largest value [n] where the mask holds; zero where it holds nowhere."""
    return jnp.where(mask.any(), jnp.where(mask, values, -jnp.inf).max(), 0.0)


def variance_floor(variance: jax.Array) -> jax.Array:
    """Variances [n_feature] raised by a thousandth of their mean, so that a dead feature does not divide by zero."""
    return variance + 1e-3 * variance.mean() + 1e-6


def standardise(features: jax.Array, weight: jax.Array) -> jax.Array:
    """Features [n_graph, n_feature] with mean 0 and variance 1 over the batch.

    The gradient flows through mean and scale: what is computed from the result does not change when the features are
    shifted or rescaled, so a penalty cannot be lowered by shrinking them.
    """
    centred = features - weighted_mean(features, weight)[None, :]
    variance = weighted_mean(centred**2, weight)
    return centred / jnp.sqrt(variance_floor(variance))[None, :]


def mean_over_pairs(values: jax.Array, present: jax.Array) -> jax.Array:
    """Mean of |a_i - a_j|^2 over all pairs of present domains, for values [n_domain, k]: 2/(P - 1) sum |a_i - mean|^2."""
    n = present.sum()
    centred = values - ((present[:, None] * values).sum(0) / jnp.maximum(n, 1))[None, :]
    return 2 * (present[:, None] * centred**2).sum() / jnp.maximum(n - 1, 1)


def shares(outcome: Outcome, n_domain: int) -> tuple[jax.Array, jax.Array]:
    """Each crystal's share in its domain's means [n_graph], and the crystals with weight per domain [n_domain]."""
    weight, domain = outcome.weight, outcome.domain
    total = jax.ops.segment_sum(weight, domain, n_domain)[domain]
    share = jnp.where(weight > 0, weight / jnp.where(weight > 0, total, 1.0), 0.0)
    return share, jax.ops.segment_sum((weight > 0).astype(weight.dtype), domain, n_domain)


def second_moments(values: jax.Array, share: jax.Array, domain: jax.Array, n_domain: int) -> jax.Array:
    """Sum of share x x^T over the crystals of each domain [n_domain, k, k], for values [n_graph, k] and shares [n_graph]."""
    member = share[:, None] * jax.nn.one_hot(domain, n_domain)
    return jnp.einsum("gd,gi,gj->dij", member, values, values, precision="highest")


def with_constant(features: jax.Array) -> jax.Array:
    """Features [n_graph, n_feature] with a column of ones in front, through which second moments also hold the mean."""
    return jnp.concatenate([jnp.ones_like(features[:, :1]), features], 1)
