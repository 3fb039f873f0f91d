"""Ordered structures of three sublattices, each in its primitive cell: half-Heusler, Heusler and cubic perovskite."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MULTI_ORBIT = ("C1_b", "L2_1", "perovskite")
"""Half-Heusler XYZ (MgAgAs), full Heusler X2YZ (AlCu2Mn), cubic perovskite X3AB (E2_1, CaTiO3 above its transitions)."""


class _Structure(NamedTuple):
    """vectors: rows a, b, c [3, 3] in conventional lattice constants; sites: fractional coordinates by orbit, majority first."""

    vectors: np.ndarray
    sites: tuple[tuple[tuple[float, float, float], ...], ...]


_FACE_CENTRED = (np.ones((3, 3)) - np.eye(3)) / 2

# Source: Mehl, Hicks, Toher, Levy, Hanson, Hart & Curtarolo (2017), The AFLOW library of crystallographic prototypes: part 1, entries
# ABC_cF12_216_b_c_a, AB2C_cF16_225_a_c_b and AB3C_cP5_221_a_c_b. Coordinates here are along the primitive vectors.
_STRUCTURES = {
    "C1_b": _Structure(_FACE_CENTRED, (((0.25, 0.25, 0.25),), ((0.0, 0.0, 0.0),), ((0.5, 0.5, 0.5),))),  # 4c, 4a, 4b
    "L2_1": _Structure(_FACE_CENTRED, (((0.25, 0.25, 0.25), (0.75, 0.75, 0.75)), ((0.0, 0.0, 0.0),), ((0.5, 0.5, 0.5),))),  # 8c, 4a, 4b
    "perovskite": _Structure(
        np.eye(3), (((0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)), ((0.0, 0.0, 0.0),), ((0.5, 0.5, 0.5),))
    ),  # 3c (anion), 1a (large cation, A), 1b (small cation, B)
}
_NEAREST = {"C1_b": np.sqrt(3) / 4, "L2_1": np.sqrt(3) / 4, "perovskite": 0.5}


def multi_orbit(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The primitive cell: vectors [3, 3] in nearest-neighbour distances, fractional coordinates [n, 3], orbit of each site [n]."""
    structure = _STRUCTURES[name]
    orbit = np.repeat(np.arange(len(structure.sites)), [len(sites) for sites in structure.sites])
    return structure.vectors / _NEAREST[name], np.concatenate([np.array(sites, float) for sites in structure.sites]), orbit
