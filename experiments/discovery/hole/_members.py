"""An ensemble of small networks on composition and lattice scale, all members trained side by side on exponential weights."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

Layers = list[tuple[Any, Any]]


class Members(NamedTuple):
    """A trained ensemble: layers with a leading axis of members, centre and spread of the labels."""

    layers: Layers
    center: float
    spread: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Predictions [n_member, n]."""
        return np.asarray(_outputs(self.layers, jnp.asarray(x, jnp.float32)), float) * self.spread + self.center

    def features(self, x: np.ndarray) -> np.ndarray:
        """Last hidden layer of the first member [n, width]."""
        return np.asarray(_hidden([(w[0], b[0]) for w, b in self.layers[:-1]], jnp.asarray(x, jnp.float32)), float)


@jax.jit
def _hidden(layers: Layers, x):
    for w, b in layers:
        x = jax.nn.silu(x @ w + b)
    return x


@jax.jit
def _outputs(layers: Layers, x):
    one = lambda layers: (_hidden(layers[:-1], x) @ layers[-1][0] + layers[-1][1])[..., 0]
    return jax.vmap(one)(layers)


def _init(key, n_in: int, width: int) -> Layers:
    keys, shapes = jax.random.split(key, 3), ((n_in, width), (width, width), (width, 1))
    draw = lambda k, shape, gain: gain * jax.random.normal(k, shape) * shape[0] ** -0.5
    return [(draw(k, shape, 3.0 if i == 0 else 1.0), jnp.zeros(shape[1])) for i, (k, shape) in enumerate(zip(keys, shapes, strict=True))]


@partial(jax.jit, static_argnames=("n_step", "batch"))
def _fit(layers: Layers, x, y, n_row, weights, key, *, n_step: int, batch: int) -> Layers:
    optimizer = optax.adamw(optax.cosine_decay_schedule(3e-3, n_step), weight_decay=1e-4)

    def one(layers, state, rows, weight):
        loss = lambda layers: (weight[rows] * ((_hidden(layers[:-1], x[rows]) @ layers[-1][0] + layers[-1][1])[:, 0] - y[rows]) ** 2).mean()
        step, state = optimizer.update(jax.grad(loss)(layers), state, layers)
        return optax.apply_updates(layers, step), state

    def step(carry, key):
        rows = jax.random.randint(key, (len(weights), batch), 0, n_row)
        return jax.vmap(one)(*carry, rows, weights), None

    return jax.lax.scan(step, (layers, jax.vmap(optimizer.init)(layers)), jax.random.split(key, n_step))[0][0]


def fit(x: np.ndarray, y: np.ndarray, n_member: int, n_step: int, width: int, key: jax.Array, room: int) -> Members:
    """Trains the members.

    Args:
      x: Inputs [n, n_feature].
      y: Labels [n].
      n_member: Members.
      n_step: Steps of Adam.
      width: Of both hidden layers.
      key: Of starts, weights and batches.
      room: Rows that the inputs are padded to, so that fits of different size share one programme.
    """
    center, spread, extra = float(y.mean()), float(y.std()), ((0, room - len(y)), (0, 0))
    start, weigh, run = jax.random.split(key, 3)
    layers = jax.vmap(lambda k: _init(k, x.shape[1], width))(jax.random.split(start, n_member))
    weights = jax.random.exponential(weigh, (n_member, room))
    padded = jnp.asarray(np.pad(x, extra), jnp.float32), jnp.asarray(np.pad((y - center) / spread, extra[0]), jnp.float32)
    return Members(_fit(layers, *padded, len(y), weights, run, n_step=n_step, batch=64), center, spread)
