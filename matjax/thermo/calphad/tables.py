"""Descriptions of phases as the padded arrays of a `System`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from matjax.thermo.calphad.function import constant, tabulate
from matjax.thermo.calphad.phase import QUANTITIES, Phase, Term, disordering, substitutional_ratio, terms
from matjax.thermo.calphad.system import System


def tables(
    phases: Sequence[Phase],
    elements: Sequence[str],
    content: Mapping[str, Mapping[str, float]],
    boltzmann: float,
    limits: tuple[float, float] | None,
) -> System:
    """The tables of phases, padded to the largest one; `content` says which atoms each constituent holds.

    Raises:
      ValueError: If no temperature lies in the range of all parameters.
    """
    groups = [terms(phase) for phase in phases]
    values = {id(term.parameter.value): term.parameter.value for group in groups for term in group}
    functions = tabulate(list(values.values()) or [constant(0.0)])
    low, high = limits or functions.limits
    if not low < high:
        raise ValueError(f"no temperature lies in the range of all parameters, {low:g} to {high:g} K; set temperature_range to extrapolate")
    places = [[(s, name) for s, names in enumerate(phase.constituents) for name in names] for phase in phases]
    width = max(map(len, places))
    atoms = [[[content[name].get(element, 0.0) for element in elements] for _, name in flat] for flat in places]
    fields = {
        "sites": _padded([phase.sites for phase in phases]),
        "sublattice": _padded([[s for s, _ in flat] for flat in places], -1),
        "content": _padded(atoms, shape=(width, len(elements))),
        "average": _padded([disordering(phase) for phase in phases], shape=(width, width)),
        "magnetic": np.array([_magnetic(phase) for phase in phases]),
        **_terms(groups, {key: u for u, key in enumerate(values)}, width),
        **{name: getattr(functions, name) for name in ("breaks", "coefficients", "monomials", "exponents")},
        "limits": np.array([low, high]),
        "boltzmann": np.array(boltzmann),
    }
    return System(**{name: jnp.asarray(table) for name, table in fields.items()})


def _terms(groups: Sequence[Sequence[Term]], rows: Mapping[int, int], width: int) -> dict[str, np.ndarray]:
    """Factors, weights, quantities and parameters of all terms."""
    n_factor = max([1, *(len(term.factors) for group in groups for term in group)])
    nothing = (2 * width, 2 * width + 1)  # one minus zero
    factors = [
        [
            [*([kind * width + i for kind, i in pair] for pair in term.factors), *[nothing] * (n_factor - len(term.factors))]
            for term in group
        ]
        for group in groups
    ]
    padding = [[[nothing] * n_factor] * (max(1, *map(len, groups)) - len(group)) for group in groups]
    return {
        "factors": np.array([own + rest for own, rest in zip(factors, padding, strict=True)]),
        "weight": _padded([[term.weight for term in group] for group in groups], 0.0),
        "quantity": _padded([[QUANTITIES.index(term.parameter.quantity) for term in group] for group in groups], 0),
        "parameter": _padded([[rows[id(term.parameter.value)] for term in group] for group in groups], 0),
    }


def _padded(rows: Sequence, fill: float = 0.0, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Ragged rows in one array."""
    shape = shape or (max(1, *map(len, rows)),)
    table = np.full((len(rows), *shape), fill)
    for line, row in zip(table, rows, strict=True):
        if len(row):
            block = np.asarray(row)
            line[tuple(slice(n) for n in block.shape)] = block
    return table


def _magnetic(phase: Phase) -> tuple[float, float, float]:
    """Structure factor, antiferromagnetic factor, formula units of the magnet in one of the phase; of the disordered part if any."""
    if phase.disordered is not None and phase.disordered.magnetic:
        return *phase.disordered.magnetic, substitutional_ratio(phase)
    return (*phase.magnetic, 1.0) if phase.magnetic else (0.0, -1.0, 1.0)
