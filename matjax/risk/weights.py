"""Importance weights: train as if the training crystals came from the target's distribution."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.batch import weighted_mean
from matjax.risk.protocol import Metrics, RiskShape, check_range
from matjax.types import Outcome


@spec
class Importance:
    """Tempers, clips and normalises the density ratios that stand in `Outcome.weight`.

    For labelled crystals w <- min(w^power, clip), divided by its mean over the batch; other crystals keep their weight.
    The ratios come from `relative_ratio` and its like and are packed with the crystals (`Globals.weight`), with mean one over
    the training set. In networks that can fit every label the effect fades as training goes on (Byrd & Lipton 2019):
    use it with early stopping or weight decay, and read `effective_share`, the effective sample size (sum w)^2 / sum w^2
    as a share of the batch.

    Attributes:
      power: 1 is the full ratio, 0 no weighting; between, bias against variance.
      clip: Largest weight, in units of the mean ratio.

    Source:
      Shimodaira (2000), Improving predictive inference under covariate shift by weighting the log-likelihood function, section 5 (power).
    """

    power: float = 1.0
    clip: float = 10.0

    def __post_init__(self) -> None:
        """Refuses a power outside [0, 1] and a clip below one."""
        check_range(self, power=(0, 1), clip=(1, jnp.inf))

    def init(self, shape: RiskShape) -> tuple:
        """No memory."""
        return ()

    def apply(self, memory: tuple, outcome: Outcome) -> tuple[jax.Array, tuple, Metrics]:
        """(weights [n_graph], memory, the effective share of the batch)."""
        used = outcome.labelled & (outcome.weight > 0)
        tempered = jnp.where(used, jnp.minimum(jnp.where(used, outcome.weight, 1.0) ** self.power, self.clip), 0.0)
        mean = weighted_mean(tempered, used.astype(tempered.dtype))
        normalised = tempered / jnp.where(mean > 0, mean, 1.0)
        square = jnp.where(used.any(), (normalised**2).sum() * used.sum(), 1.0)
        return jnp.where(outcome.labelled, normalised, outcome.weight), memory, {"effective_share": normalised.sum() ** 2 / square}
