"""Structures by name: the solution lattices with their representative cells, and ordered compounds on them.

Lengths are in units of the nearest-neighbour distance, so that one scale (Å) makes a crystal of any prototype.
"""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np

from matjax.simulate.frank_kasper import FRANK_KASPER, frank_kasper
from matjax.simulate.from_cif import read_prototype
from matjax.simulate.multi_orbit import MULTI_ORBIT, multi_orbit

LATTICES = ("fcc", "bcc", "hcp")
"""Lattices of solutions, in the order in which every array over lattices is written."""

COMPOUNDS = ("L1_0", "L1_2", "B2", "D0_3")
"""Ordered binary structures that are always among the competitors."""

_PARENT = {"C14": "hcp", "C15": "fcc", "sigma": "bcc", "mu": "bcc", "C1_b": "bcc", "L2_1": "bcc", "perovskite": "fcc"}
"""Stand-ins of structures that lie on no lattice, and the lattice of those that do (half-Heusler with vacancies)."""

SUPERCELL = {"fcc": (2, 2, 2), "bcc": (3, 3, 3), "hcp": (4, 3, 2)}
"""Repeats of the conventional cell: 32, 54 and 48 atoms."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prototype:
    """A structure without elements.

    Attributes:
      name: fcc, bcc, hcp, or the Strukturbericht symbol of an ordered structure.
      lattice: Parent lattice: fcc, bcc or hcp; of a Frank-Kasper structure, which has none, the one whose solution stands in where
        its own volume or moduli are unknown.
      vectors: Rows a, b, c [3, 3] in nearest-neighbour distances.
      frac_coords: Fractional coordinates [n_atom, 3].
      orbit: Orbit of each site [n_atom].
    """

    name: str
    lattice: str
    vectors: np.ndarray
    frac_coords: np.ndarray
    orbit: np.ndarray

    def __len__(self) -> int:
        """Number of sites."""
        return len(self.frac_coords)

    @property
    def multiplicities(self) -> tuple[int, ...]:
        """Sites per orbit."""
        return tuple(int(n) for n in np.bincount(self.orbit))

    @property
    def volume_per_atom(self) -> float:
        """In cubed nearest-neighbour distances."""
        return float(abs(np.linalg.det(self.vectors))) / len(self)

    def scale(self, volume_per_atom: float) -> float:
        """Nearest-neighbour distance (Å) at a volume per atom (Å³)."""
        return (volume_per_atom / self.volume_per_atom) ** (1 / 3)


_CONVENTIONAL = {
    "fcc": (np.eye(3) * np.sqrt(2), [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "bcc": (np.eye(3) * 2 / np.sqrt(3), [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "hcp": (np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, np.sqrt(8 / 3)]]), [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]),
}


@cache
def prototype(name: str) -> Prototype:
    """An elementary or ordered structure in its small cell.

    Args:
      name: One of LATTICES, COMPOUNDS, FRANK_KASPER or MULTI_ORBIT, or the path of a CIF file whose crystal is the prototype. Orbits of
        a compound are listed majority first: L1_2 is (3, 1), D0_3 is (12, 4), C15 is (4, 2) with the large atoms in the minority,
        sigma is (8, 8, 8, 4, 2), L2_1 is (2, 1, 1), perovskite is (3, 1, 1). A file is read once per process and named by its path: while
        a campaign lives, what stands there must stay.

    Raises:
      ValueError: If the name is not known, or the file holds no ordered crystal.
    """
    if name in LATTICES:
        vectors, frac = _CONVENTIONAL[name]
        return Prototype(name, name, vectors, np.array(frac, float), np.zeros(len(frac), int))
    if name == "L1_2":  # A on the faces, B on the corners
        return Prototype(name, "fcc", *_cell("fcc"), np.array([1, 0, 0, 0]))
    if name == "L1_0":  # layers along c
        return Prototype(name, "fcc", *_cell("fcc"), np.array([0, 1, 1, 0]))
    if name == "B2":
        return Prototype(name, "bcc", *_cell("bcc"), np.array([0, 1]))
    if name == "D0_3":  # bcc 2x2x2: B on one fcc sublattice of four
        vectors, frac = _repeat(*_cell("bcc"), (2, 2, 2))
        is_minority = np.all(np.isclose((4 * frac).round() % 2, 0), axis=1) & (np.isclose((4 * frac).round().sum(1) % 4, 0))
        return Prototype(name, "bcc", vectors, frac, is_minority.astype(int))
    if name in FRANK_KASPER:
        return Prototype(name, _PARENT[name], *frank_kasper(name))
    if name in MULTI_ORBIT:
        return Prototype(name, _PARENT[name], *multi_orbit(name))
    if name.endswith(".cif"):
        return Prototype(name, "fcc", *read_prototype(name))
    known = LATTICES + COMPOUNDS + FRANK_KASPER + MULTI_ORBIT
    raise ValueError(f"prototype {name!r} is not known; known: {', '.join(known)}, or the path of a CIF file")


@cache
def representative_cell(lattice: str) -> Prototype:
    """The supercell that stands for a random solution: 32 fcc, 54 bcc or 48 hcp atoms.

    Raises:
      ValueError: If the lattice is not one of LATTICES.
    """
    if lattice not in LATTICES:
        raise ValueError(f"lattice {lattice!r} has no representative cell; known: {', '.join(LATTICES)}")
    vectors, frac = _repeat(*_cell(lattice), SUPERCELL[lattice])
    return Prototype(lattice, lattice, vectors, frac, np.zeros(len(frac), int))


def _cell(lattice: str) -> tuple[np.ndarray, np.ndarray]:
    vectors, frac = _CONVENTIONAL[lattice]
    return vectors, np.array(frac, float)


def _repeat(vectors: np.ndarray, frac: np.ndarray, times: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    shifts = np.stack(np.meshgrid(*[np.arange(n) for n in times], indexing="ij"), -1).reshape(-1, 3)
    return vectors * np.array(times)[:, None], ((frac[None] + shifts[:, None]) / np.array(times)).reshape(-1, 3)
