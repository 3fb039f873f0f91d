"""CORAL: features whose mean and covariance do not tell the domain."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.batch import domain_means, mean_over_pairs, second_moments, shares, standardise
from matjax.risk.protocol import Metrics, RiskShape, check_range
from matjax.types import Outcome


@spec
class Coral:
    """Mean over pairs of domains of |C_i - C_j|^2 / (4 k^2) + mean |m_i - m_j|^2 / k, times the strength.

    m and C are mean and (unbiased) covariance of the k features over the domain's crystals in the batch. Domains with
    at least two crystals take part; unlabelled target crystals are one more domain.

    The features are first standardised over the batch, with the gradient going through the scale: alignment otherwise
    works mostly by shrinking the features, which hurts regression. Still, domains whose *labels* differ in
    distribution (oxides and intermetallics in formation energy) are forced into joint error by any alignment; it suits
    domains with alike labels (laboratory, instrument, functional). A batch needs several crystals per
    domain: the noise floor is about 1/(crystals per domain).

    Attributes:
      strength: Factor on the penalty.
      mean: Weight of the means against the covariances; 0 is Deep CORAL as published.

    Source:
      Sun & Saenko (2016), Deep CORAL, eq. 1; several domains and means as in DomainBed; standardisation is ours.
    """

    uses_target: ClassVar[bool] = True
    strength: float = 1.0
    mean: float = 1.0

    def __post_init__(self) -> None:
        """Refuses negative settings."""
        check_range(self, strength=(0, jnp.inf), mean=(0, jnp.inf))

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[tuple, dict[str, jax.Array]]:
        """No params; memory: crystals seen per domain [n_domain]."""
        return (), {"count": jnp.zeros(shape.n_domain)}

    def apply(self, params: tuple, memory: dict[str, jax.Array], outcome: Outcome) -> tuple[jax.Array, dict[str, jax.Array], Metrics]:
        """(penalty, memory, distances between means and between covariances)."""
        domain, weight, n_domain, n_feature = outcome.domain, outcome.weight, len(memory["count"]), outcome.features.shape[-1]
        features, (share, count) = standardise(outcome.features, weight), shares(outcome, n_domain)
        means, _ = domain_means(features, weight, domain, n_domain)
        centred = features - means[domain]
        freedom = 1 - jax.ops.segment_sum(share**2, domain, n_domain)  # the n/(n - 1) correction
        covariances = second_moments(centred, share / jnp.where(count > 1, freedom, 1.0)[domain], domain, n_domain)
        present = (count > 1).astype(weight.dtype)
        by_covariance = mean_over_pairs(covariances.reshape(n_domain, -1), present) / (4 * n_feature**2)
        by_mean = mean_over_pairs(means, present) / n_feature
        value = self.strength * (by_covariance + self.mean * by_mean)
        return value, {"count": memory["count"] + count}, {"covariance_distance": by_covariance, "mean_distance": by_mean}
