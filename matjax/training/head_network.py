"""Small networks on fixed features, many at a time: what makes a fair table of risks affordable.

The features of a crystal (descriptors, or what a pretrained potential makes of it) do not change in training, so a fit is a
scan over minibatches of a table. Fits differ in rows, domains, weights, random numbers and in the strengths of loss, risk and
optimizer; fits of one structure and shape run in one call of one compiled program.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from matjax.config import spec
from matjax.keys import child
from matjax.risk import CMixup, RiskShape
from matjax.training.head_rows import Rows
from matjax.training.step import Gradient, Member, Plan, augment_key, update_member
from matjax.types import Outcome

Params = dict[str, dict[str, jax.Array]]


@spec
class HeadNetwork:
    """A multilayer perceptron with silu: linear, or with hidden layers.

    Attributes:
      hidden: Widths of the hidden layers; none for a linear model, whose latent features are its inputs.
      variance: Predict the logarithm of a variance beside the mean.
    """

    hidden: tuple[int, ...] = (64, 64)
    variance: bool = False

    def init(self, key: jax.Array, n_feature: int) -> Params:
        """Normal kernels of variance 1 / n_in, zero biases; the mean and the log variance start at zero."""
        widths = (n_feature, *self.hidden)
        sizes = {f"hidden_{i}": pair for i, pair in enumerate(zip(widths[:-1], widths[1:], strict=True))}
        params = {name: _dense(jax.random.normal(child(key, name), pair) / math.sqrt(pair[0])) for name, pair in sizes.items()}
        return params | {"output": _dense(jnp.zeros((widths[-1], 1 + self.variance)))}

    def apply(self, params: Params, x: jax.Array) -> tuple[jax.Array, jax.Array | None, jax.Array]:
        """(mean [n], log variance [n] or None, the last hidden layer [n, n_latent]) of features x [n, n_feature]."""
        for i in range(len(self.hidden)):
            x = jax.nn.silu(_affine(params[f"hidden_{i}"], x))
        said = _affine(params["output"], x)
        return said[:, 0], said[:, 1] if self.variance else None, x


class Scaling(NamedTuple):
    """Of the labelled training rows: mean and inverse spread of the features [n_feature], mean and spread of the label."""

    mean: jax.Array
    inverse: jax.Array
    shift: jax.Array
    scale: jax.Array


class Heads(NamedTuple):
    """Trained networks, one per fit along the first axis.

    params; scaling; error: mean absolute validation error at the epoch that was chosen, in units of the label, NaN without
    validation rows; epoch: that epoch, counted from one; skipped: updates skipped for non-finite gradients.
    """

    params: Any
    scaling: Scaling
    error: jax.Array
    epoch: jax.Array
    skipped: jax.Array


@spec
class Pace:
    """How long a fit is.

    Attributes:
      n_epoch: Validations, after each of which the parameters may be kept.
      n_update: Updates from one validation to the next.
      batch_size: Rows drawn for an update, with replacement; 0 takes them all.
    """

    n_epoch: int = 20
    n_update: int = 20
    batch_size: int = 256

    @property
    def n_step(self) -> int:
        """Updates in all."""
        return self.n_epoch * self.n_update


@functools.partial(jax.jit, static_argnames=("network", "pace", "n_domain", "at_once"))
def fit_heads(
    x: jax.Array,
    y: jax.Array,
    rows: Rows,
    plans: Plan,
    keys: jax.Array,
    *,
    network: HeadNetwork,
    pace: Pace,
    n_domain: int,
    at_once: int = 1,
) -> Heads:
    """Trains one network per fit.

    A label that is NaN counts as absent. Features and label are standardised by the labelled training rows of each fit; a
    feature that is constant there says nothing. Padding is in no number.

    Args:
      x: Features of the table [n, n_feature], finite.
      y: Labels of the table [n], NaN where absent.
      rows: What each fit sees, stacked.
      plans: Loss, risk and optimizer of each fit, stacked; `n_step` is that of the pace.
      keys: Raw key data of each fit [n_fit, 2].
      network: The network.
      pace: How long.
      n_domain: Domains that the risk tells apart.
      at_once: Fits that run side by side under vmap; the others wait.
    """
    one = functools.partial(_fit, x=x, y=y, network=network, pace=pace, n_domain=n_domain)
    return jax.lax.map(lambda fit: one(*fit), (rows, plans, keys), batch_size=at_once)


@functools.partial(jax.jit, static_argnames=("network",))
def predict_heads(heads: Heads, x: jax.Array, *, network: HeadNetwork) -> tuple[jax.Array, jax.Array | None, jax.Array]:
    """(mean [n_fit, n], noise [n_fit, n] or None, in units of the label; latent features [n_fit, n, n_latent]) of x [n, n_feature]."""
    return jax.lax.map(lambda head: _predict(head, x, network), heads)


@functools.partial(jax.jit, static_argnames=("network",))
def errors_of_heads(heads: Heads, x: jax.Array, y: jax.Array, rows: jax.Array, *, network: HeadNetwork) -> jax.Array:
    """Signed errors [n_fit, t] of each network on rows of its own [n_fit, t] of the table; NaN on padding (-1) and without a label."""

    def one(pair: tuple[Heads, jax.Array]) -> jax.Array:
        head, own = pair
        return jnp.where(own >= 0, _predict(head, x[own], network)[0] - y[own], jnp.nan)

    return jax.lax.map(one, (heads, rows))


def _fit(
    rows: Rows, plan: Plan, raw_key: jax.Array, *, x: jax.Array, y: jax.Array, network: HeadNetwork, pace: Pace, n_domain: int
) -> Heads:
    key = jax.random.wrap_key_data(raw_key)
    mask, labelled = rows.index >= 0, rows.labelled & (rows.index >= 0) & jnp.isfinite(y[rows.index])
    scaling = _scaling(x[rows.index], y[rows.index], labelled)
    inputs, target = _standard(x[rows.index], scaling), jnp.where(labelled, (y[rows.index] - scaling.shift) / scaling.scale, 0.0)
    weight = rows.weight * (1.0 + plan.bootstrap * (_exponential(child(key, "bootstrap"), rows.index) - 1.0))
    table = (inputs, target, rows.domain, weight, labelled, mask)
    checks, held = x[rows.validation], y[rows.validation]
    known = (rows.validation >= 0) & jnp.isfinite(held)

    def update(member: Member, k: jax.Array) -> tuple[Member, None]:
        batch = table
        if pace.batch_size:
            place = (jax.random.uniform(k, (pace.batch_size,)) * mask.sum()).astype(jnp.int32)
            batch = jax.tree.map(lambda column: column[place], table)
        if isinstance(plan.augment, CMixup):
            x_batch, y_batch, domain, weight_batch, has, _ = batch
            batch = (*plan.augment.apply(augment_key(member), x_batch, y_batch, domain, has & (weight_batch > 0)), *batch[2:])
        return update_member(member, _gradient(member, batch, plan, network), plan=plan), None

    def epoch(carry: tuple[Member, Heads], k: tuple[jax.Array, jax.Array]) -> tuple[tuple[Member, Heads], None]:
        member, best = carry
        member, _ = jax.lax.scan(update, member, jax.random.split(k[1], pace.n_update))
        now = Heads(member.average, scaling, jnp.zeros(()), k[0], member.skipped)
        error = jnp.abs(jnp.where(known, _predict(now, checks, network)[0] - held, 0.0)).sum() / known.sum()
        now = now._replace(error=error)
        better = ~(error >= best.error)  # NaN, without validation rows, is always taken
        return (member, jax.tree.map(lambda new, old: jnp.where(better, new, old), now, best)), None

    member = _start(child(key, "init"), x.shape[1], plan, network, n_domain)
    best = Heads(member.params, scaling, jnp.asarray(jnp.inf), jnp.zeros((), jnp.int32), member.skipped)
    epochs = jnp.arange(1, pace.n_epoch + 1, dtype=jnp.int32), jax.random.split(child(key, "order"), pace.n_epoch)
    (member, best), _ = jax.lax.scan(epoch, (member, best), epochs)
    return best._replace(skipped=member.skipped)


def _gradient(member: Member, batch: tuple[jax.Array, ...], plan: Plan, network: HeadNetwork) -> Gradient:
    x, y, domain, weight, labelled, mask = batch

    def objective(params: Params, risk_params: Any) -> tuple[jax.Array, Any]:
        mean, log_variance, latent = network.apply(params, x)
        error = jnp.where(labelled, mean - y, 0.0)
        of_error = lambda error: plan.loss.energy * plan.loss.of_error(error, log_variance)
        by_factor = jnp.where(labelled, mean, 0.0)
        loss, slope = jax.jvp(of_error, (error,), (by_factor,)) if plan.risk.uses_slope else (of_error(error), None)
        outcome = Outcome(loss, latent, log_variance, error, domain, weight, labelled, mask, mean, slope, x)
        value, memory, _ = plan.risk.apply(risk_params, member.risk_memory, outcome)
        return value, (value, memory)

    (slope, risk_slope), (value, memory) = jax.grad(objective, (0, 1), has_aux=True)(member.params, member.risk_params)
    return Gradient(slope, risk_slope, memory, {"risk": value}, member.culprit)


def _start(key: jax.Array, n_feature: int, plan: Plan, network: HeadNetwork, n_domain: int) -> Member:
    params = network.init(key, n_feature)
    n_latent = network.hidden[-1] if network.hidden else n_feature
    risk_params, risk_memory = plan.risk.init(child(key, "risk"), RiskShape(n_domain, n_latent, n_input=n_feature))
    zero = jnp.zeros((), jnp.int32)
    return Member(
        number=zero,
        key=jax.random.key_data(key),
        reference=jnp.zeros(()),
        params=params,
        average=params,
        risk_params=risk_params,
        risk_memory=risk_memory,
        optimizer=plan.optimizer.build(plan.n_step).init(params),
        risk_optimizer=optax.adam(plan.risk_learning_rate).init(risk_params),
        step=zero,
        skipped=zero,
        culprit=zero - 1,
    )


def _scaling(x: jax.Array, y: jax.Array, labelled: jax.Array) -> Scaling:
    known = labelled[:, None]
    x_mean, x_spread = jnp.mean(x, 0, where=known), jnp.std(x, 0, where=known)
    y_mean, y_spread = jnp.mean(y, where=labelled), jnp.std(y, where=labelled)
    varies = x_spread > 1e-5 * (1e-3 + jnp.abs(x_mean))
    return Scaling(x_mean, jnp.where(varies, 1 / jnp.where(varies, x_spread, 1.0), 0.0), y_mean, jnp.where(y_spread > 0, y_spread, 1.0))


def _standard(x: jax.Array, scaling: Scaling) -> jax.Array:
    return (x - scaling.mean[None, :]) * scaling.inverse[None, :]


def _predict(head: Heads, x: jax.Array, network: HeadNetwork) -> tuple[jax.Array, jax.Array | None, jax.Array]:
    mean, log_variance, latent = network.apply(head.params, _standard(x, head.scaling))
    noise = None if log_variance is None else head.scaling.scale * jnp.exp(jnp.clip(log_variance, -8.0, 4.0) / 2)
    return mean * head.scaling.scale + head.scaling.shift, noise, latent


def _exponential(key: jax.Array, index: jax.Array) -> jax.Array:
    """One exponential draw per row of the table [m], the same wherever the row stands."""
    return jax.vmap(lambda i: jax.random.exponential(jax.random.fold_in(key, i)))(jnp.maximum(index, 0).astype(jnp.uint32))


def _dense(kernel: jax.Array) -> dict[str, jax.Array]:
    return {"kernel": kernel, "bias": jnp.zeros(kernel.shape[1])}


def _affine(layer: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return jnp.matmul(x, layer["kernel"]) + layer["bias"][None, :]
