"""Energy over volume by a potential: a relaxed crystal under uniform strain, per member, with gradients to the weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.simulate.energy_fn import energy_fn
from matjax.simulate.network import network
from matjax.thermo.host import float64
from matjax.types import Crystal


def cold_curve(potential: Any, crystal: Crystal, volumes: ArrayLike) -> Array:
    """Static energy of a crystal at other volumes, every member's, atoms carried along and the shape of the cell kept.

    `fit_equation_of_state(volumes, cold_curve(...))` makes equations of state of it, one per member. As (model, variables) the
    potential may be traced, so that gradients reach the weights. Energies count from the potential's own zero; take off the elements'
    for formation enthalpies.

    Args:
      potential: A trained predictor, or (model, variables); see `matjax.simulate.network`.
      crystal: Relaxed, so that its atoms are at rest at its own volume.
      volumes: Å³/atom [n_volume], numbers.

    Returns:
      eV/atom [n_member, n_volume].

    Raises:
      ValueError: If the potential does not know an element or says no forces, or a volume is not positive.
    """
    volumes = np.asarray(volumes, float)
    if volumes.ndim != 1 or not np.all(volumes > 0):
        raise ValueError(f"volumes are positive numbers [n_volume], Å³/atom; these are {volumes}")
    known = network(potential)
    known.require_elements(crystal)
    stretches = (volumes * len(crystal) / abs(np.linalg.det(crystal.lattice))) ** (1 / 3)
    skin = float(known.model.cutoff) * max(0.0, 1 / stretches.min() - 1) + 1e-3  # neighbours under the strongest compression
    constant = float(known.references[crystal.numbers].sum())

    def of_member(variables: Any) -> Array:
        member = dataclasses.replace(known, variables=jax.tree.map(lambda leaf: leaf[None], variables))
        energy = energy_fn(member, crystal, skin=skin, references=False)
        at = lambda stretch: energy(jnp.asarray(crystal.positions, jnp.float64), perturbation=stretch * jnp.eye(3, dtype=jnp.float64))
        return jax.lax.map(at, jnp.asarray(stretches, jnp.float64))

    with float64():
        return (jax.lax.map(of_member, known.variables).astype(jnp.float64) + constant) / len(crystal)
