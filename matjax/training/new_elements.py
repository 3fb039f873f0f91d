"""New elements for a trained network: each starts as its nearest relative in the periodic table, to be fine-tuned from there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from matjax.data.elements import number, physical_features, symbol
from matjax.thermo import References
from matjax.training.predictor import GraphPredictor


def add_elements(predictor: GraphPredictor, elements: Sequence[str], *, like: Mapping[str, str] | None = None) -> GraphPredictor:
    """The same ensemble, able to represent further elements.

    A new element takes row and reference energy of the element it is like: of those known, the one with the nearest physical
    descriptors. That is a start for fine-tuning (`GraphLearner.fit(start=...)`), not an answer.

    Args:
      predictor: With a table of elements (`embedding="table"`); networks on physical descriptors represent every element already.
      elements: Symbols to add.
      like: {new symbol: known symbol} where the choice should be another.

    Raises:
      ValueError: If an element is known already, or `like` names one that is not.
    """
    if getattr(predictor.model, "embedding", "") != "table":
        raise ValueError("this network places elements by their physical descriptors; every element can be represented as it is")
    known = predictor.supervision.elements
    numbers = [number(e) for e in elements]
    if again := sorted(set(numbers) & set(known)):
        raise ValueError(f"{', '.join(map(symbol, again))}: known to this model already")
    parents = [_parent(z, known, (like or {}).get(symbol(z))) for z in numbers]
    table = np.array(predictor.params["element"]["embedding"])  # [n_member, n_element, n_channel]
    energies = np.array(predictor.references.energies)
    table[:, numbers], energies[numbers] = table[:, parents], energies[parents]
    params: dict[str, Any] = {**predictor.params, "element": {"embedding": jnp.asarray(table)}}
    taught = dataclasses.replace(predictor.supervision, elements=tuple(sorted((*known, *numbers))))
    return dataclasses.replace(predictor, params=params, references=References(energies), supervision=taught)


def _parent(number_: int, known: Sequence[int], named: str | None) -> int:
    """The known element that a new one starts as."""
    if named is not None:
        if number(named) not in known:
            raise ValueError(f"{symbol(number_)} cannot start as {named}: this model does not know it")
        return number(named)
    features = physical_features()
    distance = np.linalg.norm(features[list(known)] - features[number_], axis=1)
    return int(known[int(distance.argmin())])
