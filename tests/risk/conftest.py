"""A laboratory of batches for the tests of this room: small batches, and a tiny model trained under any risk."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from matjax.risk import RiskShape
from matjax.types import Outcome


@pytest.fixture(autouse=True)
def strict_ranks():
    """Broadcasting between ranks must be written out."""
    with jax.numpy_rank_promotion("raise"):
        yield


def make_outcome(loss, domain=None, *, features=None, log_variance=None, error=None, weight=None, labelled=None, mask=None, **more):
    """An outcome with the rest filled in; `more` is prediction, slope or inputs."""
    n = len(loss)
    fill = lambda value, default: jnp.asarray(default if value is None else value)
    return Outcome(
        loss=jnp.asarray(loss, jnp.float32),
        features=fill(features, np.zeros((n, 2))).astype(jnp.float32),
        log_variance=None if log_variance is None else jnp.asarray(log_variance, jnp.float32),
        error=fill(error, np.zeros(n)).astype(jnp.float32),
        domain=fill(domain, np.zeros(n)).astype(jnp.int32),
        weight=fill(weight, np.ones(n)).astype(jnp.float32),
        labelled=fill(labelled, np.ones(n, bool)),
        mask=fill(mask, np.ones(n, bool)),
        **{name: jnp.asarray(value, jnp.float32) for name, value in more.items()},
    )


@pytest.fixture(name="outcome")
def outcome_fixture():
    return make_outcome


def init_mlp(key, widths):
    keys = jax.random.split(key, len(widths) - 1)
    return [{"w": jax.random.normal(k, (a, b)) / a**0.5, "b": jnp.zeros(b)} for k, a, b in zip(keys, widths[:-1], widths[1:], strict=True)]


def apply_mlp(layers, x):
    """(prediction [n], log variance [n], last hidden layer [n, k])."""
    hidden = x
    for layer in layers[:-1]:
        hidden = jnp.tanh(hidden @ layer["w"] + layer["b"][None, :])
    out = hidden @ layers[-1]["w"] + layers[-1]["b"][None, :]
    return out[:, 0], out[:, 1], hidden


def train_mlp(
    risk, x, y, domain, *, labelled=None, widths=(), nll=False, n_domain=None, with_inputs=False, steps=400, rate=0.01, seed=0, decay=0.0
):
    """Full-batch AdamW under a risk; `widths` are hidden layers (none: linear). Returns x -> (mean, log variance, features)."""
    x, y, domain = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), jnp.asarray(domain, jnp.int32)
    labelled = jnp.ones(len(y), bool) if labelled is None else jnp.asarray(labelled)
    k_model, k_risk = jax.random.split(jax.random.key(seed))
    layers = init_mlp(k_model, (x.shape[1], *widths, 2))
    n_feature = widths[-1] if widths else x.shape[1]
    inputs = x if with_inputs else None
    params, memory = risk.init(k_risk, RiskShape(n_domain or int(domain.max()) + 1, n_feature, n_input=x.shape[1] * with_inputs))
    optimizer = optax.adamw(rate, weight_decay=decay)

    def value_of(both, memory):
        mean, log_variance, features = apply_mlp(both[0], x)
        error = mean - y
        loss = 0.5 * (error**2 * jnp.exp(-log_variance) + log_variance) if nll else error**2
        slope = error * mean * jnp.exp(-log_variance) if nll else 2 * error * mean
        ones = jnp.ones(len(y))
        batch = Outcome(loss, features, log_variance if nll else None, error, domain, ones, labelled, ones > 0, mean, slope, inputs)
        value, memory, _ = risk.apply(both[1], memory, batch)
        return value, memory

    def step(carry, _):
        both, state, memory = carry
        gradients, memory = jax.grad(value_of, has_aux=True)(both, memory)
        updates, state = optimizer.update(gradients, state, both)
        return (optax.apply_updates(both, updates), state, memory), None

    both = (layers, params)
    (both, _, memory), _ = jax.jit(lambda carry: jax.lax.scan(step, carry, None, steps))((both, optimizer.init(both), memory))
    return lambda x: tuple(np.asarray(a) for a in apply_mlp(both[0], jnp.asarray(x, jnp.float32)))


@pytest.fixture(name="train")
def train_fixture():
    return train_mlp
