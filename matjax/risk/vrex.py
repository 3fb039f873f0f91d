"""V-REx: domain losses that are equal as well as low."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.batch import domain_means, masked_max
from matjax.risk.protocol import Metrics, RiskShape, check_range
from matjax.types import Outcome


@spec
class VREx:
    """Mean of the domain losses plus their variance: value = mean_g l_g + beta var_g l_g.

    Mean and (population) variance go over the domains present in the batch with a label; every domain counts the same,
    whatever its size. A model that leans on a relation which holds more strongly in one domain than in another pays for
    the difference. It assumes that the noise is alike in all domains: where one is harder by nature, V-REx spoils the
    easy ones. The paper turns beta up after a first phase of plain training.

    Attributes:
      beta: Strength of the variance; 0 is the mean over domains.

    Source:
      Krueger et al. (2021), Out-of-distribution generalization via risk extrapolation, eq. 8; mean instead of sum, as in DomainBed.
    """

    kind: ClassVar[str] = "vrex"
    beta: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a negative beta."""
        check_range(self, beta=(0, jnp.inf))

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[tuple, dict[str, jax.Array]]:
        """No params; memory: the last measured loss of every domain [n_domain]."""
        return (), {"loss": jnp.zeros(shape.n_domain)}

    def apply(self, params: tuple, memory: dict[str, jax.Array], outcome: Outcome) -> tuple[jax.Array, dict[str, jax.Array], Metrics]:
        """(mean + beta variance, memory, variance and worst domain loss)."""
        losses, present = domain_means(outcome.loss, outcome.weight * outcome.labelled, outcome.domain, len(memory["loss"]))
        share = present / jnp.maximum(present.sum(), 1)
        mean = (share * losses).sum()
        variance = (share * (losses - mean) ** 2).sum()
        measured = jnp.where(present, losses, memory["loss"])
        return mean + self.beta * variance, {"loss": measured}, {"variance": variance, "worst_loss": masked_max(losses, present)}
