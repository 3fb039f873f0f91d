"""Topologically close-packed structures: Laves phases, sigma and mu, from their space groups, sites and standard parameters."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import spglib

FRANK_KASPER = ("C14", "C15", "sigma", "mu")
"""Structures of large and small atoms that compete with the solutions of transition metals."""


class _Structure(NamedTuple):
    """A structure by its space group.

    hall: number of the group's setting; vectors: rows a, b, c [3, 3], any unit; sites: one atom of each orbit; coordination: number of
    neighbours of each orbit.
    """

    hall: int
    vectors: np.ndarray
    sites: tuple[tuple[float, float, float], ...]
    coordination: tuple[int, ...]


def _hexagonal(ratio: float) -> np.ndarray:
    return np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, ratio]])


def _rhombohedral(ratio: float) -> np.ndarray:
    """Primitive vectors; the ratio is that of the hexagonal cell."""
    half, third = 1 / np.sqrt(12), ratio / 3
    return np.array([[0.5, -half, third], [0, 2 * half, third], [-0.5, -half, third]])


# Source: Mehl, Hicks, Toher, Levy, Hanson, Hart & Curtarolo (2017), The AFLOW library of crystallographic prototypes: part 1, entries
# AB2_hP12_194_f_ah (MgZn2), A2B_cF24_227_d_a (MgCu2), sigma_tP30_136_bf2ij (CrFe) and A7B6_hR13_166_ah_3c (Fe7W6).
# Orbits are listed majority first.
_STRUCTURES = {
    "C14": _Structure(
        488,
        _hexagonal(8.566 / 5.223),
        ((0.83048, 0.66096, 0.25), (1 / 3, 2 / 3, 0.06286), (0.0, 0.0, 0.0)),  # 6h, 4f, 2a
        (12, 16, 12),
    ),
    "C15": _Structure(526, np.eye(3), ((0.5, 0.5, 0.5), (0.125, 0.125, 0.125)), (12, 16)),  # 16d, 8a
    "sigma": _Structure(
        419,
        np.diag([1, 1, 4.5582 / 8.7966]),
        ((0.46349, 0.13122, 0.0), (0.73933, 0.06609, 0.0), (0.18267, 0.18267, 0.25202), (0.39864, 0.39864, 0.0), (0.0, 0.0, 0.0)),
        (14, 12, 14, 15, 12),  # 8i, 8i, 8j, 4f, 2a
    ),
    "mu": _Structure(
        459,
        _rhombohedral(5.43199),
        ((0.09, 0.09, 0.59), (0.167, 0.167, 0.167), (0.346, 0.346, 0.346), (0.448, 0.448, 0.448), (0.0, 0.0, 0.0)),
        (12, 15, 16, 14, 12),  # 18h, 6c, 6c, 6c, 3a
    ),
}
_FACE_CENTRED = (np.ones((3, 3)) - np.eye(3)) / 2


def frank_kasper(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The primitive cell: vectors [3, 3] in nearest-neighbour distances, fractional coordinates [n, 3], orbit of each site [n]."""
    structure = _STRUCTURES[name]
    primitive = _FACE_CENTRED @ structure.vectors if name == "C15" else structure.vectors
    images = [_images(structure, site, primitive) for site in structure.sites]
    frac, orbit = np.concatenate(images), np.repeat(np.arange(len(images)), [len(rows) for rows in images])
    return primitive / _nearest(primitive, frac), frac, orbit


def coordination(name: str) -> tuple[int, ...]:
    """Coordination number of each orbit: small atoms like 12, large ones 15 and 16; 14 takes either."""
    return _STRUCTURES[name].coordination


def _images(structure: _Structure, site: tuple[float, float, float], primitive: np.ndarray) -> np.ndarray:
    """Every place of an orbit in the primitive cell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib 2 announces on every call that it will raise errors
        operations = spglib.get_symmetry_from_database(structure.hall)
    if operations is None:
        raise ValueError(f"spglib has no space group with Hall number {structure.hall}")
    places = operations["rotations"] @ np.array(site) + operations["translations"]
    frac = (places @ structure.vectors @ np.linalg.inv(primitive)) % 1
    found: list[np.ndarray] = []
    for row in frac:
        apart = [row - other for other in found]
        if all(np.abs(step - np.round(step)).max() > 1e-3 for step in apart):
            found.append(row)
    return np.array(found)


def _nearest(vectors: np.ndarray, frac: np.ndarray) -> float:
    """Shortest distance between two sites or their images."""
    shifts = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 1, 1, 3)
    length = np.linalg.norm((frac[:, None] - frac[None] + shifts) @ vectors, axis=-1)
    return float(length[length > 1e-6].min())
