"""Stability of ordered compounds that are in no landscape yet, each alone against everything that is."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.alloy.gibbs import ALL_TERMS, Terms
from matjax.thermo.alloy.landscape import MEMBERS, Landscape, Points
from matjax.thermo.alloy.mixture import N_LATTICE, SEARCH, Search
from matjax.thermo.alloy.stability import CHUNK, Stability, check_candidates, stability_at
from matjax.thermo.host import float64


def compound_stabilities(
    landscape: Landscape, compounds: Points, temperature: ArrayLike, *, terms: Terms = ALL_TERMS, search: Search = SEARCH
) -> Stability:
    """Stability of new compounds by the definition of `stability`: none of them competes with another.

    Args:
      landscape: What is known, with a leading axis of members; a single member serves every member of the compounds.
      compounds: The new ones: compositions [n, n_element]; enthalpy (eV/atom in the convention of the landscape's data), volume (Å³/atom),
        bulk and shear modulus (eV/Å³) [n_member, n], all of them known. `lattice` is not read.
      temperature: K.
      terms: Terms of every Gibbs energy.
      search: How the lowest mixture is searched.

    Returns:
      Fields with leading axes [n_member, n]; the compound itself is no competitor, so `phases` number those of the landscape.

    Raises:
      ValueError: If there is no compound, one is no composition of the landscape's elements or has too many of them, or a value is missing.
    """
    x = np.asarray(compounds.x, float)
    search = check_candidates(landscape, np.zeros(len(x), int), x.shape[1:], x, temperature, search)
    if not len(x):
        raise ValueError("no compound to judge the stability of; give at least one")
    values = [np.atleast_2d(np.asarray(v, float)) for v in compounds[2:]]
    for name, value in zip(Points._fields[2:], values, strict=True):
        if not (np.isfinite(value).all() and (name == "enthalpy" or (value > 0).all())):
            raise ValueError(f"the {name} of a compound is unknown or not positive; leave the compound out or compute it")
    n_member, n = len(values[0]), len(x)
    size = CHUNK[0] if n <= CHUNK[0] else CHUNK[1]
    if len(landscape.reference) not in (1, n_member):
        raise ValueError(
            f"{n_member} members of the compounds on a landscape of {len(landscape.reference)}; give as many, or one landscape"
        )
    with float64():
        parts = []
        for start in range(0, n, size):
            rows = np.minimum(np.arange(start, start + size), n - 1)
            told = tuple(jnp.asarray(v[:, rows], jnp.float64) for v in values)
            parts.append(_stabilities(landscape, jnp.asarray(x[rows], jnp.float64), told, jnp.float64(temperature), terms, search))
        return jax.tree.map(lambda *ys: jnp.concatenate(ys, 1)[:, :n], *parts)


@partial(jax.jit, static_argnames=("terms", "search"))
def _stabilities(landscape: Landscape, x: Array, values: tuple[Array, ...], temperature: Array, terms: Terms, search: Search) -> Stability:
    """Fields [n_member, n]; a landscape of one member serves all."""

    def one(member: Landscape, x: Array, values: tuple[Array, ...]) -> Stability:
        enthalpy, volume, bulk, shear = values
        grow = lambda y, value: jnp.concatenate([y, value[None]])
        member = member._replace(
            compound_x=grow(member.compound_x, x),
            compound_enthalpy=grow(member.compound_enthalpy, enthalpy - x @ member.reference),
            compound_log_volume=grow(member.compound_log_volume, jnp.log(volume)),
            compound_log_bulk=grow(member.compound_log_bulk, jnp.log(bulk)),
            compound_log_shear=grow(member.compound_log_shear, jnp.log(shear)),
        )
        phase = jnp.asarray(N_LATTICE + len(member.compound_x) - 1, jnp.int32)
        return stability_at(member, phase, x, temperature, None, terms, search)

    candidates = jax.vmap(one, in_axes=(None, 0, 0))
    if len(landscape.reference) == len(values[0]):
        return jax.vmap(candidates, in_axes=(MEMBERS, None, 0))(landscape, x, values)
    every = lambda member: jax.vmap(candidates, in_axes=(None, None, 0))(member, x, values)
    return jax.tree.map(lambda y: y[0], jax.vmap(every, in_axes=(MEMBERS,))(landscape))
