"""Optimizers as specs: numbers are leaves, so that a sweep over learning rates compiles once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from matjax.config import spec

NS_STEPS = 3
"""Newton-Schulz iterations of Muon."""


def warmup_cosine(peak: float | jax.Array, n_step: float | jax.Array, warmup: float = 0.05) -> optax.Schedule:
    """Linear warm-up over the first `warmup` of the steps, then half a cosine down to zero."""

    def schedule(count: jax.typing.ArrayLike) -> jax.Array:
        done = (jnp.asarray(count, jnp.float32) + 1) / n_step
        rise = jnp.minimum(done / warmup, 1.0)
        fall = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip((done - warmup) / (1 - warmup), 0.0, 1.0)))
        return peak * jnp.where(done < warmup, rise, fall)

    return schedule


@spec
class AdamW:
    """Adam with decoupled weight decay, warm-up and cosine decay, gradients clipped by their global norm.

    Source:
      Loshchilov & Hutter (2019), Decoupled weight decay regularization.

    Attributes:
      learning_rate: Peak step size.
      weight_decay: Decoupled decay.
      clip: Largest global norm of a gradient.
    """

    kind = "adamw"
    learning_rate: float = 5e-3
    weight_decay: float = 1e-3
    clip: float = 5.0

    def build(self, n_step: float | jax.Array) -> optax.GradientTransformation:
        """The optax transformation for a run of n_step updates."""
        schedule = warmup_cosine(self.learning_rate, n_step)
        return optax.chain(optax.clip_by_global_norm(self.clip), optax.adamw(schedule, weight_decay=self.weight_decay))


@spec
class Muon:
    """Orthogonalised momentum for matrices, Adam for everything else; warm-up and cosine decay, clipping.

    Source:
      Jordan et al. (2024), Muon: an optimizer for hidden layers (optax.contrib.muon).

    Attributes:
      learning_rate: Peak step size for matrices.
      adam_learning_rate: Peak step size for everything else.
      weight_decay: Decoupled decay of matrices.
      clip: Largest global norm of a gradient.
    """

    learning_rate: float = 1e-2
    adam_learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    clip: float = 5.0

    def build(self, n_step: float | jax.Array) -> optax.GradientTransformation:
        """The optax transformation for a run of n_step updates."""
        muon = optax.contrib.muon(
            warmup_cosine(self.learning_rate, n_step),
            adam_learning_rate=warmup_cosine(self.adam_learning_rate, n_step),
            weight_decay=self.weight_decay,
            ns_steps=NS_STEPS,
        )
        return optax.chain(optax.clip_by_global_norm(self.clip), muon)
