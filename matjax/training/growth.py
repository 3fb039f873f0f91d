"""Going on from a network that had fewer heads or was conditioned on less: what it knew stays, what is new starts fresh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from matjax.nn import Model
from matjax.training.head_labels import heads_of


def check_growth(start: Model, model: Model) -> None:
    """Refuses to go on from another network; heads may come and go, and conditions be added.

    Raises:
      ValueError: If anything else differs, a head of the same name is another one, or a fidelity of `start` has lost its place.
    """
    if _core(start) != _core(model):
        raise ValueError(f"start is another network than this learner trains: {start} is not {model}")
    known: tuple[str, ...] = getattr(start, "fidelities", ())
    wanted: tuple[str, ...] = getattr(model, "fidelities", ())
    if wanted[: len(known)] != known:
        raise ValueError(f"start knows the fidelities {', '.join(known)}; model.fidelities must begin with them, in this order")
    if getattr(start, "charge", False) and not getattr(model, "charge", False):
        raise ValueError("start is conditioned on charge; so must the model be: model.charge = true")
    kind = lambda h: (h.irreps, h.per, h.reduce, h.variance)
    before = {h.name: kind(h) for h in heads_of(start)}
    for head in heads_of(model):
        if before.get(head.name, kind(head)) != kind(head):
            raise ValueError(f"head {head.name!r} of start is another one (irreps, per, reduce, variance); give the new one another name")


def grown(fresh: Any, start: Any) -> Any:
    """Parameters of the new network [n_member, ...]: those of `start` where it has them, fresh ones elsewhere.

    A table of fidelities that got longer keeps its first rows.
    """
    if isinstance(fresh, Mapping):
        return {name: grown(value, start[name]) if name in start else value for name, value in fresh.items()}
    start = jnp.array(start)  # a copy, since the training step donates its members
    return start if start.shape == fresh.shape else jnp.asarray(fresh).at[:, : start.shape[1]].set(start)


def _core(model: Model) -> Model:
    """The network without heads and conditions."""
    if not isinstance(model, nn.Module):
        return model
    bare = {"heads": (), "fidelities": (), "charge": False}
    return model.clone(**{k: v for k, v in bare.items() if hasattr(model, k)})  # type: ignore[return-value]
