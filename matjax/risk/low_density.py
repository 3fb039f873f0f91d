"""Low-density penalty: no confidence where the training data is thin."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.batch import variance_floor, weighted_mean
from matjax.risk.protocol import Metrics, RiskShape, check_range
from matjax.types import Outcome


@spec
class LowDensity:
    """Punishes a low predicted variance on crystals whose features lie outside the training density.

    The memory follows, as running means over the labelled crystals, the mean m and covariance C of the features, the mean
    and spread of the distance, and the mean squared error e2. With s^2 = diag C, R = (1 - shrinkage) corr(C) + shrinkage I
    and k features,

        d^2   = (x - m)/s . R^-1 (x - m)/s / k                 squared distance, about 1 inside
        r^2   = mean(d^2) + margin std(d^2)                    the edge of the density
        floor = log e2 + log(max(d^2 / r^2, 1))                the standard deviation grows with the distance
        value = strength mean[ (1 - min(r^2 / d^2, 1)) max(floor - log_variance, 0) ]

    Inside the edge the factor is zero, so the likelihood alone rules there; above the floor the penalty is zero, so it asks
    for doubt in proportion and no more (a softplus in place of the hinge drives the variance up without end). e2 is the
    error in training: the floor is a lower bound. The mean goes over labelled and target crystals: target crystals show
    the far side; without them only the tail of the training set teaches (a larger strength and a smaller margin then help).

    Against feature collapse: distances are taken in standardised, decorrelated features, and no gradient flows through
    distance, edge or floor, so the penalty can be lowered by raising the variance only, never by pulling far crystals
    in. It cannot separate what the network has already mapped onto the same features; test it on structures known to be
    far.

    Attributes:
      strength: Factor on the penalty.
      margin: Edge of the density, in standard deviations of d^2 above its mean.
      decay: Of the running means, per step; the penalty ramps up as they fill.
      shrinkage: Of the correlation matrix towards the identity, for more features than crystals.

    Source:
      The principle (confidence decays outside the training density) is that of Hafner, Tran, Lillicrap, Irpan & Davidson (2018),
      Noise contrastive priors; the distance, Lee, Lee, Lee & Shin (2018), eq. 2. The equation above is ours.
    """

    uses_target: ClassVar[bool] = True
    strength: float = 1.0
    margin: float = 2.0
    decay: float = 0.99
    shrinkage: float = 0.1

    def __post_init__(self) -> None:
        """Refuses settings out of range."""
        check_range(self, strength=(0, jnp.inf), margin=(0, jnp.inf), decay=(0, 1 - 1e-6), shrinkage=(1e-3, 1))

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[tuple, dict[str, jax.Array]]:
        """No params; memory: mass of the running means (0 to 1), moments of features, distance and error."""
        zero, k = jnp.zeros(()), shape.n_feature
        moments = {"distance": zero, "distance_variance": zero, "square_error": zero}
        return (), {"mass": zero, "mean": jnp.zeros(k), "covariance": jnp.eye(k), **moments}

    def apply(self, params: tuple, memory: dict[str, jax.Array], outcome: Outcome) -> tuple[jax.Array, dict[str, jax.Array], Metrics]:
        """(penalty, memory, share of crystals beyond the edge and their mean shortfall below the floor).

        Raises:
          ValueError: If the model predicts no variance.
        """
        if outcome.log_variance is None:
            raise ValueError("LowDensity needs a predicted variance and this model has none; use Loss(kind='nll') and a variance head")
        detached = jax.tree.map(jax.lax.stop_gradient, outcome)
        memory = _follow(memory, detached, self.decay, self.shrinkage)
        distance = squared_distance(memory, detached.features, self.shrinkage)
        edge = memory["distance"] + self.margin * jnp.sqrt(memory["distance_variance"]) + 1e-6
        beyond = jnp.maximum(distance / edge, 1.0)
        floor = jnp.log(memory["square_error"] + 1e-12) + jnp.log(beyond)
        shortfall = (1 - 1 / beyond) * jnp.maximum(floor - outcome.log_variance, 0.0)
        share = weighted_mean((beyond > 1).astype(distance.dtype), outcome.weight)
        value = weighted_mean(shortfall, outcome.weight)
        return self.strength * memory["mass"] * value, memory, {"share_beyond": share, "shortfall": value}


def squared_distance(memory: dict[str, jax.Array], features: jax.Array, shrinkage: float | jax.Array) -> jax.Array:
    """Squared Mahalanobis distance per feature [n_graph] of features [n_graph, n_feature] from the density in the memory."""
    covariance = memory["covariance"]
    scale = jnp.sqrt(variance_floor(jnp.diagonal(covariance)))
    correlation = covariance / (scale[:, None] * scale[None, :])
    factor = jnp.linalg.cholesky((1 - shrinkage) * correlation + shrinkage * jnp.eye(len(scale)))
    standard = (features - memory["mean"][None, :]) / scale[None, :]
    return (jax.scipy.linalg.solve_triangular(factor, standard.T, lower=True) ** 2).mean(0)


def _follow(memory: dict[str, jax.Array], outcome: Outcome, decay: float | jax.Array, shrinkage: float | jax.Array) -> dict[str, jax.Array]:
    """The memory after this batch: exponential means, without the bias of their start, untouched by a batch without labels."""
    weight = outcome.weight * outcome.labelled
    any_label = weight.sum() > 0
    mass = jnp.where(any_label, decay * memory["mass"] + (1 - decay), memory["mass"])
    gain = jnp.where(any_label, (1 - decay) / jnp.maximum(mass, 1e-12), 0.0)
    toward = lambda old, new: old + gain * (new - old)
    batch_mean = weighted_mean(outcome.features, weight)
    step = batch_mean - memory["mean"]
    centred = outcome.features - batch_mean[None, :]
    batch_covariance = jnp.einsum("g,gi,gj->ij", weight, centred, centred, precision="highest") / jnp.where(any_label, weight.sum(), 1.0)
    covariance = toward(memory["covariance"], batch_covariance) + gain * (1 - gain) * step[:, None] * step[None, :]
    memory = {**memory, "mass": mass, "mean": toward(memory["mean"], batch_mean), "covariance": covariance}
    distance = squared_distance(memory, outcome.features, shrinkage)
    mean_distance = toward(memory["distance"], weighted_mean(distance, weight))
    spread = weighted_mean((distance - mean_distance) ** 2, weight)
    return {
        **memory,
        "distance": mean_distance,
        "distance_variance": toward(memory["distance_variance"], spread),
        "square_error": toward(memory["square_error"], weighted_mean(outcome.error**2, weight)),
    }
