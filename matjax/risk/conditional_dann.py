"""Conditional DANN: among crystals of like label, features from which a classifier cannot tell the domain."""

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
class ConditionalDANN:
    """As `DANN`, with a discriminator that is told the bin of the label, and every domain within a bin counting the same.

    Where oxides have lower energies than nitrides, features that predict energy must tell oxides from nitrides: `DANN` then fights
    the regression. Given the label there is nothing left to fight over but the rest. Bins hold equal numbers of the
    batch's labelled crystals; unlabelled target crystals go by their prediction, through which no gradient flows. Cross-entropies are
    averaged over the crystals of each (bin, domain), then over all that are present: within a bin all domains have equal
    prior, so label marginals that differ give nothing away; a bin that a domain has alone teaches nothing.

    Attributes:
      strength: Factor on the reversed gradient; 0 trains the discriminator and leaves the model alone.
      warmup: Steps over which the strength rises, as for `DANN`.
      hidden: Width of the discriminator.
      n_bin: Bins of the label; 1 is `DANN`.

    Source:
      Li, Tian, Gong, Liu, Liu, Zhang & Tao (2018), Deep domain generalization via conditional invariant adversarial networks,
      eqs. 5 and 7; bins of a continuous label, the bin as an input of one discriminator and predictions as labels of the target are ours.
    """

    kind: ClassVar[str] = "conditional_dann"
    uses_target: ClassVar[bool] = True
    strength: float = 1.0
    warmup: float = 500.0
    hidden: int = 64
    n_bin: int = 5

    def __post_init__(self) -> None:
        """Refuses a negative strength, no warm-up step, an empty discriminator and no bin."""
        check_range(self, strength=(0, jnp.inf), warmup=(1, jnp.inf), hidden=(1, 4096), n_bin=(1, 100))

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        """Params: the discriminator; memory: the step, and crystals seen per domain [n_domain]."""
        params = init_discriminator(key, shape.n_feature + self.n_bin, self.hidden, shape.n_domain)
        return params, {"step": jnp.zeros(()), "count": jnp.zeros(shape.n_domain)}

    def apply(self, params: Any, memory: dict[str, jax.Array], outcome: Outcome) -> tuple[jax.Array, dict[str, jax.Array], Metrics]:
        """(cross-entropy of the discriminator, memory, its balanced accuracy).

        Raises:
          ValueError: If the outcome has no prediction.
        """
        if outcome.prediction is None:
            raise ValueError("ConditionalDANN needs the prediction, and this outcome has none; fill Outcome.prediction (see Loss.outcome)")
        n_domain = len(memory["count"])
        bins = label_bins(outcome.prediction - outcome.error, outcome.labelled & (outcome.weight > 0), self.n_bin)
        features = reverse(standardise(outcome.features, outcome.weight), self.strength * ramp(memory["step"], self.warmup))
        told = jnp.concatenate([features, jax.nn.one_hot(bins, self.n_bin)], 1)
        cell = bins * n_domain + outcome.domain
        per_cell, present = domain_means(
            jnp.stack(discriminate(params, told, outcome.domain), 1), outcome.weight, cell, self.n_bin * n_domain
        )
        value, accuracy = per_cell.sum(0) / jnp.maximum(present.sum(), 1)
        count = memory["count"] + jax.ops.segment_sum((outcome.weight > 0).astype(value.dtype), outcome.domain, n_domain)
        return value, {"step": memory["step"] + 1, "count": count}, {"cross_entropy": value, "accuracy": accuracy}


def label_bins(label: jax.Array, known: jax.Array, n_bin: int) -> jax.Array:
    """Bin of each label [n_graph], 0 to n_bin - 1, between quantiles of the known ones; no gradient flows."""
    label = jax.lax.stop_gradient(label)
    ordered = jnp.sort(jnp.where(known, label, jnp.inf))
    n = known.sum()
    place = (jnp.arange(1, n_bin) * n) // n_bin
    edges = jnp.where(n > 0, ordered[jnp.minimum(place, jnp.maximum(n - 1, 0))], jnp.inf)
    return jnp.searchsorted(edges, label, side="right").astype(jnp.int32)
