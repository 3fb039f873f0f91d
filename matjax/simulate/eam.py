"""Embedded-atom energy of seventeen metals and their alloys: Zhou, Johnson and Wadley (2004), and Cr of its form, in JAX.

A pure function of positions, lattice and topology, to be differentiated, vmapped and padded at will. Alloys follow from the
elements by the paper's mixing rule; nothing was fitted to them. It is a model system, not a material.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from matjax.data.elements import N_ELEMENT, number
from matjax.simulate.topology import Topology, edge_vectors

FADED = 1e-5
"""Pairs whose attraction has faded below this energy (eV) are left out of a topology."""

SKIN = 1.03
"""How much longer than that cutoffs are, since a topology stays while its atoms move."""


@cache
def parameters() -> MappingProxyType[str, np.ndarray]:
    """The table: {column: [119] array by atomic number}, NaN for other elements; see the header of `eam_zhou2004.csv`."""
    text = (resources.files("matjax.simulate") / "eam_zhou2004.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    columns = {name: np.full(N_ELEMENT + 1, np.nan) for name in rows[0] if name != "symbol"}
    for row in rows:
        for name, column in columns.items():
            column[number(row["symbol"])] = float(row[name])
    return MappingProxyType(columns)


@cache
def cutoffs() -> np.ndarray:
    """Cutoff by pair of elements [119, 119] in Å, zero where an element is not in the table.

    The functions have no cutoff of their own: they fade by exp(-beta (x - 1)) / (1 + (x - lambda)^20) with x = r / r_e, and a pair
    as the element that reaches farther. The cutoff is where the attraction B exp(...) of that element is FADED, with a SKIN.
    """
    p = parameters()
    x = np.linspace(1.2, 4.0, 2801)[:, None]
    attraction = p["B"] * np.exp(-p["beta"] * (x - 1)) / (1 + (x - p["lambda"]) ** 20)
    reach = np.nan_to_num(p["r_e"] * x[np.argmax(attraction < FADED, axis=0), 0] * SKIN)
    table = np.maximum(reach[:, None], reach[None])
    return np.where((reach[:, None] > 0) & (reach[None] > 0), table, 0.0)


def eam_energy(positions: jax.Array, lattice: jax.Array, topology: Topology) -> jax.Array:
    """Total energy of one crystal.

    The paper writes E = sum_i F_i(rho_i) + sum_pairs phi_ij, rho_i = sum_j f_j(r_ij), with the mixing rule
    phi_ij = (f_j / f_i phi_ii + f_i / f_j phi_jj) / 2. With g_i = phi_ii / f_i the sum over pairs is
    (1/2) sum_i sum_j f_j(r_ij) g_i(r_ij) over directed pairs: no quotient of vanishing densities is ever formed, and a directed pair
    needs one function of each of its two elements.

    Args:
      positions: Cartesian [n_atom, 3], Å; what stands on padding atoms is never looked at.
      lattice: Rows a, b, c [3, 3], Å.
      topology: Neighbours within `cutoffs()`.

    Returns:
      Energy in eV relative to free atoms, in the precision of the positions; NaN if an element is not in the table.

    Source:
      Zhou, Johnson & Wadley, Phys. Rev. B 69, 144113 (2004); Cr: Lin, Johnson & Zhigilei, Phys. Rev. B 77, 214108 (2008).
    """
    n_atom = positions.shape[0]
    vectors = edge_vectors(positions, lattice, topology)
    is_atom = topology.numbers > 0
    mask = topology.mask.reshape(n_atom, -1)
    numbers = jnp.where(is_atom, topology.numbers, _FIRST)
    density = _density(jnp.linalg.norm(vectors, axis=-1), numbers[topology.senders])
    ratio = _ratio(jnp.linalg.norm(vectors, axis=-1).reshape(n_atom, -1), numbers[:, None])
    density = jnp.where(mask, density.reshape(n_atom, -1), 0.0)
    atoms = _embedding(density.sum(-1), numbers) + 0.5 * (density * ratio).sum(-1)
    return jnp.where(is_atom, atoms, 0.0).sum()


_FIRST = 29  # padding atoms look like copper to the table, then count for nothing


def _power20(x: jax.Array) -> jax.Array:
    x4 = (x * x) * (x * x)
    x8 = x4 * x4
    return x8 * x8 * x4


class _Of(NamedTuple):
    """Access to the table by atomic numbers, in a precision."""

    numbers: jax.Array
    dtype: np.dtype

    def __getitem__(self, name: str) -> jax.Array:
        return jnp.asarray(parameters()[name], self.dtype)[self.numbers]


def _density(r: jax.Array, numbers: jax.Array) -> jax.Array:
    """Electron density f(r) of an atom."""
    p = _Of(numbers, r.dtype)
    x = r / p["r_e"]
    return p["f_e"] * jnp.exp(-p["beta"] * (x - 1)) / (1 + _power20(x - p["lambda"]))


def _ratio(r: jax.Array, numbers: jax.Array) -> jax.Array:
    """Of an element, g = phi / f: repulsion over density, less a constant."""
    p = _Of(numbers, r.dtype)
    x = r / p["r_e"]
    fade = (1 + _power20(x - p["lambda"])) / (1 + _power20(x - p["kappa"]))
    return (p["A"] * jnp.exp(-(p["alpha"] - p["beta"]) * (x - 1)) * fade - p["B"]) / p["f_e"]


def _embedding(rho: jax.Array, numbers: jax.Array) -> jax.Array:
    """F(rho): an inner cubic below rho_n, a middle cubic to 1.15 rho_e, an outer power law."""
    p = _Of(numbers, rho.dtype)
    rho_n, rho_0 = p["rho_n"] * p["rho_e"], 1.15 * p["rho_e"]
    inner, middle = rho / rho_n - 1, rho / p["rho_e"] - 1
    outer = jnp.maximum(rho, rho_0) / p["rho_s"]
    return jnp.where(
        rho < rho_n,
        p["F_n0"] + inner * (p["F_n1"] + inner * (p["F_n2"] + inner * p["F_n3"])),
        jnp.where(
            rho < rho_0,
            p["F_0"] + middle * (p["F_1"] + middle * (p["F_2"] + middle * p["F_3"])),
            p["F_e"] * (1 - p["eta"] * jnp.log(outer)) * outer ** p["eta"],
        ),
    )
