"""Which decorations of ordered structures are one and the same crystal: orbits that can be exchanged, and structures inside others."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Sequence
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
import spglib
from pymatgen.core import Lattice, Structure
from pymatgen.core.structure_matcher import StructureMatcher

from matjax.simulate.prototypes import prototype

Partition = tuple[int, ...]
"""Which orbits carry the same: the number of its block for each orbit, blocks numbered in order of appearance."""

SYMPREC = 1e-4
_STAND_INS = ("Li", "Be", "B", "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P")


@cache
def orbit_permutations(name: str) -> tuple[tuple[int, ...], ...]:
    """The ways in which an isometry of a structure's sites maps its orbits onto each other, the identity among them.

    What sits on orbit i may as well sit on orbit permutation[i]: the crystal is the same one, turned, shifted or mirrored.

    Example:
      >>> orbit_permutations("B2")
      ((0, 1), (1, 0))
      >>> orbit_permutations("L1_2")
      ((0, 1),)
    """
    cell = prototype(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        sites: Any = (cell.vectors, cell.frac_coords, np.ones(len(cell), int))  # spglib asks for lists
        found = spglib.get_symmetry(sites, symprec=SYMPREC)
    if found is None:
        return (tuple(range(len(cell.multiplicities))),)
    seen = set()
    for rotation, shift in zip(found["rotations"], found["translations"], strict=True):
        moved = cell.frac_coords @ rotation.T + shift
        gap = moved[:, None] - cell.frac_coords[None]
        image = cell.orbit[np.argmin(np.linalg.norm((gap - np.round(gap)) @ cell.vectors, axis=2), 1)]
        targets = [set(image[cell.orbit == k]) for k in range(len(cell.multiplicities))]
        if all(len(t) == 1 for t in targets):
            seen.add(tuple(int(next(iter(t))) for t in targets))
    return tuple(sorted(seen))


def merged(names: Sequence[str]) -> dict[str, frozenset[Partition]]:
    """By structure, the ways of putting equals on several orbits that make a crystal which a simpler structure among `names` makes too.

    L2_1 with equals on its two minority orbits is B2, with equals on the majority and one minority orbit it is D0_3. One block for
    all orbits (a lattice, or one element) always counts as merged where the structure has several orbits.
    """
    order = sorted(names, key=lambda name: (len(prototype(name).multiplicities), names.index(name)))
    found: dict[str, frozenset[Partition]] = {}
    for i, name in enumerate(order):
        n_orbit = len(prototype(name).multiplicities)
        fewer = [p for p in _partitions(n_orbit) if max(p) + 1 < n_orbit]
        found[name] = frozenset(p for p in fewer if max(p) == 0 or any(_is_made_by(name, p, other) for other in order[:i]))
    return found


def partition_of(orbits: Sequence[Hashable]) -> Partition:
    """Which of the orbits carry the same.

    Example:
      >>> partition_of(["Ni", "Al", "Ni"])
      (0, 1, 0)
    """
    first = list(dict.fromkeys(orbits))
    return tuple(first.index(x) for x in orbits)


def _partitions(n: int) -> Iterator[Partition]:
    def grow(start: Partition) -> Iterator[Partition]:
        if len(start) == n:
            yield start
            return
        for block in range(max(start, default=-1) + 2):
            yield from grow((*start, block))

    return grow(())


@cache
def _is_made_by(name: str, partition: Partition, other: str) -> bool:
    """Whether a structure with equals on the orbits of each block is `other` with the blocks as its orbits, or as blocks of those."""
    n_block = max(partition) + 1
    crystal = _decorated(name, partition)
    for coarse in _partitions(len(prototype(other).multiplicities)):
        if max(coarse) + 1 != n_block:
            continue
        for labels in permutations(range(n_block)):
            rival = _decorated(other, tuple(labels[k] for k in coarse))
            if rival.composition.reduced_formula == crystal.composition.reduced_formula and _MATCHER.fit(crystal, rival):
                return True
    return False


_MATCHER = StructureMatcher(ltol=0.05, stol=0.05, angle_tol=1.0)
"""Tight: the structures are ideal, and L1_0 and B2 differ by a strain alone."""


def _decorated(name: str, block: Partition) -> Structure:
    cell = prototype(name)
    return Structure(Lattice(cell.vectors * 3.0), [_STAND_INS[block[k]] for k in cell.orbit], cell.frac_coords)
