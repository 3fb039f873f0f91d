"""Gradient reversal: the identity forwards, minus the strength times the identity backwards."""

from __future__ import annotations

import jax
import jax.numpy as jnp


@jax.custom_vjp
def reverse(x: jax.Array, strength: jax.Array | float) -> jax.Array:
    """Returns x; its gradient is multiplied by -strength (and the strength receives none).

    What stands above it is minimised, what stands below it is maximised, in one step.

    Source:
      Ganin & Lempitsky (2015), Unsupervised domain adaptation by backpropagation, section 3.
    """
    return x


def _forward(x: jax.Array, strength: jax.Array | float) -> tuple[jax.Array, jax.Array]:
    return x, jnp.asarray(strength, x.dtype)


def _backward(strength: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    return -strength * cotangent, jnp.zeros_like(strength)


reverse.defvjp(_forward, _backward)
