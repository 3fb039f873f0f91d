"""How far a relaxation went: what lets a reader judge whether the relaxed crystal is still the one that was meant."""

from __future__ import annotations

import numpy as np

from matjax.graph import neighbours
from matjax.types import Crystal


def evidence(given: Crystal, relaxed: Crystal) -> dict[str, float]:
    """Of a relaxation: `volume_ratio`, `max_displacement` (Å), `min_distance` (Å).

    Displacements are from the sites that the crystal was given, scaled with the lattice, without rigid drift.
    """
    moved = relaxed.positions - given.positions @ np.linalg.solve(given.lattice, relaxed.lattice)
    return {
        "volume_ratio": relaxed.volume / given.volume,
        "max_displacement": float(np.linalg.norm(moved - moved.mean(0), axis=1).max()),
        "min_distance": min_distance(relaxed),
    }


def min_distance(crystal: Crystal) -> float:
    """Distance of the nearest two atoms (or images), Å: the search widens until it finds a pair; infinite for a lone atom."""
    if len(crystal) == 1 and not crystal.pbc.any():
        return np.inf
    reach = 1.2 * (crystal.volume / len(crystal)) ** (1 / 3)
    while not len(vectors := neighbours(crystal, reach).vectors):
        reach *= 1.5
    return float(np.sqrt(np.square(vectors).sum(1).min()))
