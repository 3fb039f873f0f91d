"""One update of every ensemble member, compiled once per structure of model, loss, risk and optimizer.

Members share a batch. Each has its whole update to itself: loss, gradient, clipping, optimizer, average, skipping of
non-finite gradients. The risk's own parameters have their own optimizer; its memory gets no gradient.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from matjax.config import spec
from matjax.data.elements import N_ELEMENT
from matjax.keys import child
from matjax.nn import Model, evaluate
from matjax.nn.sharing import over_members
from matjax.risk import Adversarial, CMixup, Risk, RiskShape
from matjax.training.accumulate import accumulated, check_additive
from matjax.training.head_labels import head_scales
from matjax.training.loss import Loss
from matjax.training.mesh import gathered, predict_on, summed, train_on
from matjax.training.optimizer import AdamW, Muon
from matjax.training.selection import stop_frozen
from matjax.types import Graph, Output


@spec
class Plan:
    """Everything an update depends on but the model: numbers are leaves, structure is static.

    Attributes:
      loss: Per-crystal loss.
      risk: What is made of it.
      optimizer: For the model's parameters.
      n_step: Updates in the whole run.
      ema: Decay of the running average of parameters that predictions use.
      bootstrap: 1.0 weighs crystals by member-specific exponential draws (Bayesian bootstrap), 0.0 by one.
      risk_learning_rate: Adam step for the risk's own parameters (a discriminator).
      accumulate: Batches that make one update; above 1 the arrays of a graph have them as a leading axis (see `accumulate`).
      augment: What is done to a batch before an update, or None.
    """

    loss: Loss
    risk: Risk
    optimizer: AdamW | Muon
    n_step: float
    ema: float = 0.99
    bootstrap: float = 0.0
    risk_learning_rate: float = 3e-3
    accumulate: int = 1
    augment: Adversarial | CMixup | None = None


class Member(NamedTuple):
    """State of one member; an ensemble is this with a leading axis.

    number: its place; key: raw key data; reference [n_element]: added to the common references, eV/atom, zero but in
    cross-fitting; params, average: trained and averaged parameters; risk_params, risk_memory; two
    optimizer states; step; skipped: updates skipped for non-finite gradients; culprit: row of the last crystal whose loss
    was not finite, -1 if none.
    """

    number: jax.Array
    key: jax.Array
    reference: jax.Array
    params: Any
    average: Any
    risk_params: Any
    risk_memory: Any
    optimizer: Any
    risk_optimizer: Any
    step: jax.Array
    skipped: jax.Array
    culprit: jax.Array


def init_members(keys: jax.Array, graph: Graph, plan: Plan, *, model: Model, risk_shape: RiskShape) -> Member:
    """Fresh members, one per key (raw key data [n_member, 2])."""
    k_model, k_risk, k_own = jnp.moveaxis(
        jax.vmap(lambda raw: jax.random.key_data(jax.random.split(jax.random.wrap_key_data(raw), 3)))(keys), 1, 0
    )
    params = init_params(k_model, graph, model=model)
    risks = [plan.risk.init(jax.random.wrap_key_data(raw), risk_shape) for raw in k_risk]
    risk_params, risk_memory = jax.tree.map(lambda *x: jnp.stack(x), *risks)
    n_member = len(keys)
    return Member(
        number=jnp.arange(n_member, dtype=jnp.int32),
        key=k_own,
        reference=jnp.zeros((n_member, N_ELEMENT + 1), jnp.float32),
        params=params,
        average=jax.tree.map(jnp.copy, params),
        risk_params=risk_params,
        risk_memory=risk_memory,
        optimizer=jax.vmap(plan.optimizer.build(plan.n_step).init)(params),
        risk_optimizer=jax.vmap(optax.adam(plan.risk_learning_rate).init, axis_size=n_member)(risk_params),
        step=jnp.zeros(n_member, jnp.int32),
        skipped=jnp.zeros(n_member, jnp.int32),
        culprit=jnp.full(n_member, -1, jnp.int32),
    )


@functools.partial(jax.jit, static_argnames=("model",))
def init_params(keys: jax.Array, graph: Graph, *, model: Model) -> Any:
    """Fresh parameters of every member; compiled once per model, whatever the risk."""
    return jax.lax.map(lambda raw: model.init(jax.random.wrap_key_data(raw), graph)["params"], keys)


@functools.partial(jax.jit, static_argnames=("model", "derivatives", "members_per_step", "mesh"), donate_argnames=("members",))
def train_step(
    members: Member,
    constants: Any,
    graph: Graph,
    plan: Plan,
    *,
    model: Model,
    derivatives: tuple[str, ...],
    members_per_step: int,
    mesh: Mesh | None = None,
) -> tuple[Member, dict[str, jax.Array]]:
    """Updates every member on one batch; returns members and metrics, each [n_member].

    Gradients are taken `members_per_step` at a time (working set), the cheap rest for all members at once. On a mesh every
    device does so with its own members and its own shard of the batch: arrays of the graph are [n_shard, ...].
    """

    def update(
        members: Member, constants: Any, graph: Graph, plan: Plan, data_axis: str | None = None
    ) -> tuple[Member, dict[str, jax.Array]]:
        slope = functools.partial(
            _gradient, constants=constants, graph=graph, plan=plan, model=model, derivatives=derivatives, data_axis=data_axis
        )
        gradients = jax.lax.map(slope, members, batch_size=members_per_step)
        return jax.vmap(functools.partial(update_member, plan=plan))(members, gradients), gradients.metrics

    return (update if mesh is None else train_on(mesh, update))(members, constants, graph, plan)


@functools.partial(jax.jit, static_argnames=("model", "derivatives", "mesh"))
def predict_step(
    params: Any, constants: Any, graph: Graph, *, model: Model, derivatives: tuple[str, ...], mesh: Mesh | None = None
) -> Output:
    """Outputs of all members for one batch, with a leading member axis; on a mesh [n_member, n_shard, ...]."""

    def predict(params: Any, constants: Any, graph: Graph) -> Output:
        return over_members(lambda p: evaluate(model, {"params": p, "constants": constants}, graph, derivatives=derivatives), params)

    return (predict if mesh is None else predict_on(mesh, predict))(params, constants, graph)


class Gradient(NamedTuple):
    """What one batch says to one member: slopes, the risk's new memory, metrics, the last crystal whose loss is not finite."""

    slope: Any
    risk_slope: Any
    memory: Any
    metrics: dict[str, jax.Array]
    culprit: jax.Array


