"""CVaR: the mean of the worst losses, when nobody knows the domains."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.protocol import Metrics, RiskShape, check_range
from matjax.types import Outcome


@spec
class CVaR:
    """Mean loss of the worst fraction of the labelled crystals of the batch.

    With losses in descending order and weights w that sum to one, value = sum_i m_i loss_i / fraction, where m_i takes
    weight from the top until the fraction is used up: m_i = clip(fraction - sum_{j<i} w_j, 0, w_i). It equals
    min_t t + E[max(loss - t, 0)] / fraction. It guards against every subpopulation of at least that fraction,
    label noise included: a wrong label stays among the worst for ever.

    Attributes:
      fraction: Share of the crystals that counts, in (0, 1]; 1 is ERM.

    Source:
      Rockafellar & Uryasev (2000), Optimization of conditional value-at-risk, eq. 4; as a training risk, Levy, Carmon,
      Duchi & Sidford (2020).
    """

    kind: ClassVar[str] = "cvar"
    fraction: float = 0.3

    def __post_init__(self) -> None:
        """Refuses an empty tail."""
        check_range(self, fraction=(1e-6, 1))

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[tuple, tuple]:
        """No params, no memory."""
        return (), ()

    def apply(self, params: tuple, memory: tuple, outcome: Outcome) -> tuple[jax.Array, tuple, Metrics]:
        """(mean of the worst fraction, memory, the loss at which the tail begins)."""
        weight = outcome.weight * outcome.labelled
        order = jnp.argsort(jnp.where(weight > 0, -outcome.loss, jnp.inf))
        loss, weight = outcome.loss[order], weight[order]
        total = weight.sum()
        weight = weight / jnp.where(total > 0, total, 1.0)
        taken = jax.lax.stop_gradient(jnp.clip(self.fraction - (jnp.cumsum(weight) - weight), 0.0, weight))
        begin = jnp.where(taken > 0, loss, jnp.inf).min()
        used = taken.sum()
        return (taken * loss).sum() / jnp.where(used > 0, used, 1.0), memory, {"tail_begins": jnp.where(used > 0, begin, 0.0)}
