"""DARE-GRAM: domains that a linear regression on the features would treat alike."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.batch import mean_over_pairs, second_moments, shares, standardise, with_constant
from matjax.risk.protocol import Metrics, RiskShape, check_range
from matjax.types import Outcome


@spec
class DareGram:
    """Mean over pairs of domains of the angle between inverse Gram matrices of the features, and of their principal scales.

    Ordinary least squares on features Z (a constant among them) is (Z^T Z)^-1 Z^T y: what it makes of a domain depends on
    the inverse Gram matrix. With H = (Z^T Z / n + ridge I)^-1 per domain, h_i its columns, and l_i the eigenvalues of Z^T Z / n,

        value = strength [ angle mean_i (1 - cos(h_i^a, h_i^b)) + scale mean_i (sqrt(l_i^a) - sqrt(l_i^b))^2 ]

    over the k + 1 features. The paper inverts the leading eigenvalues only and compares those; a ridge and square roots, which
    let the small ones count little, do so smoothly and have finite gradients for equal eigenvalues. Features are
    standardised over the batch, so their common scale is free. Domains with at least two crystals take part.

    Attributes:
      strength: Factor on the penalty.
      angle: Weight of the angles.
      scale: Weight of the scales.
      ridge: Variance below which a direction is not inverted, in units of a standardised feature's.

    Source:
      Nejjar, Wang & Fink (2023), DARE-GRAM: unsupervised domain adaptation regression by aligning inverse Gram matrices, eqs. 6 to 10.
    """

    uses_target: ClassVar[bool] = True
    strength: float = 1.0
    angle: float = 1.0
    scale: float = 0.1
    ridge: float = 0.1

    def __post_init__(self) -> None:
        """Refuses negative settings and a vanishing ridge."""
        check_range(self, strength=(0, jnp.inf), angle=(0, jnp.inf), scale=(0, jnp.inf), ridge=(1e-3, jnp.inf))

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[tuple, dict[str, jax.Array]]:
        """No params; memory: crystals seen per domain [n_domain]."""
        return (), {"count": jnp.zeros(shape.n_domain)}

    def apply(self, params: tuple, memory: dict[str, jax.Array], outcome: Outcome) -> tuple[jax.Array, dict[str, jax.Array], Metrics]:
        """(penalty, memory, mean 1 - cosine and mean squared difference of scales)."""
        n_domain = len(memory["count"])
        features, (share, count) = with_constant(standardise(outcome.features, outcome.weight)), shares(outcome, n_domain)
        grams, present = second_moments(features, share, outcome.domain, n_domain), (count > 1).astype(features.dtype)
        regular = grams + self.ridge * jnp.eye(features.shape[1])[None, :, :]
        inverse = jnp.linalg.inv(regular)
        columns = inverse / jnp.linalg.norm(inverse, axis=1, keepdims=True)
        angle = mean_over_pairs(columns.reshape(n_domain, -1), present) / (2 * features.shape[1])  # |u - v|^2 / 2 = 1 - cos
        scales = jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(regular), self.ridge))
        scale = mean_over_pairs(scales, present) / features.shape[1]
        value = self.strength * (self.angle * angle + self.scale * scale)
        return value, {"count": memory["count"] + count}, {"angle": angle, "scale": scale}