def _gradient(
    member: Member, *, constants: Any, graph: Graph, plan: Plan, model: Model, derivatives: tuple[str, ...], data_axis: str | None = None
) -> Gradient:
    def loss_of(graph: Graph) -> jax.Array:
        output = evaluate(model, {"params": member.params, "constants": constants}, graph)
        return plan.loss.outcome(output, graph, constants["scale"], head_scales(model, constants)).loss

    def part(graph: Graph) -> tuple[Any, jax.Array, jax.Array]:
        energy = graph.globals.energy - _reference_energy(member, graph) * graph.globals.has_energy
        graph = graph._replace(globals=graph.globals._replace(weight=_weights(member, graph, plan.bootstrap), energy=energy))
        if isinstance(plan.augment, Adversarial):
            graph = plan.augment.apply(augment_key(member), graph, loss_of)

        def objective(params: Any, risk_params: Any) -> tuple[jax.Array, Any]:
            variables = {"params": stop_frozen(params, plan.optimizer.frozen), "constants": constants}
            output = evaluate(model, variables, graph, derivatives=derivatives)
            target = (output, graph, constants["scale"], head_scales(model, constants))
            own = plan.loss.outcome(*target, slope=plan.risk.uses_slope)
            outcome, index = gathered((own, graph.globals.index), data_axis)
            value, memory, metrics = plan.risk.apply(risk_params, member.risk_memory, outcome)
            bad = outcome.mask & ~jnp.isfinite(outcome.loss)
            weight = jnp.sum(outcome.weight, where=outcome.mask & outcome.labelled)
            share = jnp.where(own.mask & own.labelled, own.weight, 0.0) / jnp.where(weight > 0, weight, 1.0)
            terms = {f"loss/{name}": jnp.sum(share * term, where=share > 0) for name, term in plan.loss.terms(*target).items()}
            return value, (memory, ({**metrics, "risk": value}, terms), weight, jnp.max(index, initial=-1, where=bad))

        slopes, (memory, metrics, weight, culprit) = jax.grad(objective, (0, 1), has_aux=True)(member.params, member.risk_params)
        return (*slopes, memory, metrics), weight, culprit

    if plan.accumulate > 1:
        check_additive(plan.risk)
    found, weight, culprit = part(graph) if plan.accumulate == 1 else accumulated(part, graph)
    slope, risk_slope, memory, (metrics, terms) = found
    slope, terms = summed((slope, terms), data_axis)
    return Gradient(slope, risk_slope, memory, metrics | terms | {"weight": weight, "gradient_norm": optax.tree.norm(slope)}, culprit)


