"""C-Mixup: between two crystals of like label, in different domains, the label is between theirs."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.protocol import check_range


@spec
class CMixup:
    """Moves every labelled row, features and label alike, part of the way to a labelled partner; for fixed features, not graphs.

    Row i meets row j with probability proportional to exp(-(y_i - y_j)^2 / (2 bandwidth^2)), and is moved to
    x_i + t (x_j - x_i), y_i + t (y_j - y_i), with t = strength l and l ~ Beta(alpha, alpha). Partners of like label keep the
    mixture near true crystals where the label is not linear in the features. With `across` the partner is from another domain: what
    differs between domains at equal label is blurred, which is what a robust predictor should not use. It hurts where that
    is what tells the label. A mixture counts to the domain it came from, so it goes best with a base that asks for none.

    Attributes:
      strength: Factor on the step; 0 leaves the rows alone.
      alpha: Of the Beta distribution; small keeps mixtures near one of the two.
      bandwidth: Of the label, in units of its spread over the training rows; large is plain mixup.
      across: Whether partners come from other domains.

    Source:
      Yao, Wang, Zhang, Zou & Finn (2022), C-Mixup: improving generalization in regression, eqs. 5 and 6; partners across
      domains as in Yao, Wang, Li, Zhang, Liang, Zou & Finn (2022), Improving out-of-distribution robustness via selective augmentation.
    """

    strength: float = 1.0
    alpha: float = 2.0
    bandwidth: float = 0.5
    across: bool = True

    def __post_init__(self) -> None:
        """Refuses settings out of range."""
        check_range(self, strength=(0, 1), alpha=(1e-2, jnp.inf), bandwidth=(1e-3, jnp.inf))

    def apply(self, key: jax.Array, x: jax.Array, y: jax.Array, domain: jax.Array, labelled: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The rows after mixing.

        Args:
          key: Of partners and steps.
          x: Features [n, n_feature].
          y: Labels in units of their spread [n].
          domain: Domains [n].
          labelled: Rows that have a label and count [n]; the others stay and are nobody's partner.
        """
        k_partner, k_step = jax.random.split(key)
        n = len(y)
        other = domain[:, None] != domain[None, :]
        allowed = labelled[None, :] & (other if self.across else ~jnp.eye(n, dtype=bool))
        closeness = -((y[:, None] - y[None, :]) ** 2) / (2 * self.bandwidth**2)
        partner = jax.random.categorical(k_partner, jnp.where(allowed, closeness, -jnp.inf), axis=1)
        share = jax.random.beta(k_step, self.alpha, self.alpha, (n,))
        step = jnp.where(labelled & allowed.any(1), self.strength * share, 0.0)
        return x + step[:, None] * (x[partner] - x), y + step * (y[partner] - y)
