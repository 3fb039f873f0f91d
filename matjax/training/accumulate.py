"""Gradient accumulation: several batches make one update, whose gradient is that of all their crystals in one batch.

Each batch counts by the weight of its labelled crystals, so that a batch of 8 does not count as much as one of 20.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matjax.config import kind_of
from matjax.risk import ERM, Risk
from matjax.types import Graph

Part = tuple[Any, jax.Array, jax.Array]


def check_additive(risk: Risk) -> None:
    """Refuses risks whose gradient over several batches is not the mean of the batches' gradients.

    A base of your own says that it is a weighted mean over crystals by an attribute `additive = True`.

    Raises:
      ValueError: If base, weights or a penalty compare crystals of a batch with each other.
    """
    compares = [part for part in (risk.weights, *risk.penalties) if part is not None]
    compares += [] if isinstance(risk.base, ERM) or getattr(risk.base, "additive", False) else [risk.base]
    if compares:
        names = ", ".join(kind_of(type(part)) for part in compares)
        raise ValueError(
            f"accumulate > 1 with {names}: this risk compares the crystals of a batch and is no mean over them, so batches cannot "
            "be added up. Set accumulate = 1 and raise batch_size, or use erm without weights and penalties"
        )


def accumulated(part: Callable[[Graph], Part], graph: Graph) -> Part:
    """Runs `part(batch) -> (values, weight, row)` over the leading axis of a graph, one batch in memory at a time.

    Returns:
      Mean of the values by weight, total weight, largest row.
    """

    def add(total: Part, batch: Graph) -> tuple[Part, None]:
        sums, mass, last = total
        values, weight, row = part(batch)
        return (jax.tree.map(lambda s, v: s + weight * v, sums, values), mass + weight, jnp.maximum(last, row)), None

    values, weight, row = jax.eval_shape(part, jax.tree.map(lambda x: x[0], graph))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (values, weight))
    (sums, mass, last), _ = jax.lax.scan(add, (*zeros, jnp.full(row.shape, -1, row.dtype)), graph)
    return jax.tree.map(lambda s: s / jnp.where(mass > 0, mass, 1.0), sums), mass, last


def grouped(batches: Iterable[Graph], n: int) -> Iterator[Graph]:
    """Every n batches stacked along a new leading axis, the last group filled up with batches without weight; n = 1 changes nothing."""
    group: list[Graph] = []
    for batch in batches:
        if n == 1:
            yield batch
            continue
        group.append(batch)
        if len(group) == n:
            yield _stacked(group)
            group = []
    if group:
        yield _stacked(group + [_weightless(group[0])] * (n - len(group)))


def _stacked(group: list[Graph]) -> Graph:
    return jax.tree.map(lambda *arrays: np.stack(arrays), *group)


def _weightless(batch: Graph) -> Graph:
    """The batch with labels and weights taken away."""
    g = batch.globals
    none = {"weight": g.weight, "has_energy": g.has_energy, "has_forces": g.has_forces, "has_stress": g.has_stress, "energy": g.energy}
    zeros = {name: np.zeros_like(array) for name, array in none.items()}
    bare = g._replace(**zeros, stress=np.zeros_like(g.stress), index=np.full_like(g.index, -1), mask=np.zeros_like(g.mask))
    bare = bare._replace(has=jax.tree.map(np.zeros_like, g.has), targets=jax.tree.map(np.zeros_like, g.targets))
    nodes = batch.nodes._replace(forces=np.zeros_like(batch.nodes.forces), targets=jax.tree.map(np.zeros_like, batch.nodes.targets))
    return batch._replace(globals=bare, nodes=nodes)
