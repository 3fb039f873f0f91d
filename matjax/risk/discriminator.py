"""The discriminator of adversarial risks: a network of one hidden layer, and the schedule of its reversed gradient."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from matjax.keys import child

Params = dict[str, dict[str, jax.Array]]


def init_discriminator(key: jax.Array, n_in: int, hidden: int, n_domain: int) -> Params:
    """Normal kernels of variance 1 / n_in and zero biases."""
    return {"hidden": _dense(child(key, "hidden"), n_in, hidden), "output": _dense(child(key, "output"), hidden, n_domain)}


def discriminate(params: Params, x: jax.Array, domain: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy of each crystal's domain [n_graph], and whether it was guessed (1.0 or 0.0), from x [n_graph, n_in]."""
    logits = _affine(params["output"], jax.nn.relu(_affine(params["hidden"], x)))
    entropy = -jnp.take_along_axis(jax.nn.log_softmax(logits), domain[:, None], axis=1)[:, 0]
    return entropy, (logits.argmax(1) == domain).astype(entropy.dtype)


def ramp(step: jax.Array, warmup: float | jax.Array) -> jax.Array:
    """2 / (1 + exp(-10 step / warmup)) - 1: from 0 to 0.99995 at the end of the warm-up.

    Source:
      Ganin & Lempitsky (2015), Unsupervised domain adaptation by backpropagation, section 4.
    """
    return jnp.tanh(5 * step / warmup)


def _dense(key: jax.Array, n_in: int, n_out: int) -> dict[str, jax.Array]:
    return {"kernel": jax.random.normal(key, (n_in, n_out)) / n_in**0.5, "bias": jnp.zeros(n_out)}


def _affine(layer: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return jnp.matmul(x, layer["kernel"]) + layer["bias"][None, :]
