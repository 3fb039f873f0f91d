"""What a saved state belongs to, by name, so that a state of other settings is refused with the setting that differs."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from matjax.config import kind_of
from matjax.graph import CachedGraphs
from matjax.nn import Model
from matjax.nn.layout import without_layout
from matjax.training.labelling import Graphs
from matjax.training.step import Member, Plan

if TYPE_CHECKING:
    from matjax.training.fit import Task

CONTENT = ("the training crystals or their labels", "the validation crystals or their labels", "the parameters at the start")


def identity(task: Task, members: Member, plan: Plan, model: Model, key: jax.Array) -> dict[str, str]:
    """{setting: value as text}, arrays by their digest; patience and devices may change and are not among them."""
    content = (_content(task.train), _content(task.validation), (members.params, members.reference))
    return {
        **_flat("model", without_layout(model)),
        **_flat("plan", plan),
        "members": str(len(members.number)),
        "key": str(jax.random.key_data(key).tolist()),
        "derivatives": str(task.derivatives),
        "batch shape": str(tuple(task.shape)),
        "choose_by": task.choose_by,
        "last": str(task.last),
        **{name: _digest(part) for name, part in zip(CONTENT, content, strict=True)},
        "ids of the crystals": _digest(np.frombuffer("\n".join(task.names).encode(), np.uint8)),
    }


def difference(saved: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """The first setting that differs, in words; None where all are the same."""
    for name in dict.fromkeys((*now, *saved)):
        if saved.get(name) != now.get(name):
            if name in CONTENT or name.startswith("ids"):
                return f"{name} are others"
            return f"{name} was {saved.get(name, 'not set')} and is now {now.get(name, 'not set')}"
    return None


def _flat(name: str, value: Any) -> dict[str, str]:
    """{dotted path: text} of a spec or flax module and what it holds."""
    if isinstance(value, tuple) and any(map(dataclasses.is_dataclass, value)):
        return _joined(_flat(f"{name}.{i}", v) for i, v in enumerate(value))
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return {name: repr(value)}
    fields = [f.name for f in dataclasses.fields(value) if f.init and f.name not in ("parent", "name")]
    return {f"{name}.kind": kind_of(type(value))} | _joined(_flat(f"{name}.{f}", getattr(value, f)) for f in fields)


def _joined(parts: Iterable[dict[str, str]]) -> dict[str, str]:
    return {name: text for part in parts for name, text in part.items()}


def _content(graphs: Graphs) -> list[Any]:
    """Arrays that tell graphs from others; of cached ones the keys of their crystals stand for the edges."""
    if isinstance(graphs, CachedGraphs):
        keys = np.frombuffer("".join(crystal.key for crystal in graphs.crystals).encode(), np.uint8)
        return [keys, *((g.nodes, g.globals) for g in graphs.without_edges())]
    return [(g.edges, g.nodes, g.globals) for g in graphs]


def _digest(tree: Any) -> str:
    digest = hashlib.sha256()
    for array in jax.tree.leaves(tree):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
