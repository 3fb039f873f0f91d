"""Small networks on fixed descriptors, many fits in one program: from scratch, fine-tuned, domain-adversarial, conditioned on fidelity."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from matjax.keys import child
from matjax.risk import DANN, Risk, RiskShape
from matjax.types import Outcome

N_EXTRA = 2  # input columns after the descriptors: the PBE value, the fidelity


class Table(NamedTuple):
    """Every crystal that may be in a batch: inputs [n, n_feature + 2], standardised labels [n], 0 for source and 1 for target [n]."""

    x: jax.Array
    y: jax.Array
    fidelity: jax.Array


class Fit(NamedTuple):
    """One fit; stacked, many at once.

    Attributes:
      params: Start.
      batches: Rows of every step [n_step, n_batch].
      use_pbe: Whether the PBE value is an input.
      use_fidelity: Whether the fidelity is.
      learn_source: Whether labels of source crystals count.
      strength: Of the domain-adversarial penalty.
      rate: Learning rate.
      shift: Label of a crystal of which nothing is known.
    """

    params: Any
    batches: Any
    use_pbe: float
    use_fidelity: float
    learn_source: bool
    strength: float
    rate: float
    shift: float


def initial(key: jax.Array, n_descriptor: int, width: int) -> Any:
    """Fresh weights; those of the two further inputs are zero, so that a network that goes on with them answers as before."""
    sizes = (n_descriptor + N_EXTRA, width, width, 1)
    keys = jax.random.split(key, 3)
    layers = [{"w": jax.random.normal(k, (a, b)) / a**0.5, "b": jnp.zeros(b)} for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)]
    layers[0]["w"] = layers[0]["w"].at[-N_EXTRA:].set(0.0)
    layers[2]["w"] = layers[2]["w"] * 0.1
    return layers


def stacked(fits: list[Fit]) -> Fit:
    """Fits with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *fits)


@partial(jax.jit, static_argnames=("checkpoints", "decay"))
def train(fits: Fit, table: Table, asked: jax.Array, key: jax.Array, checkpoints: tuple[int, ...], decay: bool) -> tuple[Any, jax.Array]:
    """Weights at the end, and answers [n_fit, n_checkpoint, n_asked] for these inputs after so many steps."""
    return jax.vmap(lambda fit: _train(fit, table, asked, key, checkpoints, decay))(fits)


def _train(fit: Fit, table: Table, asked: jax.Array, key: jax.Array, checkpoints: tuple[int, ...], decay: bool) -> tuple[Any, jax.Array]:
    n_step = checkpoints[-1]
    rate = optax.cosine_decay_schedule(1.0, n_step) if decay else optax.constant_schedule(1.0)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.scale_by_adam(), optax.add_decayed_weights(1e-3), optax.scale_by_schedule(rate)
    )
    risk = Risk() + DANN(strength=fit.strength, warmup=float(max(n_step // 2, 1)), hidden=32)  # type: ignore[arg-type] (traced)
    risk_params, memory = risk.init(child(key, "risk"), RiskShape(2, fit.params[-1]["w"].shape[0]))
    mask = jnp.concatenate([jnp.ones(table.x.shape[1] - N_EXTRA), jnp.stack([fit.use_pbe, fit.use_fidelity])])
    trained = {"network": fit.params, "risk": risk_params}

    def value(trained: Any, memory: Any, rows: jax.Array) -> tuple[jax.Array, Any]:
        answer, features = _forward(trained["network"], table.x[rows] * mask[None], fit.shift)
        error, fidelity = answer - table.y[rows], table.fidelity[rows]
        ones = jnp.ones(rows.shape)
        known = (fidelity == 1) | fit.learn_source
        outcome = Outcome(optax.huber_loss(error, delta=0.5), features, None, error, fidelity, ones, known, ones > 0)
        total, memory, _ = risk.apply(trained["risk"], memory, outcome)
        return total, memory

    def step(carry: Any, rows: jax.Array) -> tuple[Any, None]:
        trained, memory, state = carry
        gradient, memory = jax.grad(value, has_aux=True)(trained, memory, rows)
        change, state = optimizer.update(gradient, state, trained)
        return (jax.tree.map(lambda p, c: p - fit.rate * c, trained, change), memory, state), None

    carry = (trained, memory, optimizer.init(trained))
    answers, done = [], 0
    for checkpoint in checkpoints:
        if checkpoint > done:
            carry, _ = jax.lax.scan(step, carry, fit.batches[done:checkpoint])
        done = checkpoint
        answers.append(_forward(carry[0]["network"], asked * mask[None], fit.shift)[0])
    return carry[0]["network"], jnp.stack(answers)


def _forward(params: Any, x: jax.Array, shift: jax.Array | float) -> tuple[jax.Array, jax.Array]:
    """Answers [n] and last hidden features [n, width]."""
    for layer in params[:-1]:
        x = jax.nn.silu(x @ layer["w"] + layer["b"][None])
    return (x @ params[-1]["w"])[:, 0] + params[-1]["b"][0] + shift, x
