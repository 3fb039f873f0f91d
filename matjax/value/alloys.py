"""The space of alloys: which elements, which lattices, how many of each; and the way between a candidate and its counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import ClassVar

import numpy as np

from matjax.config import spec
from matjax.simulate.prototypes import LATTICES
from matjax.types import Candidate
from matjax.value.automaton import counted
from matjax.value.space import Space, check_elements
from matjax.value.tree import Tree

N_LATTICE = len(LATTICES)


@spec
class Alloys(Space):
    """Solid solutions on a composition grid, as a tree of choices: the lattice, then a count for each element in order.

    In arrays an alloy is (lattice, counts): the index in LATTICES ("fcc", "bcc", "hcp") whatever lattices are open, and one
    count per element of `elements` (forbidden ones included, always 0), summing to n_site.

    Attributes:
      elements: Symbols in the order of every array over elements, as a tuple or as one string: "Al Co Cr Fe Ni".
      lattices: Which of fcc, bcc, hcp are open; kept in that order.
      n_site: Sites of the composition grid: 20 gives steps of 5 at.%.
      min_elements: Fewest elements in an alloy.
      max_elements: Most elements in an alloy; no more than there are elements to choose from.
      min_count: Fewest sites of an element that is present.
      max_count: Most sites of an element.
      required: Elements that every alloy contains, as `elements`.
      forbidden: Elements that no alloy contains, as `elements`.
    """

    what: ClassVar[str] = "alloys"
    elements: tuple[str, ...] | str
    lattices: tuple[str, ...] | str = LATTICES
    n_site: int = 20
    min_elements: int = 4
    max_elements: int = 5
    min_count: int = 1
    max_count: int = 7
    required: tuple[str, ...] | str = ()
    forbidden: tuple[str, ...] | str = ()

    def __post_init__(self) -> None:
        """Splits strings, checks every name and bound, and counts.

        Raises:
          ValueError: If a name is unknown, bounds contradict each other, or no alloy satisfies them; the message says which.
        """
        for name in ("elements", "lattices", "required", "forbidden"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value.split() if isinstance(value, str) else value))
        _check_names(self)
        object.__setattr__(self, "lattices", tuple(name for name in LATTICES if name in self.lattices))
        _check_bounds(self)

    @property
    def steps(self) -> str:
        """In which steps compositions vary."""
        return f"in steps of {100 / self.n_site:g} at.%"

    @property
    def structures(self) -> tuple[str, ...]:
        """LATTICES, whichever are open."""
        return LATTICES

    @property
    def tree(self) -> Tree:
        """The tree of choices (host, float64; computed once per space)."""
        return _tree(self)

    def allowed(self) -> np.ndarray:
        """Whether an element may have a count [n_element, n_action], by the bounds on elements alone."""
        n_action = max(N_LATTICE, min(self.max_count, self.n_site) + 1)
        count = np.arange(n_action)
        is_present = (count >= self.min_count) & (count <= self.max_count)
        absent, present = np.array([[e not in self.required, e not in self.forbidden] for e in self.elements]).T
        return (absent[:, None] & (count == 0)) | (present[:, None] & is_present)

    def why_outside(self, candidate: Candidate) -> str:
        """Why a candidate is not an alloy of this space; empty if it is one."""
        if candidate.prototype not in self.lattices:
            return f"its prototype is {candidate.prototype}; open lattices: {', '.join(self.lattices)}"
        counts = dict(candidate.occupancy[0])
        if len(candidate.occupancy) > 1 or sum(counts.values()) != self.n_site:
            sums = [sum(n for _, n in orbit) for orbit in candidate.occupancy]
            return f"its counts sum to {sums}; the grid has one orbit of {self.n_site} sites"
        if stranger := next((e for e in counts if e not in self.available), None):
            return f"{stranger} is not among its elements ({' '.join(self.available)})"
        if missing := next((e for e in self.required if e not in counts), None):
            return f"the required {missing} is missing"
        if not self.min_elements <= len(counts) <= self.max_elements:
            return f"it has {len(counts)} elements; allowed: {self.min_elements} to {self.max_elements}"
        if wrong := next((e for e, n in counts.items() if not self.min_count <= n <= self.max_count), None):
            return f"it has {counts[wrong]} sites of {wrong}; allowed: {self.min_count} to {self.max_count}"
        return ""

    def encode(self, candidates: Sequence[Candidate]) -> tuple[np.ndarray, np.ndarray]:
        """Lattice [n] (index in LATTICES) and counts [n, n_element] of candidates.

        Raises:
          ValueError: If a candidate is not an alloy of this space; the message says why.
        """
        lattice = np.zeros(len(candidates), np.int32)
        counts = np.zeros((len(candidates), len(self.elements)), np.int32)
        column = {e: k for k, e in enumerate(self.elements)}
        for i, candidate in enumerate(candidates):
            if why := self.why_outside(candidate):
                raise ValueError(f"{candidate.formula} is outside the space: {why}")
            lattice[i] = LATTICES.index(candidate.prototype)
            for symbol, n in candidate.occupancy[0]:
                counts[i, column[symbol]] = n
        return lattice, counts

    def decode(self, lattice: np.ndarray, counts: np.ndarray) -> list[Candidate]:
        """The candidates of lattices [n] and counts [n, n_element]."""
        return [
            Candidate(LATTICES[int(l)], (tuple((self.elements[k], int(row[k])) for k in np.flatnonzero(row)),))
            for l, row in zip(np.asarray(lattice), np.asarray(counts), strict=True)
        ]


@cache
def _tree(space: Alloys) -> Tree:
    """The node is (sites handed out, elements used)."""
    allowed, width, n_site = space.allowed(), space.max_elements + 1, space.n_site
    n_step, n_node, n_action = 1 + len(space.elements), (n_site + 1) * width, allowed.shape[1]
    out, used = (x.ravel() for x in np.indices((n_site + 1, width)))
    count = np.arange(n_action)[None, :]
    out_then, used_then = out[:, None] + count, used[:, None] + (count > 0)
    next_node, is_open = np.zeros((n_step, n_node, n_action), np.int32), np.zeros((n_step, n_node, n_action), bool)
    is_open[0, 0, :N_LATTICE] = [name in space.lattices for name in LATTICES]
    fits = (out_then <= n_site) & (used_then < width)
    next_node[1:] = np.where(fits, out_then * width + used_then, 0)
    is_open[1:] = fits & allowed[:, None, :]
    left, present = (np.broadcast_to(x, (n_step, n_node)) for x in (1.0 - out / n_site, used))
    share = np.full((N_LATTICE, 1), 1.0 / n_site)
    tree = Tree(np.zeros((n_step, n_node, n_action)), next_node, left, present, share, len(space.elements), space.max_elements, n_site)
    tree = counted(tree, is_open, (out == n_site) & (used >= space.min_elements))
    tree.log_prior.setflags(write=False)  # type: ignore[union-attr]
    return tree


def _check_names(space: Alloys) -> None:
    check_elements(tuple(space.elements), tuple(space.required), tuple(space.forbidden))
    if unknown := next((name for name in space.lattices if name not in LATTICES), None):
        raise ValueError(f"{unknown!r} is no lattice of solutions; allowed: {', '.join(LATTICES)}")
    if not space.lattices:
        raise ValueError(f"no lattice is open; name at least one of {', '.join(LATTICES)}")


def _check_bounds(space: Alloys) -> None:
    low, high, n_site = max(space.min_elements, len(space.required)), min(space.max_elements, len(space.available)), space.n_site
    for name in ("n_site", "min_elements", "min_count"):
        if getattr(space, name) < 1:
            raise ValueError(f"{name} is {getattr(space, name)}; it must be at least 1")
    for what in ("elements", "count"):
        if getattr(space, f"min_{what}") > getattr(space, f"max_{what}"):
            raise ValueError(f"min_{what} is {getattr(space, f'min_{what}')}, more than max_{what}, {getattr(space, f'max_{what}')}")
    if len(space.required) > space.max_elements:
        raise ValueError(
            f"{len(space.required)} elements are required ({' '.join(space.required)}) but max_elements is {space.max_elements}"
        )
    if low > high:
        raise ValueError(
            f"min_elements is {space.min_elements}, but only {len(space.available)} elements may be chosen: {' '.join(space.available)}"
        )
    if low * space.min_count > n_site:
        raise ValueError(f"{low} elements of at least {space.min_count} sites each need {low * space.min_count} sites; there are {n_site}")
    if high * space.max_count < n_site:
        raise ValueError(f"{high} elements of at most {space.max_count} sites each fill {high * space.max_count} of {n_site} sites")
    if not space.n_leaf:
        raise ValueError(
            f"no alloy has {low} to {high} elements of {space.min_count} to {space.max_count} sites each on {n_site} sites; loosen a bound"
        )
