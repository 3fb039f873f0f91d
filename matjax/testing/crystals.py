"""Small crystals that the laws are tried on, and their graphs in double precision."""

from __future__ import annotations

import numpy as np

from matjax.graph import neighbours, to_graph
from matjax.types import Crystal, Graph

SPREAD = 1.0
"""Å by which the cells of random crystals are distorted."""


def random_crystal(random: np.random.Generator, numbers: tuple[int, ...], pbc: tuple[bool, bool, bool] = (True, True, True)) -> Crystal:
    """A triclinic crystal of low symmetry, about 15 Å³ per atom, with no two atoms closer than 1.5 Å."""
    size = (15.0 * len(numbers)) ** (1 / 3)
    lattice = size * np.eye(3) + SPREAD * random.uniform(-0.5, 0.5, (3, 3))
    while True:
        crystal = Crystal(lattice, random.uniform(size=(len(numbers), 3)) @ lattice, np.array(numbers), np.array(pbc))
        if not len(neighbours(crystal, 1.5).senders):
            return crystal


def random_rotation(random: np.random.Generator) -> np.ndarray:
    """A proper rotation [3, 3], uniformly distributed."""
    q, r = np.linalg.qr(random.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def to_double_graph(crystal: Crystal, cutoff: float) -> Graph:
    """The graph of a crystal with edge vectors and volume in float64, for laws that hold to many digits."""
    graph = to_graph(crystal, cutoff=cutoff)
    vectors = neighbours(crystal, cutoff).vectors
    return graph._replace(edges=graph.edges._replace(vectors=vectors), globals=graph.globals._replace(volume=np.array([crystal.volume])))
