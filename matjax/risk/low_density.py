"""Low-density penalty: no confidence where the training data is thin."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.batch import weighted_mean
from matjax.risk.density import beyond, follow, init_density
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
        u     = max(d^2 / r^2, 1)                              the larger of that in features and in inputs
        floor = log e2 + log u                                 the standard deviation grows with the distance
        value = strength mean[ (1 - 1/u) max(floor - log_variance, 0) ]

    Inside the edge the factor is zero, so the likelihood alone rules there; above the floor the penalty is zero, so it asks
    for doubt in proportion and no more (a softplus in place of the hinge drives the variance up without end). e2 is the
    error in training: the floor is a lower bound. The mean goes over labelled and target crystals: target crystals show
    the far side; without them only the tail of the training set teaches (a larger strength and a smaller margin then help).

    Against feature collapse, where a network maps far crystals onto near ones: the distance is also taken in the fixed
    inputs (`Outcome.inputs`), which no parameter can move, where the batch has them, and the larger one counts; what features hide, such as
    under an alignment, inputs still show. No gradient flows through distance, edge or floor, so the penalty is lowered by raising the
    variance only, never by pulling far crystals in; that gradient reaches the features, and keeps apart what must get
    different variances. It cannot keep apart crystals that nobody showed it: test it on structures known to be far.

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

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[tuple, dict[str, Any]]:
        """No params; memory: mean squared error, and the density of features and, where a batch has them, of inputs."""
        spaces = {"features": shape.n_feature} | ({"inputs": shape.n_input} if shape.n_input else {})
        return (), {"square_error": jnp.zeros(()), **{name: init_density(width) for name, width in spaces.items()}}

    def apply(self, params: tuple, memory: dict[str, Any], outcome: Outcome) -> tuple[jax.Array, dict[str, Any], Metrics]:
        """(penalty, memory, share of crystals beyond the edge and their mean shortfall below the floor).

        Raises:
          ValueError: If the model predicts no variance, or the batch has no inputs where the memory was made for some.
        """
        if outcome.log_variance is None:
            raise ValueError("LowDensity needs a predicted variance and this model has none; use Loss(kind='nll') and a variance head")
        if "inputs" in memory and outcome.inputs is None:
            raise ValueError(
                "LowDensity was made for batches with inputs, and this one has none; fill Outcome.inputs, or leave out n_input"
            )
        detached = jax.tree.map(jax.lax.stop_gradient, outcome)
        weight, after, far, gain = detached.weight * detached.labelled, {}, jnp.ones_like(outcome.weight), jnp.zeros(())
        for space in sorted(memory.keys() - {"square_error"}):
            at = getattr(detached, space)
            after[space], gain = follow(memory[space], at, weight, self.decay, self.shrinkage)
            far = jnp.maximum(far, beyond(after[space], at, self.margin, self.shrinkage))
        seen = weighted_mean(detached.error**2, weight)
        after["square_error"] = memory["square_error"] + gain * (seen - memory["square_error"])
        floor = jnp.log(after["square_error"] + 1e-12) + jnp.log(far)
        shortfall = (1 - 1 / far) * jnp.maximum(floor - outcome.log_variance, 0.0)
        share = weighted_mean((far > 1).astype(far.dtype), outcome.weight)
        value = weighted_mean(shortfall, outcome.weight)
        return self.strength * after["features"]["mass"] * value, after, {"share_beyond": share, "shortfall": value}
