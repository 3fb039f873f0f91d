"""A candidate becomes crystals: representative cells of a random solution, or the cell of an ordered structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product

import numpy as np
from ase.data import atomic_numbers
from pymatgen.core import Element

from matjax.simulate import mixed_orbits
from matjax.simulate.frank_kasper import FRANK_KASPER, coordination
from matjax.simulate.orbits import merged, orbit_permutations, partition_of
from matjax.simulate.prototypes import COMPOUNDS, LATTICES, Prototype, prototype, representative_cell
from matjax.types import Candidate, Crystal

N_TRIAL = 32
"""Random decorations looked at for every one that is kept."""

SHELLS = (1.08, 1.55)
"""Outer radii of the shells whose pair correlations are compared with a random solution's, in nearest-neighbour distances."""


def cells(candidate: Candidate, n: int, volumes: Mapping[str, float]) -> list[Crystal]:
    """The crystals that stand for a candidate, the same ones whoever asks: an oracle, a network, an audit.

    A solution gets `n` decorations of its lattice's representative cell, drawn at random and chosen for pair correlations close
    to those of a random solution; its composition is rounded to the cell's sites. An ordered structure gets its one cell, or `n`
    supercells decorated in the same way where an orbit is a mixture.

    Args:
      candidate: What to build.
      n: Decorations of a solution, or of an ordered structure with a mixture.
      volumes: Å³/atom of every element, for a first guess by Vegard's law.

    Returns:
      Crystals on the sites of the undistorted prototype.

    Raises:
      ValueError: If an element has no volume, or the occupancy does not fit the prototype.

    Source:
      Zunger, Wei, Ferreira & Bernard (1990), Special quasirandom structures; here the best of a few random decorations.
    """
    missing = sorted(set(candidate.elements) - set(volumes))
    if missing:
        raise ValueError(f"{candidate.formula}: no volume for {', '.join(missing)}; known: {', '.join(volumes)}")
    guess = sum(fraction * volumes[s] for s, fraction in candidate.composition.items())
    if candidate.prototype in LATTICES:
        cell = representative_cell(candidate.prototype)
        counts = rounded(np.array(list(candidate.composition.values())), len(cell))
        sites = [[atomic_numbers[s] for s in candidate.elements][i] for i in range(len(counts)) for _ in range(counts[i])]
        decorations = quasirandom(candidate.prototype, np.array(sites), n, np.random.default_rng(int(candidate.key, 16)))
    elif any(len(orbit) > 1 for orbit in candidate.occupancy):
        cell, decorations = mixed_orbits.decorations(candidate, n, N_TRIAL, np.random.default_rng(int(candidate.key, 16)))
    else:
        cell = prototype(candidate.prototype)
        decorations = _ordered(candidate, cell)[None]
    scale = cell.scale(guess)
    return [Crystal(cell.vectors * scale, cell.frac_coords @ cell.vectors * scale, numbers) for numbers in decorations]


def element_volumes(elements: Sequence[str]) -> dict[str, float]:
    """Å³/atom of the pure elements at ambient conditions, for a first guess.

    Raises:
      ValueError: If the molar volume of an element is not known.

    Source:
      pymatgen's table of molar volumes.
    """
    found = {s: Element(s).molar_volume for s in elements}
    missing = [s for s, v in found.items() if v is None]
    if missing:
        raise ValueError(f"no molar volume of {', '.join(missing)}; leave these elements out")
    return {s: float(v) / 0.602214076 for s, v in found.items() if v is not None}


def rounded(fractions: np.ndarray, n_site: int) -> np.ndarray:
    """Whole counts that sum to `n_site`, as close as can be to the fractions [n], none of them zero."""
    ideal = fractions * n_site
    counts = np.maximum(np.floor(ideal), 1).astype(int)
    while counts.sum() < n_site:
        counts[np.argmax(ideal - counts)] += 1
    while counts.sum() > n_site:
        counts[np.argmax(np.where(counts > 1, counts - ideal, -np.inf))] -= 1
    return counts


