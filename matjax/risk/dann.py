"""DANN: features from which a classifier cannot tell the domain."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.batch import domain_means, standardise
from matjax.risk.discriminator import discriminate, init_discriminator, ramp
from matjax.risk.protocol import Metrics, RiskShape, check_range
from matjax.risk.reversal import reverse
from matjax.types import Outcome


@spec
class DANN:
    """A discriminator learns the domain from the features; the model learns to defeat it, by gradient reversal.

    value = mean over the domains in the batch of their cross-entropy, under a network of one hidden layer whose weights
    are params of the risk. The discriminator descends on it; the model's gradient is multiplied by
    -strength (2 / (1 + exp(-10 step / warmup)) - 1), the paper's schedule. Averaging over domains first keeps a large
    domain from winning by size; standardised features keep the model from winning by shrinking them. Unlabelled target
    crystals are one more domain. The limits on alignment given for `Coral` hold here too.

    Attributes:
      strength: Factor on the reversed gradient; 0 trains the discriminator and leaves the model alone.
      warmup: Steps over which the strength rises (it is at 0.99995 of itself at the end).
      hidden: Width of the discriminator.

    Source:
      Ganin et al. (2016), Domain-adversarial training of neural networks, eqs. 9 and 14 and section 5.2.2; several domains and
      standardisation are ours.
    """

    uses_target: ClassVar[bool] = True
    strength: float = 1.0
    warmup: float = 500.0
    hidden: int = 64

    def __post_init__(self) -> None:
        """Refuses a negative strength, no warm-up step and an empty discriminator."""
        check_range(self, strength=(0, jnp.inf), warmup=(1, jnp.inf), hidden=(1, 4096))

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        """Params: the discriminator; memory: the step."""
        return init_discriminator(key, shape.n_feature, self.hidden, shape.n_domain), {"step": jnp.zeros(())}

    def apply(self, params: Any, memory: dict[str, jax.Array], outcome: Outcome) -> tuple[jax.Array, dict[str, jax.Array], Metrics]:
        """(cross-entropy of the discriminator, memory, its balanced accuracy)."""
        features = reverse(standardise(outcome.features, outcome.weight), self.strength * ramp(memory["step"], self.warmup))
        found = jnp.stack(discriminate(params, features, outcome.domain), 1)
        per_domain, present = domain_means(found, outcome.weight, outcome.domain, params["output"]["bias"].shape[-1])
        value, accuracy = per_domain.sum(0) / jnp.maximum(present.sum(), 1)
        return value, {"step": memory["step"] + 1}, {"cross_entropy": value, "accuracy": accuracy}
