"""Names and numbers that answers are conditioned on, from data columns or from a caller to the integers of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from matjax.nn import Model
from matjax.types import Dataset


def fidelity_index(model: Model, names: str | Sequence[str] | None, n: int) -> np.ndarray:
    """Place of each crystal's fidelity among those of the model [n]; one name stands for all, None for the first.

    Raises:
      ValueError: If the model knows no such fidelity, or there are more or fewer names than crystals.
    """
    known: tuple[str, ...] = getattr(model, "fidelities", ())
    if names is None:
        return np.zeros(n, np.int32)
    if not known:
        raise ValueError("the model is not conditioned on a fidelity; train one with model.fidelities")
    given = [names] * n if isinstance(names, str) else [str(name) for name in names]
    if len(given) != n:
        raise ValueError(f"{len(given)} fidelities for {n} crystals; give one, or one for each")
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"unknown fidelity {', '.join(map(repr, unknown))}; the model knows: {', '.join(known)}")
    return np.array([known.index(name) for name in given], np.int32)


def charges(model: Model, values: Any, n: int) -> np.ndarray:
    """Charge of each crystal [n]; one number stands for all.

    Raises:
      ValueError: If the model does not hear charges and one is not zero, or a value is not finite or not one per crystal.
    """
    given = np.asarray(values, np.float64)
    if given.shape not in ((), (n,)):
        raise ValueError(f"charges have shape {given.shape} for {n} crystals; give one, or one for each")
    if not np.isfinite(given).all():
        raise ValueError("a charge is not finite; every crystal needs one (0 for neutral)")
    if given.any() and not getattr(model, "charge", False):
        raise ValueError("the model is not conditioned on charge; train one with model.charge = true")
    return np.broadcast_to(given, n)


def from_columns(dataset: Dataset, model: Model, fidelity: str, charge: str) -> tuple[np.ndarray, np.ndarray]:
    """Fidelity places and charges of a data set, from its domain columns of these names ("" for none).

    Raises:
      ValueError: If a column is absent or not what the model needs, or the model needs one that is not named.
    """
    wanted = {"fidelity": bool(getattr(model, "fidelities", ())), "charge": bool(getattr(model, "charge", False))}
    for kind, column in (("fidelity", fidelity), ("charge", charge)):
        if wanted[kind] and not column:
            raise ValueError(f"the model is conditioned on {kind}; name the domain column that holds it: learner.{kind} = ...")
        if column and not wanted[kind]:
            setting = "fidelities" if kind == "fidelity" else "charge"
            raise ValueError(f"learner.{kind} = {column!r}, but the model is not conditioned on it; set model.{setting}")
        if column and column not in dataset.domains:
            raise ValueError(f"the data have no domain column {column!r}; they have: {', '.join(dataset.domains) or 'none'}")
    n = len(dataset)
    places = fidelity_index(model, dataset.domains[fidelity] if fidelity else None, n)  # type: ignore[arg-type]
    return places, charges(model, _numbers(dataset.domains[charge], charge) if charge else 0.0, n)


def _numbers(column: np.ndarray, name: str) -> np.ndarray:
    try:
        return np.asarray(column, np.float64)
    except ValueError as error:
        raise ValueError(f"domain column {name!r} must hold numbers to be a charge: {error}") from error
