"""Going on from a network that had fewer heads or was conditioned on less: what it knew stays, what is new starts fresh."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from matjax.nn import Model
from matjax.nn.layout import without_layout
from matjax.training.head_labels import heads_of
from matjax.training.predictor import GraphPredictor
from matjax.training.supervision import Supervision, target_per_atom
from matjax.types import Dataset

N_COMPARED = 20
"""Crystals on which labels are compared with what `start` says."""

FAR = 1.0
"""Median difference per atom, in the label's unit, above which labels have other references."""


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


def continued(start: GraphPredictor, taught: Supervision, train: Dataset) -> Supervision:
    """What a network knows that goes on from `start`: what it is taught now, and the elements that it knew.

    Raises:
      ValueError: If the labels are in another unit or above other references than those of `start`.
    """
    if taught.label and start.supervision.label:
        before = start.supervision
        if taught.unit != before.unit:
            raise ValueError(f"label {taught.label!r} is in {taught.unit}, but start answers {before.label!r} in {before.unit}")
        few = train.select(range(min(len(train), N_COMPARED)))
        label = "energy" if taught.label == "energy_per_atom" and "energy" in train.labels else taught.label
        apart = np.abs(start(few.crystals).mean - target_per_atom(few, label))
        if np.isfinite(apart).any() and np.nanmedian(apart) > FAR:
            raise ValueError(
                f"the labels are {np.nanmedian(apart):.1f} {taught.unit} from what start says (median): they have other "
                "reference energies. Move its references first, with uncertainty.LastLayer, or learn a label of the same kind"
            )
    return dataclasses.replace(taught, elements=tuple(sorted({*taught.elements, *start.supervision.elements})))


def grown(fresh: Any, start: Any) -> Any:
    """Parameters of the new network [n_member, ...]: those of `start` where it has them, fresh ones elsewhere.

    A table of fidelities that got longer keeps its first rows.
    """
    if isinstance(fresh, Mapping):
        return {name: grown(value, start[name]) if name in start else value for name, value in fresh.items()}
    start = jnp.array(start)  # a copy, since the training step donates its members
    return start if start.shape == fresh.shape else jnp.asarray(fresh).at[:, : start.shape[1]].set(start)


def _core(model: Model) -> Model:
    """The network without heads, conditions and the layout of its batches."""
    if not isinstance(model, nn.Module):
        return model
    bare = {"heads": (), "fidelities": (), "charge": False}
    return without_layout(model.clone(**{k: v for k, v in bare.items() if hasattr(model, k)}))  # type: ignore[return-value]
