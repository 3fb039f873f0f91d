"""IRM: one predictor that no domain alone would scale up or down."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.batch import domain_means
from matjax.risk.protocol import Metrics, RiskShape, check_range
from matjax.types import Outcome


@spec
class IRM:
    """IRMv1: mean over domains of l_g + strength (d l_g / d w)^2, with l_g(w) the domain's loss of w times the prediction, at w = 1.

    The slope is zero where the prediction is already the best multiple of itself in every domain: the shadow of an invariant
    predictor that one number can cast. Every domain present in the batch counts the same. The square of a batch mean is
    biased by variance / (crystals per domain), so batches need many of each domain; in a network that fits every label
    all slopes vanish, and with linear predictors fewer domains than spurious features leave it powerless (Rosenfeld,
    Ravikumar & Risteski 2021). As the paper, it starts from plain training; here the strength rises linearly.

    Attributes:
      strength: Weight of the squared slopes; 0 is the mean over domains.
      warmup: Steps over which the strength rises from zero.

    Source:
      Arjovsky, Bottou, Gulrajani & Lopez-Paz (2019), Invariant risk minimization, eq. IRMv1; mean instead of sum, as in DomainBed.
    """

    kind: ClassVar[str] = "irm"
    uses_slope: ClassVar[bool] = True
    strength: float = 1.0
    warmup: float = 200.0

    def __post_init__(self) -> None:
        """Refuses a negative strength and no warm-up step."""
        check_range(self, strength=(0, jnp.inf), warmup=(1, jnp.inf))

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[tuple, dict[str, jax.Array]]:
        """No params; memory: the step, and the last measured slope of every domain [n_domain]."""
        return (), {"step": jnp.zeros(()), "slope": jnp.zeros(shape.n_domain)}

    def apply(self, params: tuple, memory: dict[str, jax.Array], outcome: Outcome) -> tuple[jax.Array, dict[str, jax.Array], Metrics]:
        """(mean loss + strength mean square slope, memory, mean square slope).

        Raises:
          ValueError: If the outcome has no slope.
        """
        if outcome.slope is None:
            raise ValueError("IRM needs the slope of the loss, and this outcome has none; fill Outcome.slope (see Loss.outcome)")
        both = jnp.stack([outcome.loss, outcome.slope], 1)
        means, present = domain_means(both, outcome.weight * outcome.labelled, outcome.domain, len(memory["slope"]))
        share = present / jnp.maximum(present.sum(), 1)
        ramp = jnp.minimum(memory["step"] / self.warmup, 1.0)
        penalty = (share * means[:, 1] ** 2).sum()
        after = {"step": memory["step"] + 1, "slope": jnp.where(present, means[:, 1], memory["slope"])}
        return (share * means[:, 0]).sum() + self.strength * ramp * penalty, after, {"square_slope": penalty}
