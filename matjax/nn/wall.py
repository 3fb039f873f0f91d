"""A short-range repulsive wall: what is known of two nuclei that come close, where no training data are."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import covalent_radii

from matjax.nn.radial import envelope
from matjax.types import Graph

COULOMB = 14.399645478
"""e^2 / (4 pi epsilon_0) in eV Å (CODATA 2018)."""
BOHR = 0.529177210903
"""Bohr radius in Å (CODATA 2018)."""
SCREENING = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
"""(amplitude, decay) of the universal screening function."""
CORE = 0.05
"""Å below which the distance counts as this one: the energy of coinciding nuclei is finite."""


def screened_coulomb(lengths: jax.Array, z1: jax.Array, z2: jax.Array) -> jax.Array:
    """Universal repulsion of two nuclei in eV: Z1 Z2 e^2 / (4 pi epsilon_0 r) phi(r / a), a = 0.8854 a_0 / (Z1^0.23 + Z2^0.23).

    Args:
      lengths: r > 0 in Å, any shape.
      z1: Atomic numbers, of the same shape and floating-point type.
      z2: The other's.

    Source:
      Ziegler, Biersack & Littmark (1985), The stopping and range of ions in solids, vol. 1, ch. 2.
    """
    x = lengths * (z1**0.23 + z2**0.23) / (0.8854 * BOHR)
    phi = sum((amplitude * jnp.exp(-decay * x) for amplitude, decay in SCREENING), jnp.zeros_like(x))
    return COULOMB * z1 * z2 / lengths * phi


def wall(graph: Graph, cutoff: float, *, outer: float | None = None) -> jax.Array:
    """Repulsive energy of every atom: half of each of its pairs, switched off where bonds begin.

    The universal repulsion times an envelope that is 1 for touching nuclei and 0, with slope and curvature, at the sum of the
    two covalent radii (at most the cutoff). A function of edge vectors: forces and stress come out of `evaluate` as for the
    network. Distances enter as (r^8 + CORE^8)^(1/8), which is r to eight digits from 0.4 Å on and lets energy and derivatives
    stay finite at r = 0.

    Args:
      graph: Packed batch.
      cutoff: Of its neighbour lists, in Å; the wall ends there at the latest.
      outer: Where the wall ends, in Å, for all pairs; by default the sum of the covalent radii (Cordero 2008, as in ASE).

    Returns:
      [n_node] in eV, not negative, zero on padding.

    Raises:
      ValueError: If `outer` is not positive or beyond the cutoff.
    """
    if outer is not None and not 0 < outer <= cutoff:
        raise ValueError(f"the wall ends at outer = {outer!r} Å; it must be above 0 and at most the cutoff, {cutoff} Å")
    vectors = graph.edges.vectors
    lengths = (jnp.sum(vectors**2, axis=-1) ** 4 + CORE**8) ** 0.125
    numbers = jnp.where(graph.nodes.mask, graph.nodes.numbers, 0)
    radii = jnp.asarray(np.asarray(covalent_radii), vectors.dtype)[numbers]
    sent, received = graph.senders, graph.receivers
    end = jnp.minimum(radii[sent] + radii[received], cutoff) if outer is None else outer
    charges = jnp.asarray(numbers, vectors.dtype)
    energy = screened_coulomb(lengths, charges[sent], charges[received]) * envelope(lengths / end)
    return jax.ops.segment_sum(energy / 2, received, len(numbers), indices_are_sorted=True)
