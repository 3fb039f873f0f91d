"""GroupDRO: the worst domain's loss, through weights on the domains that follow their losses."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.batch import domain_means, masked_max
from matjax.risk.protocol import Metrics, RiskShape, check_range
from matjax.types import Outcome


@spec
class GroupDRO:
    """Sum of the domain losses under adversarial weights, min over the model of max over the weights.

    Per step, with l_g the mean loss of domain g in the batch, the weights move by exponentiated gradient and the value
    is taken with the new weights, through which no gradient flows:

        q_g <- q_g exp(step_size (l_g + size_adjustment / sqrt(n_g))) / sum;    value = sum_g q_g l_g

    Differences from the paper, which draws every group into every step: a domain that is absent from the batch moves
    with the last loss that was measured there (and adds nothing to the value), and a domain that was never seen with a
    label, such as that of target crystals, has no weight. The paper needs strong regularisation or early stopping for
    a gain, since a model that fits every training domain perfectly has no worst one.

    Attributes:
      step_size: How fast the weights follow the losses; 0 keeps them uniform.
      size_adjustment: The paper's C: raises small domains, whose loss generalises worst. Needs `RiskShape.sizes`.

    Source:
      Sagawa, Koh, Hashimoto & Liang (2020), Distributionally robust neural networks for group shifts, algorithm 1 and
      section 3.3.
    """

    step_size: float = 0.01
    size_adjustment: float = 0.0

    def __post_init__(self) -> None:
        """Refuses negative settings."""
        check_range(self, step_size=(0, jnp.inf), size_adjustment=(0, jnp.inf))

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[tuple, dict[str, jax.Array]]:
        """No params; memory: log_weight, loss (last measured), seen and offset (1/sqrt(n_g)), all [n_domain].

        Raises:
          ValueError: If the size adjustment is wanted and the sizes are not known.
        """
        if shape.sizes is None and isinstance(self.size_adjustment, (int, float)) and self.size_adjustment > 0:
            raise ValueError("GroupDRO(size_adjustment > 0) needs the crystals per domain; pass RiskShape(..., sizes=...)")
        sizes = jnp.asarray(shape.sizes or (1,) * shape.n_domain, jnp.float32)
        zeros = jnp.zeros(shape.n_domain)
        return (), {"log_weight": zeros, "loss": zeros, "seen": zeros, "offset": 1 / jnp.sqrt(jnp.maximum(sizes, 1.0))}

    def apply(self, params: tuple, memory: dict[str, jax.Array], outcome: Outcome) -> tuple[jax.Array, dict[str, jax.Array], Metrics]:
        """(sum of q_g l_g, moved weights, largest domain weight and worst domain loss)."""
        losses, present = domain_means(outcome.loss, outcome.weight * outcome.labelled, outcome.domain, len(memory["seen"]))
        seen = present | (memory["seen"] > 0)
        measured = jax.lax.stop_gradient(jnp.where(present, losses, memory["loss"]))
        log_weight = memory["log_weight"] + self.step_size * (measured + self.size_adjustment * memory["offset"])
        # Normalised to mean weight one over the seen domains, so that one met later starts from the mean weight.
        level = jnp.asarray(jax.nn.logsumexp(log_weight, where=seen)) - jnp.log(jnp.maximum(seen.sum(), 1))
        log_weight = jnp.where(seen, log_weight - level, 0.0)
        memory = {**memory, "log_weight": log_weight, "loss": measured, "seen": seen.astype(losses.dtype)}
        weight = domain_weights(memory)
        return (weight * losses).sum(), memory, {"largest_weight": weight.max(), "worst_loss": masked_max(measured, seen)}


def domain_weights(memory: dict[str, jax.Array]) -> jax.Array:
    """The adversarial weights [n_domain] in a GroupDRO memory: they sum to one over the domains seen so far."""
    weight = memory["seen"] * jnp.exp(memory["log_weight"])
    return weight / jnp.maximum(weight.sum(), 1e-12)
