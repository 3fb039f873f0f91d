"""Empirical risk minimisation: the mean loss, and the bar that every robust risk has to clear."""

from __future__ import annotations

import jax

from matjax.config import spec
from matjax.risk.batch import weighted_mean
from matjax.risk.protocol import Metrics, RiskShape
from matjax.types import Outcome


@spec
class ERM:
    """Weighted mean of the loss, sum w_i loss_i / sum w_i, over the labelled crystals of the batch.

    Source:
      Vapnik (1991), Principles of risk minimization for learning theory.
    """

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[tuple, tuple]:
        """No params, no memory."""
        return (), ()

    def apply(self, params: tuple, memory: tuple, outcome: Outcome) -> tuple[jax.Array, tuple, Metrics]:
        """(mean loss, memory, no metrics)."""
        return weighted_mean(outcome.loss, outcome.weight * outcome.labelled), memory, {}