def quasirandom(lattice: str, numbers: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """The `n` decorations [n, n_site], out of `N_TRIAL` random ones each, whose pair counts are nearest to random ones."""
    elements, kind = np.unique(numbers, return_inverse=True)
    if len(elements) == 1:
        return np.tile(numbers, (1, 1))
    trials = rng.permuted(np.tile(kind, (n * N_TRIAL, 1)), axis=1)
    occupied = np.eye(len(elements))[trials]
    share = np.bincount(kind) / len(kind)
    cost = np.zeros(len(trials))
    for pairs in _shell_pairs(lattice):
        found = np.einsum("kie,ij,kjf->kef", occupied, pairs, occupied, optimize=True) / pairs.sum()
        cost += np.abs(found - share[:, None] * share).sum((1, 2))
    best = np.lexsort((np.arange(len(trials)), np.round(cost, 9)))[:n]
    return elements[trials[best]]


@cache
def _shell_pairs(lattice: str) -> tuple[np.ndarray, ...]:
    return mixed_orbits.pairs_by_shell(representative_cell(lattice), SHELLS)


def _ordered(candidate: Candidate, cell: Prototype) -> np.ndarray:
    """Atomic numbers [n_site] of an ordered structure with one element per orbit."""
    if len(candidate.occupancy) != len(cell.multiplicities) or any(len(orbit) != 1 for orbit in candidate.occupancy):
        wanted = f"one element on each of {len(cell.multiplicities)} orbits"
        raise ValueError(f"{candidate.formula}: {candidate.prototype} takes {wanted} (multiplicities {cell.multiplicities})")
    return np.array([atomic_numbers[orbit[0][0]] for orbit in candidate.occupancy])[cell.orbit]


def ordered(name: str, *symbols: str) -> Candidate:
    """The candidate that puts these elements on the orbits of an ordered structure, majority orbit first.

    Example:
      >>> ordered("L1_2", "Ni", "Al").composition
      {'Al': 0.25, 'Ni': 0.75}
    """
    counts = prototype(name).multiplicities
    if len(symbols) != len(counts):
        raise ValueError(f"{name} has {len(counts)} orbits {counts}; {len(symbols)} elements came: {', '.join(symbols)}")
    return Candidate(name, tuple(((symbol, n),) for symbol, n in zip(symbols, counts, strict=True)))


def compound_candidates(
    elements: Sequence[str], prototypes: Sequence[str] = COMPOUNDS, *, n_element: int = 2, by_coordination: bool = False
) -> list[Candidate]:
    """Every way to occupy the orbits of ordered structures, one element on each: the end members of their sublattices.

    Each crystal once: where the structure maps its orbits onto each other (L1_0, B2), and where a simpler structure of those named is
    made (`orbits.merged`). Decorations with a single element are left out: a lattice, or a structure that no metal has.

    Args:
      elements: Symbols to put on the orbits.
      prototypes: Names of ordered structures (see `prototypes.prototype`).
      n_element: Most different elements of one compound; sigma with five orbits has 30 decorations of two elements, 240 of three.
      by_coordination: Of a Frank-Kasper structure, only the decorations in which sites of one kind, with 12, 14, or more neighbours, hold
        one element, and the first kind another than the last: 4 of sigma's 30, where a cell of each would be too many.

    Example:
      >>> [c.formula for c in compound_candidates(["Ni", "Al"], ["B2", "L1_2"])]
      ['B2 Ni100 | Al100', 'L1_2 Ni100 | Al100', 'L1_2 Al100 | Ni100']
    """
    found: dict[tuple, Candidate] = {}
    inside = merged(prototypes)
    for name in prototypes:
        for symbols in product(elements, repeat=len(prototype(name).multiplicities)):
            if by_coordination and not _is_by_coordination(name, symbols):
                continue
            if 1 < len(set(symbols)) <= n_element and partition_of(symbols) not in inside[name]:
                alike = min(tuple(symbols[k] for k in order) for order in orbit_permutations(name))
                found.setdefault((name, alike), ordered(name, *symbols))
    return list(found.values())


def _is_by_coordination(name: str, symbols: Sequence[str]) -> bool:
    """Whether sites of a kind of coordination hold one element, the smallest kind another than the largest; of other structures, always."""
    if name not in FRANK_KASPER:
        return True
    kinds = [min(n, 15) for n in coordination(name)]
    held = {kind: {s for k, s in zip(kinds, symbols, strict=True) if k == kind} for kind in kinds}
    return all(len(found) == 1 for found in held.values()) and held[12] != held[15]


def solution(lattice: str, counts: Mapping[str, int]) -> Candidate:
    """The random solution with these counts on a lattice.

    Example:
      >>> solution("fcc", {"Ni": 15, "Al": 5}).formula
      'fcc Al25 Ni75'
    """
    return Candidate(lattice, (tuple((s, n) for s, n in counts.items() if n),))


def name_of(candidate: Candidate) -> str:
    """Short name of a compound: `L1_2 Ni3Al`."""
    counts = [(orbit[0][0], orbit[0][1]) for orbit in candidate.occupancy]
    smallest = min(n for _, n in counts)
    return f"{candidate.prototype} " + "".join(f"{s}{n // smallest if n > smallest else ''}" for s, n in counts)
