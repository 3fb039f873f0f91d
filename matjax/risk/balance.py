"""Balance: every domain counts the same, or somewhere between that and its size."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.protocol import Metrics, RiskShape, check_range
from matjax.types import Outcome


@spec
class Balance:
    """Weights each labelled crystal by (n / (n_domain_seen n_g))^power, n_g the labelled crystals of its domain seen so far.

    The simplest answer to a minority domain, often as good as GroupDRO. Domains are counted during training, this batch
    included.

    Attributes:
      power: 0 leaves the weights alone, 1 gives every domain the same total weight.

    Source:
      Idrissi, Arjovsky, Pezeshki & Lopez-Paz (2022), Simple data balancing achieves competitive worst-group-accuracy.
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a power outside [0, 1]."""
        check_range(self, power=(0, 1))

    def init(self, shape: RiskShape) -> dict[str, jax.Array]:
        """Memory: weight of the labelled crystals seen per domain [n_domain]."""
        return {"count": jnp.zeros(shape.n_domain)}

    def apply(self, memory: dict[str, jax.Array], outcome: Outcome) -> tuple[jax.Array, dict[str, jax.Array], Metrics]:
        """(weights [n_graph], counts, the largest factor)."""
        known = outcome.weight * outcome.labelled
        count = memory["count"] + jax.ops.segment_sum(known, outcome.domain, len(memory["count"]))
        seen = count > 0
        even = count.sum() / jnp.maximum(seen.sum(), 1)
        factor = jnp.where(seen, jnp.where(seen, even / jnp.where(seen, count, 1.0), 1.0) ** self.power, 1.0)
        weight = jnp.where(outcome.labelled, outcome.weight * factor[outcome.domain], outcome.weight)
        return weight, {"count": count}, {"largest_factor": factor.max()}
