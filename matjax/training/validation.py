"""The validation error that chooses the epoch: over all crystals, of the worst domain, or with every domain counting the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matjax.graph import batches
from matjax.nn import Model
from matjax.training.head_labels import head_scales
from matjax.training.head_loss import head_error, without_targets
from matjax.training.placement import Placement

if TYPE_CHECKING:
    from matjax.training.fit import Task

CHOICES = ("mean", "worst_domain", "mean_of_domains")


class Errors(NamedTuple):
    """Absolute errors of one quantity [n], the domain of the crystal that each belongs to [n], and the unit that they count in."""

    size: np.ndarray
    domain: np.ndarray
    unit: float


def check_choice(choice: str) -> None:
    """Refuses a way to choose the epoch that is not one of `CHOICES`.

    Raises:
      ValueError: Naming the allowed ones.
    """
    if choice not in CHOICES:
        raise ValueError(f"choose_by is {choice!r}; allowed: {', '.join(CHOICES)}")


def validation_errors(task: Task, params: Any, model: Model, place: Placement) -> dict[str, float]:
    """Mean absolute error of the ensemble's mean in units of the model's scale: energy per atom plus force components plus heads.

    `mean` is taken over all crystals (atoms, components); for `worst_domain` and `mean_of_domains` the same sum is made for each
    domain that the validation crystals come from, of what is labelled there.

    Args:
      task: Validation graphs and constants.
      params: Of the members.
      model: The network.
      place: Where the arrays live.
    """
    quantities = _errors(task, params, model, place)
    domains = np.unique(np.concatenate([q.domain for q in quantities])).tolist()
    each = [_total([Errors(q.size[q.domain == d], q.domain[q.domain == d], q.unit) for q in quantities]) for d in domains]
    if not each:
        raise ValueError("no validation crystal has a label, so no epoch can be chosen")
    return {"mean": _total(quantities), "worst_domain": float(np.max(each)), "mean_of_domains": float(np.mean(each))}


def _total(quantities: list[Errors]) -> float:
    return sum(float(q.size.mean()) / q.unit for q in quantities if len(q.size))


def _errors(task: Task, params: Any, model: Model, place: Placement) -> list[Errors]:
    """Errors of energies, of force components, and of every head."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"energy": [], "forces": []}
    scale, constants = float(task.constants["scale"]), place.everywhere(task.constants)
    for batch in batches(task.validation, task.shape, cutoff=model.cutoff):
        out = place.predict(params, constants, without_targets(batch), model=model, derivatives=task.derivatives)
        g, n_atom = batch.globals, np.maximum(batch.n_node, 1)
        known = g.mask & (g.has_energy > 0)
        found["energy"].append(((np.abs(np.asarray(out.energy).mean(0) - g.energy) / n_atom)[known], g.domain[known]))
        if out.forces is not None:
            atoms = np.repeat(g.has_forces > 0, batch.n_node) & batch.nodes.mask
            error = np.abs(np.asarray(out.forces).mean(0) - batch.nodes.forces)[atoms]
            found["forces"].append((error.ravel(), np.repeat(np.repeat(g.domain, batch.n_node)[atoms], 3)))
        for head, unit in head_scales(model, task.constants).items():
            if head.name in g.has:
                domain = g.domain[g.mask & (g.has[head.name] > 0)]
                found.setdefault(f"head {head.name}", []).append((head.weight * head_error(out, batch, head, float(unit)), domain))
    units = {"energy": scale, "forces": scale}
    joined = lambda parts, i: np.concatenate([part[i] for part in parts])
    return [Errors(joined(parts, 0), joined(parts, 1), units.get(name, 1.0)) for name, parts in found.items() if parts]
