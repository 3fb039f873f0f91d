"""The training density as a risk can follow it: running moments, and how far beyond their edge a crystal lies."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from matjax.risk.batch import variance_floor, weighted_mean

Density = dict[str, jax.Array]


def init_density(n_feature: int) -> Density:
    """Nothing seen: mass of the running means (0 to 1), moments of the features and of the squared distance."""
    zero = jnp.zeros(())
    return {
        "mass": zero,
        "mean": jnp.zeros(n_feature),
        "covariance": jnp.eye(n_feature),
        "distance": zero,
        "distance_variance": zero,
    }


def follow(
    density: Density, features: jax.Array, weight: jax.Array, decay: float | jax.Array, shrinkage: float | jax.Array
) -> tuple[Density, jax.Array]:
    """The density after a batch, and the gain g of this batch in its running means, old + g (new - old).

    Exponential means without the bias of their start; a batch without weight changes nothing (g = 0).

    Args:
      density: Before the batch.
      features: Of the crystals [n_graph, n_feature].
      weight: Of the crystals that make the density [n_graph].
      decay: Of the running means, per batch.
      shrinkage: Of the correlation matrix towards the identity.
    """
    total = weight.sum()
    mass = jnp.where(total > 0, decay * density["mass"] + (1 - decay), density["mass"])
    gain = jnp.where(total > 0, (1 - decay) / jnp.maximum(mass, 1e-12), 0.0)
    toward = lambda old, new: old + gain * (new - old)
    batch_mean = weighted_mean(features, weight)
    step = batch_mean - density["mean"]
    centred = features - batch_mean[None, :]
    batch_covariance = jnp.einsum("g,gi,gj->ij", weight, centred, centred, precision="highest") / jnp.where(total > 0, total, 1.0)
    covariance = toward(density["covariance"], batch_covariance) + gain * (1 - gain) * step[:, None] * step[None, :]
    after = {**density, "mass": mass, "mean": toward(density["mean"], batch_mean), "covariance": covariance}
    distance = squared_distance(after, features, shrinkage)
    mean_distance = toward(density["distance"], weighted_mean(distance, weight))
    spread = weighted_mean((distance - mean_distance) ** 2, weight)
    return {**after, "distance": mean_distance, "distance_variance": toward(density["distance_variance"], spread)}, gain


def squared_distance(density: Density, features: jax.Array, shrinkage: float | jax.Array) -> jax.Array:
    """Squared Mahalanobis distance per feature [n_graph] of features [n_graph, n_feature]; about 1 inside."""
    covariance = density["covariance"]
    scale = jnp.sqrt(variance_floor(jnp.diagonal(covariance)))
    correlation = covariance / (scale[:, None] * scale[None, :])
    factor = jnp.linalg.cholesky((1 - shrinkage) * correlation + shrinkage * jnp.eye(len(scale)))
    standard = (features - density["mean"][None, :]) / scale[None, :]
    return (jax.scipy.linalg.solve_triangular(factor, standard.T, lower=True) ** 2).mean(0)


def beyond(density: Density, features: jax.Array, margin: float | jax.Array, shrinkage: float | jax.Array) -> jax.Array:
    """d^2 over the edge r^2 = mean(d^2) + margin std(d^2), at least 1 [n_graph]: above 1 outside the density."""
    edge = density["distance"] + margin * jnp.sqrt(density["distance_variance"]) + 1e-6
    return jnp.maximum(squared_distance(density, features, shrinkage) / edge, 1.0)
