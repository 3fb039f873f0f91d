"""Mechanical stability in the words of each crystal class: the inequalities between its constants that a report lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.elasticity.moduli import independent_constants, symmetrise
from matjax.thermo.host import float64


def born_criteria(elastic: ArrayLike, symmetry: str) -> dict[str, Array]:
    """What must be positive for a crystal to be mechanically stable, by name; `born` says the same in one number for any axes.

    Of orthorhombic, monoclinic and triclinic crystals these are the six leading principal minors of C.

    Args:
      elastic: Elastic constants [..., 6, 6] in standard axes, eV/Å³; averaged to the symmetry first.
      symmetry: A key of ELASTIC_CLASSES.

    Returns:
      {criterion: value [...]}, in powers of eV/Å³: linear, quadratic, and up to the sixth for minors.

    Raises:
      ValueError: If the symmetry is no class.

    Source:
      Mouhat & Coudert (2014), Necessary and sufficient elastic stability conditions in various crystal systems, eqs. 5 to 21.
    """
    with float64():
        if symmetry in _CRITERIA:
            constants = independent_constants(elastic, symmetry)
            return {name: criterion(constants) for name, criterion in _CRITERIA[symmetry].items()}
        averaged = symmetrise(elastic, symmetry)
        return {f"minor {n}": jnp.linalg.det(averaged[..., :n, :n]) for n in range(1, 7)}


_Criterion = Callable[[dict[str, Any]], Any]

_UNIAXIAL: dict[str, _Criterion] = {
    "C11 - |C12|": lambda c: c["C11"] - jnp.abs(c["C12"]),
    "C33 (C11 + C12) - 2 C13²": lambda c: c["C33"] * (c["C11"] + c["C12"]) - 2 * c["C13"] ** 2,
    "C44": lambda c: c["C44"],
}

_CRITERIA: dict[str, dict[str, _Criterion]] = {
    "cubic": {
        "C11 - C12": lambda c: c["C11"] - c["C12"],
        "C11 + 2 C12": lambda c: c["C11"] + 2 * c["C12"],
        "C44": lambda c: c["C44"],
    },
    "hexagonal": _UNIAXIAL,
    "tetragonal": {**_UNIAXIAL, "C66": lambda c: c["C66"]},
    "tetragonal 4/m": {**_UNIAXIAL, "C66 (C11 - C12) - 2 C16²": lambda c: c["C66"] * (c["C11"] - c["C12"]) - 2 * c["C16"] ** 2},
    "trigonal": {**_UNIAXIAL, "C44 (C11 - C12) - 2 C14²": lambda c: c["C44"] * (c["C11"] - c["C12"]) - 2 * c["C14"] ** 2},
    "trigonal -3": {
        **_UNIAXIAL,
        "C44 (C11 - C12) - 2 (C14² + C15²)": lambda c: c["C44"] * (c["C11"] - c["C12"]) - 2 * (c["C14"] ** 2 + c["C15"] ** 2),
    },
}
