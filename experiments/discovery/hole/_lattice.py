"""Alloys on a rigid fcc lattice whose scale is free: compositions, and their energy in the laboratory's potential."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from matjax.data.elements import number
from matjax.simulate.eam import eam_energy, parameters
from matjax.simulate.prototypes import representative_cell
from matjax.simulate.topology import topology
from matjax.types import Crystal

N_SITE = 32
REACH = 2.8
"""Neighbours up to here, in nearest-neighbour distances: at the smallest scale still beyond where the functions have faded."""
CHUNK = 200
CELL = representative_cell("fcc")
EDGES = topology(Crystal(CELL.vectors, CELL.frac_coords @ CELL.vectors, np.full(N_SITE, 29)), REACH)


@jax.jit
def _energies(numbers, distance):
    """eV/atom [n] of decorations [n, 32] at nearest-neighbour distances [n], Å."""
    positions, vectors = jnp.asarray(CELL.frac_coords @ CELL.vectors, jnp.float32), jnp.asarray(CELL.vectors, jnp.float32)
    one = lambda z, d: eam_energy(d * positions, d * vectors, EDGES._replace(numbers=z)) / N_SITE
    return jax.vmap(one)(numbers, distance)


def energies(elements: tuple[str, ...], counts: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Energy of one random decoration of each composition.

    Args:
      elements: Symbols.
      counts: Sites of each element [n, n_element], of 32.
      scale: Nearest-neighbour distance [n], in mean equilibrium distances of the elements' dimers in the lattice.
      rng: Of the decorations.

    Returns:
      eV/atom [n], relative to free atoms.
    """
    kinds = np.array([number(symbol) for symbol in elements])
    numbers = rng.permuted(np.stack([np.repeat(kinds, row) for row in counts]), axis=1).astype(np.int32)
    distance = scale * ((counts / N_SITE) @ parameters()["r_e"][kinds])
    rows = np.arange(-(-len(counts) // CHUNK) * CHUNK) % len(counts)
    parts = [np.asarray(_energies(numbers[some], jnp.asarray(distance[some], jnp.float32))) for some in rows.reshape(-1, CHUNK)]
    return np.concatenate(parts)[: len(counts)].astype(float)


def pure_energies(elements: tuple[str, ...]) -> np.ndarray:
    """Lowest energy of each element on the lattice, eV/atom [n_element]."""
    scales, rng = np.linspace(0.94, 1.06, 49), np.random.default_rng(0)
    counts = np.repeat(N_SITE * np.eye(len(elements), dtype=int), len(scales), 0)
    return energies(elements, counts, np.tile(scales, len(elements)), rng).reshape(len(elements), -1).min(1)


def few_elements(n_element: int, order: int, n_each: int, rng: np.random.Generator) -> np.ndarray:
    """Counts of alloys of `order` elements, `n_each` for every choice of them [n, n_element]."""
    chosen = np.array([c for c in itertools.combinations(range(n_element), order) for _ in range(n_each)])
    return _random(chosen, n_element, N_SITE, rng)


def many_elements(n: int, n_element: int, order: int, rng: np.random.Generator) -> np.ndarray:
    """Counts of n random alloys of `order` elements, 11 of 32 sites each at most [n, n_element]."""
    chosen = rng.permuted(np.tile(np.arange(n_element), (n, 1)), axis=1)[:, :order]
    return _random(chosen, n_element, 11, rng)


def _random(chosen: np.ndarray, n_element: int, largest: int, rng: np.random.Generator) -> np.ndarray:
    """Random counts of the chosen elements [n, order]: at least one site each, `largest` at most."""
    n, order = chosen.shape
    counts = np.zeros((n, n_element), int)
    todo = np.arange(n)
    while len(todo):
        share = rng.dirichlet(np.full(order, 1.5), len(todo))
        part = 1 + rng.multinomial(N_SITE - order, share)
        good = part.max(1) <= largest
        counts[todo[good][:, None], chosen[todo[good]]] = part[good]
        todo = todo[~good]
    return counts
