"""How far a relaxation went: what lets a reader judge whether the relaxed crystal is still the one that was meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from matjax.graph import neighbours
from matjax.types import Crystal


class Limits(Protocol):
    """How far a relaxed crystal may be from the one that was given.

    Attributes:
      min_volume: Least volume, in volumes of the given crystal.
      max_volume: Largest volume, likewise.
      max_displacement: Largest displacement from a site, in distances of nearest atoms of the given crystal, scaled with the volume.
    """

    @property
    def min_volume(self) -> float: ...  # noqa: D102

    @property
    def max_volume(self) -> float: ...  # noqa: D102

    @property
    def max_displacement(self) -> float: ...  # noqa: D102


def transformed(given: Crystal, found: Mapping[str, float], limits: Limits) -> str:
    """Why a relaxed crystal is no longer the one that was meant, by its evidence; empty where it is."""
    ratio, moved = found["volume_ratio"], found["max_displacement"]
    reach = limits.max_displacement * min_distance(given) * ratio ** (1 / 3)
    if not limits.min_volume <= ratio <= limits.max_volume:
        return f"physical: the volume changed {ratio:.2f} times; allowed {limits.min_volume} to {limits.max_volume}"
    if moved > reach:
        return f"physical: an atom moved {moved:.2f} Å from its lattice site; allowed {reach:.2f}"
    return ""


def evidence(given: Crystal, relaxed: Crystal) -> dict[str, float]:
    """Of a relaxation: `volume_ratio`, `max_displacement` (Å), `min_distance` (Å), `relaxed` (1; 0 for atoms on ideal sites).

    Displacements are from the sites that the crystal was given, scaled with the lattice, without rigid drift.
    """
    moved = relaxed.positions - given.positions @ np.linalg.solve(given.lattice, relaxed.lattice)
    return {
        "volume_ratio": relaxed.volume / given.volume,
        "max_displacement": float(np.linalg.norm(moved - moved.mean(0), axis=1).max()),
        "min_distance": min_distance(relaxed),
        "relaxed": 1.0,
    }


def min_distance(crystal: Crystal) -> float:
    """Distance of the nearest two atoms (or images), Å: the search widens until it finds a pair; infinite for a lone atom."""
    if len(crystal) == 1 and not crystal.pbc.any():
        return np.inf
    reach = 1.2 * (crystal.volume / len(crystal)) ** (1 / 3)
    while not len(vectors := neighbours(crystal, reach).vectors):
        reach *= 1.5
    return float(np.sqrt(np.square(vectors).sum(1).min()))