def update_member(member: Member, gradient: Gradient, *, plan: Plan) -> Member:
    """The member after one step along a gradient; as it was, but for the count, where something is not finite."""
    change, optimizer = plan.optimizer.build(plan.n_step).update(gradient.slope, member.optimizer, member.params)
    risk_change, risk_optimizer = optax.adam(plan.risk_learning_rate).update(gradient.risk_slope, member.risk_optimizer)
    params = optax.apply_updates(member.params, change)
    decay = jnp.minimum(plan.ema, (1.0 + member.step) / (10.0 + member.step))
    after = member._replace(
        params=params,
        average=jax.tree.map(lambda a, p: a + (1 - decay) * (p - a), member.average, params),
        risk_params=optax.apply_updates(member.risk_params, risk_change),
        risk_memory=gradient.memory,
        optimizer=optimizer,
        risk_optimizer=risk_optimizer,
    )
    seen = jax.tree.leaves((gradient.slope, gradient.risk_slope, gradient.metrics["risk"]))
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in seen]))
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, member)
    skipped = member.skipped + (~finite).astype(jnp.int32)
    return kept._replace(step=member.step + 1, skipped=skipped, culprit=jnp.where(finite, member.culprit, gradient.culprit))


def augment_key(member: Member) -> jax.Array:
    """Randomness of what is done to the batch of this step."""
    return jax.random.fold_in(child(jax.random.wrap_key_data(member.key), "augment"), member.step)


def _reference_energy(member: Member, graph: Graph) -> jax.Array:
    """What the member's own references add to the common ones [n_graph], eV."""
    n_graph = graph.n_node.shape[0]
    owner = jnp.repeat(jnp.arange(n_graph), graph.n_node, total_repeat_length=graph.nodes.mask.shape[0])
    atomic = jnp.where(graph.nodes.mask, member.reference[graph.nodes.numbers], 0.0)
    return jax.ops.segment_sum(atomic, owner, n_graph, indices_are_sorted=True)


def _weights(member: Member, graph: Graph, bootstrap: float | jax.Array) -> jax.Array:
    """Sample weights of one member: bootstrap draws by (member, crystal), zero for crystals held from this member."""
    g = graph.globals
    key = jax.random.wrap_key_data(member.key)
    draw = jax.vmap(lambda i: jax.random.exponential(jax.random.fold_in(key, i)))(jnp.maximum(g.index, 0).astype(jnp.uint32))
    held = (g.held_from >> member.number) & 1
    return g.weight * (1.0 + bootstrap * (draw - 1.0)) * (1 - held).astype(jnp.float32)


def n_compiled() -> int:
    """Programs compiled so far for training, prediction and initialisation."""
    compiled: tuple[Any, ...] = (init_params, train_step, predict_step)
    return sum(function._cache_size() for function in compiled)
