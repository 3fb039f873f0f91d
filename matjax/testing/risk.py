"""The contract of a risk: what training relies on, whatever the method."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matjax.keys import child, generator
from matjax.risk import Risk, RiskShape
from matjax.testing.compare import assert_close, assert_finite
from matjax.types import Outcome

SAYS = ("loss", "features", "log_variance", "error", "prediction", "slope")


def check_risk(risk: Risk, *, key: jax.Array) -> None:
    """Holds a risk against the contract that training relies on.

    Value, params, memory and metrics are finite scalars or arrays of a fixed structure; gradients with respect to params and
    outcome are finite, none reaches the memory; padding may hold anything, NaN included; the order of crystals and their
    losses where there is no label do not matter; a domain, or every label, may be absent; jit equals eager, a stack of
    members under vmap equals one by one, and settings that differ in strength compile once.

    Args:
      risk: The risk; for your own base or penalty, `Risk(MyBase())` or `Risk() + MyPenalty()`.
      key: For params and test batches.

    Raises:
      AssertionError: If it breaks the contract; the message says where.
    """
    shape = RiskShape(n_domain=4, n_feature=5, sizes=(40, 30, 20, 0), n_input=2)
    random = generator(child(key, "batches"))
    params, memory = fresh = risk.init(child(key, "init"), shape)
    step = jax.jit(_value_and_gradients)
    for _ in range(3):
        batch = _outcome(random)
        found = step(risk, params, memory, batch)
        assert_finite(found, f"{risk} on an ordinary batch")
        assert jax.tree.structure(found[1]) == jax.tree.structure(memory), "apply returned a memory of another structure than init"
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(jnp.shape(a), jnp.shape(b)), found[1], memory)
        memory = found[1]
    value, after, metrics, gradients = step(risk, params, memory, batch)
    assert value.shape == () and all(m.shape == () for m in metrics.values()), "value and metrics must be scalars"
    assert all(not jnp.any(g) for g in jax.tree.leaves(gradients["memory"])), "a gradient reaches the memory"

    assert_close(risk.apply(params, memory, batch), (value, after, metrics), "jit and eager differ")
    _check_rows(step, risk, params, memory, batch, random)
    for name, change in _ABSENCES.items():
        assert_finite(step(risk, params, memory, change(batch)), f"{risk} on a batch with {name}")
        assert_finite(step(risk, *fresh, change(batch)), f"{risk} on a first batch with {name}")
    _check_members(risk, shape, batch, child(key, "members"))
    _check_traces(risk, params, memory, batch)


def _outcome(random: np.random.Generator, n_graph: int = 16, n_pad: int = 4) -> Outcome:
    """A batch of three labelled domains and an unlabelled fourth, padded at the end."""
    real = np.arange(n_graph) < n_graph - n_pad
    domain = np.where(real, np.arange(n_graph) % 4, 0)
    error, target = random.normal(size=(2, n_graph))
    numbers = lambda values: jnp.asarray(values, jnp.float32)
    return Outcome(
        loss=numbers(error**2),
        features=numbers(random.normal(size=(n_graph, 5)) * [1, 2, 3, 0.1, 1] + domain[:, None]),
        log_variance=numbers(random.normal(size=n_graph) - 2),
        error=numbers(error),
        domain=jnp.asarray(domain, jnp.int32),
        weight=numbers(random.uniform(0.5, 1.5, n_graph) * real),
        labelled=jnp.asarray(domain < 3),
        mask=jnp.asarray(real),
        prediction=numbers(target + error),
        slope=numbers(2 * error * (target + error)),
        inputs=numbers(random.normal(size=(n_graph, 2)) + domain[:, None]),
    )


def _value_and_gradients(risk: Risk, params: Any, memory: Any, batch: Outcome) -> tuple[jax.Array, Any, Any, dict[str, Any]]:
    """(value, new memory, metrics, gradients by params, memory and what the model says)."""
    says = {name: getattr(batch, name) for name in SAYS}

    def value_of(inputs: dict[str, Any]) -> tuple[jax.Array, Any]:
        value, after, metrics = risk.apply(inputs["params"], inputs["memory"], batch._replace(**inputs["says"]))
        return value, (after, metrics)

    inputs = {"params": params, "memory": memory, "says": says}
    (value, (after, metrics)), gradients = jax.value_and_grad(value_of, has_aux=True)(inputs)
    return value, after, metrics, gradients


def _check_rows(step: Any, risk: Risk, params: Any, memory: Any, batch: Outcome, random: np.random.Generator) -> None:
    """Padding, order, and the losses of crystals without a label."""
    expected = step(risk, params, memory, batch)
    pad = ~np.asarray(batch.mask)
    for garbage in (1e6, np.nan, np.inf):
        fill = lambda x, g=garbage: jnp.where(pad.reshape(-1, *(1,) * (x.ndim - 1)), jnp.asarray(g, x.dtype), x)
        dirty = batch._replace(**{k: fill(getattr(batch, k)) for k in (*SAYS, "inputs", "weight")})
        dirty = dirty._replace(domain=jnp.where(pad, 10**6, batch.domain), labelled=batch.labelled | pad)
        assert_close(expected, step(risk, params, memory, dirty), f"{garbage} in the padding shows")
    unknown = ~np.asarray(batch.labelled)
    nonsense = batch._replace(**{k: jnp.where(unknown, jnp.nan, getattr(batch, k)) for k in ("loss", "error", "slope")})
    assert_close(expected, step(risk, params, memory, nonsense), "the loss of a crystal without a label shows")
    order = random.permutation(len(pad))
    shuffled = step(risk, params, memory, jax.tree.map(lambda x: x[order], batch))
    assert_close(expected[:3], shuffled[:3], "the order of the crystals shows")
    permuted = jax.tree.map(lambda g: g[order], expected[3]["says"])
    assert_close(permuted, shuffled[3]["says"], "the order of the crystals shows in the gradients")


_ABSENCES = {
    "an empty domain": lambda batch: batch._replace(mask=batch.mask & (batch.domain != 1)),
    "a single domain": lambda batch: batch._replace(mask=batch.mask & (batch.domain == 0)),
    "one crystal per domain": lambda batch: batch._replace(mask=jnp.arange(len(batch.mask)) < 4),
    "one crystal": lambda batch: batch._replace(mask=jnp.arange(len(batch.mask)) < 1),
    "only target crystals": lambda batch: batch._replace(labelled=jnp.zeros_like(batch.labelled)),
    "equal features": lambda batch: batch._replace(features=jnp.ones_like(batch.features), inputs=jnp.ones_like(batch.inputs)),
    "equal predictions": lambda batch: batch._replace(prediction=jnp.ones_like(batch.prediction), error=jnp.zeros_like(batch.error)),
    "no error": lambda batch: batch._replace(error=jnp.zeros_like(batch.error), loss=jnp.zeros_like(batch.loss)),
    "no weight": lambda batch: batch._replace(weight=jnp.zeros_like(batch.weight)),
    "nothing but padding": lambda batch: batch._replace(mask=jnp.zeros_like(batch.mask)),
}


def _check_members(risk: Risk, shape: RiskShape, batch: Outcome, key: jax.Array) -> None:
    """Two members under vmap and under lax.map, each with its own state and sample weights, equal one by one."""
    members = [(risk.init(child(key, member), shape), batch.weight * (1 + member * batch.loss)) for member in range(2)]
    stack = lambda trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

    def run(member: tuple[tuple[Any, Any], jax.Array]) -> tuple[jax.Array, Any, dict[str, jax.Array]]:
        (params, memory), weight = member
        return risk.apply(params, memory, batch._replace(weight=weight))

    alone = stack([jax.jit(run)(member) for member in members])
    assert_close(alone, jax.jit(jax.vmap(run))(stack(members)), "members under vmap differ from members alone")
    assert_close(alone, jax.jit(lambda m: jax.lax.map(run, m))(stack(members)), "members under lax.map differ from members alone")


def _check_traces(risk: Risk, params: Any, memory: Any, batch: Outcome) -> None:
    """Settings that differ in their numbers share one compiled function."""
    traces = []

    @jax.jit
    def value_of(risk: Risk) -> jax.Array:
        traces.append(1)
        return risk.apply(params, memory, batch)[0]

    for factor in (1.0, 1.0, 0.75, 0.5):
        value_of(jax.tree.map(lambda x, f=factor: f * x, risk))
    assert len(traces) == 1, f"{risk} was traced {len(traces)} times for settings that differ in strength only"
