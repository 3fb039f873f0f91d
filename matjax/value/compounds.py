"""The space of compounds: which elements sit on which orbits of which structures; and the way between a candidate and its counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import gcd
from typing import ClassVar

import numpy as np

from matjax.config import spec
from matjax.simulate.orbits import orbit_permutations
from matjax.simulate.prototypes import COMPOUNDS, LATTICES, prototype
from matjax.types import Candidate
from matjax.value.compound_rules import Rules, grow, oxidation_states, why_closed
from matjax.value.space import Space, check_elements
from matjax.value.tree import Tree


@spec
class Compounds(Space):
    """Decorations of ordered structures, as a tree of choices: the structure, then for each element in order a count on each orbit.

    What symmetry makes the same crystal is there once: orbits that an isometry exchanges, and equals on several orbits where a simpler
    structure of the space is made (Heusler with equal minority orbits is B2). In arrays a compound is (structure, counts): the index in
    `prototypes`, and counts [n_element * n_orbit], n_orbit being the most that a structure has; on an orbit they sum to `n_grid`.

    Attributes:
      elements: Symbols in the order of every array over elements, as a tuple or as one string: "Al Co Ni Ti".
      prototypes: Structures: names of `simulate.prototypes` that are no lattice of solutions, and paths of CIF files, whose crystals
        become prototypes. By default the simple ordered structures of two elements, and Heusler's of three.
      n_grid: Steps of the composition of an orbit: 1 puts one element on each, 4 mixes elements in quarters.
      min_elements: Fewest elements in a compound.
      max_elements: Most elements in a compound.
      required: Elements that every compound contains, as `elements`.
      forbidden: Elements that no compound contains, as `elements`.
      neutral: Whether only compounds are open whose elements' common oxidation states, one per element, can sum to zero.
    """

    what: ClassVar[str] = "compounds"
    elements: tuple[str, ...] | str
    prototypes: tuple[str, ...] | str = (*COMPOUNDS, "L2_1")
    n_grid: int = 1
    min_elements: int = 2
    max_elements: int = 3
    required: tuple[str, ...] | str = ()
    forbidden: tuple[str, ...] | str = ()
    neutral: bool = False

    def __post_init__(self) -> None:
        """Splits strings, checks every name and bound, and counts.

        Raises:
          ValueError: If a name is unknown, bounds contradict each other, or no compound satisfies them; the message says which.
        """
        for name in ("elements", "prototypes", "required", "forbidden"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value.split() if isinstance(value, str) else value))
        _check(self)

    @property
    def structures(self) -> tuple[str, ...]:
        """The prototypes."""
        return tuple(self.prototypes)

    @property
    def steps(self) -> str:
        """In which steps compositions vary."""
        return "" if self.n_grid == 1 else f"orbits shared out in steps of 1/{self.n_grid}"

    @property
    def tree(self) -> Tree:
        """The tree of choices (host, float64; computed once per space)."""
        return _tree(self)

    @property
    def rules(self) -> Rules:
        """What may sit where, in numbers."""
        return _rules(self)

    def why_outside(self, candidate: Candidate) -> str:
        """Why a candidate is not a compound of this space; empty if it is one."""
        if candidate.prototype not in self.prototypes:
            return f"its prototype is {candidate.prototype}; open: {', '.join(self.prototypes)}"
        sizes = prototype(candidate.prototype).multiplicities
        sums = [sum(n for _, n in orbit) for orbit in candidate.occupancy]
        if len(sums) != len(sizes) or any(s * sizes[0] != sums[0] * m for s, m in zip(sums, sizes, strict=True)):
            return f"its counts sum to {sums}; its orbits have {list(sizes)} sites"
        if any(n * self.n_grid % s for orbit, s in zip(candidate.occupancy, sums, strict=True) for _, n in orbit):
            return f"an orbit is shared out in other steps than 1/{self.n_grid}"
        if stranger := next((e for e in candidate.elements if e not in self.available), None):
            return f"{stranger} is not among its elements ({' '.join(self.available)})"
        return why_closed(self.rules, self._matrix(candidate), self.prototypes.index(candidate.prototype), self.elements)

    def encode(self, candidates: Sequence[Candidate]) -> tuple[np.ndarray, np.ndarray]:
        """Structure [n] (index in `prototypes`) and counts [n, n_element * n_orbit] of candidates.

        Of the decorations that are one crystal, the one that the tree has.

        Raises:
          ValueError: If a candidate is not a compound of this space; the message says why.
        """
        structure = np.zeros(len(candidates), np.int32)
        counts = np.zeros((len(candidates), self.tree.n_step - 1), np.int32)
        for i, candidate in enumerate(candidates):
            if why := self.why_outside(candidate):
                raise ValueError(f"{candidate.formula} is outside the space: {why}")
            structure[i] = self.prototypes.index(candidate.prototype)
            matrix = self._matrix(candidate)
            same = [matrix[:, list(order)] for order in orbit_permutations(candidate.prototype)]
            counts[i].reshape(-1, self.tree.n_orbit)[:, : matrix.shape[1]] = max(same, key=lambda m: m.tolist())
        return structure, counts

    def decode(self, structure: np.ndarray, counts: np.ndarray) -> list[Candidate]:
        """The candidates of structures [n] and counts [n, n_element * n_orbit]."""
        return [self._candidate(self.structures[int(s)], row) for s, row in zip(np.asarray(structure), np.asarray(counts), strict=True)]

    def _candidate(self, name: str, counts: np.ndarray) -> Candidate:
        sizes = prototype(name).multiplicities
        matrix = counts.reshape(len(self.elements), -1)[:, : len(sizes)]
        step = gcd(self.n_grid, *(int(n) for n in matrix[matrix > 0]))
        orbits = [[(self.elements[k], int(matrix[k, o]) // step * m) for k in np.flatnonzero(matrix[:, o])] for o, m in enumerate(sizes)]
        return Candidate(name, tuple(tuple(orbit) for orbit in orbits))

    def _matrix(self, candidate: Candidate) -> np.ndarray:
        """Counts [n_element, n_orbit of the structure] on the grid, as the candidate has them."""
        matrix = np.zeros((len(self.elements), len(candidate.occupancy)), int)
        for o, orbit in enumerate(candidate.occupancy):
            for symbol, n in orbit:
                matrix[self.elements.index(symbol), o] = n * self.n_grid // sum(m for _, m in orbit)
        return matrix


@cache
def _rules(space: Compounds) -> Rules:
    return Rules.of(
        space.structures,
        n_grid=space.n_grid,
        bounds=(space.min_elements, space.max_elements),
        required=[e in space.required for e in space.elements],
        forbidden=[e in space.forbidden for e in space.elements],
        charges=[oxidation_states(e) for e in space.elements] if space.neutral else None,
    )


@cache
def _tree(space: Compounds) -> Tree:
    tree = grow(space.rules)
    tree.log_prior.setflags(write=False)  # type: ignore[union-attr]
    return tree


def _check(space: Compounds) -> None:
    check_elements(tuple(space.elements), tuple(space.required), tuple(space.forbidden))
    if lattice := next((name for name in space.prototypes if name in LATTICES), None):
        raise ValueError(f"{lattice} is a lattice of solutions, which are a space of their own (Alloys); name ordered structures here")
    for name in space.prototypes:
        prototype(name)  # raises for what is not known
    if not space.prototypes or len(set(space.prototypes)) < len(space.prototypes):
        raise ValueError(f"prototypes are {' '.join(space.prototypes) or 'none'}; name at least one, each once")
    for name in ("n_grid", "min_elements"):
        if getattr(space, name) < 1:
            raise ValueError(f"{name} is {getattr(space, name)}; it must be at least 1")
    if space.min_elements > space.max_elements:
        raise ValueError(f"min_elements is {space.min_elements}, more than max_elements, {space.max_elements}")
    if not space.n_leaf:
        neutral = " and is neutral" if space.neutral else ""
        bounds = f"{space.min_elements} to {space.max_elements} of {' '.join(space.available)}"
        raise ValueError(f"no compound on {', '.join(space.prototypes)} has {bounds}{neutral}; loosen a bound")
