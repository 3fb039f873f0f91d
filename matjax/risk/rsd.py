"""RSD: features that span the same directions in every domain, whatever their size there."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.batch import mean_over_pairs, second_moments, shares, standardise, with_constant
from matjax.risk.protocol import Metrics, RiskShape, check_range
from matjax.types import Outcome


@spec
class RSD:
    """Mean over pairs of domains of the squared sines between the subspaces that their features span, times the strength.

    A domain's subspace is kept as a projector, P = G (G + ridge tr(G)/k I)^-1, with G its second moment of k features (a
    constant among them), so directions count fully where the domain varies and not at all where it does not; then

        value = strength mean over pairs of |P_a - P_b|^2 / 2,    which is sum_i sin^2(angle_i) as ridge -> 0.

    P does not change when a domain's features are rescaled: regression lives by their scale, and alignments that
    change it hurt. The paper takes principal angles by singular value decompositions, whose gradients are infinite for
    equal singular values, the sum of sines, and a second penalty that matches bases; projectors need none of it. The
    label marginals' limit given for `Coral` is milder here, not absent. Domains with at least two crystals take part.

    Attributes:
      strength: Factor on the penalty.
      ridge: Variance, in units of the domain's mean, at which a direction counts by half.

    Source:
      Chen, Wang, Wang & Long (2021), Representation subspace distance for domain adaptation regression, eq. 6; smooth projectors are ours.
    """

    kind: ClassVar[str] = "rsd"
    uses_target: ClassVar[bool] = True
    strength: float = 1.0
    ridge: float = 0.1

    def __post_init__(self) -> None:
        """Refuses a negative strength and a vanishing ridge."""
        check_range(self, strength=(0, jnp.inf), ridge=(1e-3, jnp.inf))

    def init(self, key: jax.Array, shape: RiskShape) -> tuple[tuple, dict[str, jax.Array]]:
        """No params; memory: crystals seen per domain [n_domain]."""
        return (), {"count": jnp.zeros(shape.n_domain)}

    def apply(self, params: tuple, memory: dict[str, jax.Array], outcome: Outcome) -> tuple[jax.Array, dict[str, jax.Array], Metrics]:
        """(penalty, memory, mean sum of squared sines)."""
        n_domain = len(memory["count"])
        features, (share, count) = with_constant(standardise(outcome.features, outcome.weight)), shares(outcome, n_domain)
        moments = second_moments(features, share, outcome.domain, n_domain)
        size = jnp.trace(moments, axis1=1, axis2=2)[:, None, None] / features.shape[1] + 1e-6
        regular = moments + self.ridge * size * jnp.eye(features.shape[1])[None, :, :]
        projectors = jnp.linalg.solve(regular, moments)
        square_sines = mean_over_pairs(projectors.reshape(n_domain, -1), (count > 1).astype(features.dtype)) / 2
        return self.strength * square_sines, {"count": memory["count"] + count}, {"square_sines": square_sines}
