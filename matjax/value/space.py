"""What every space of materials offers: its tree, and the way between a candidate and its place in the tree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import jax
import numpy as np

from matjax import keys
from matjax.data.elements import number
from matjax.types import Candidate
from matjax.value import automaton
from matjax.value.tree import Tree


class Space(ABC):
    """Materials to choose from.

    In arrays a material is (structure, counts): the index of its structure in `structures`, and counts [n_element * n_orbit], for the
    first element on each orbit, then for the second, and so on. Spaces are frozen and compare by their settings.
    """

    what: ClassVar[str] = "materials"
    """What they are called, in the plural."""

    if TYPE_CHECKING:
        elements: tuple[str, ...] | str
        min_elements: int
        max_elements: int
        required: tuple[str, ...] | str
        forbidden: tuple[str, ...] | str

    @property
    def available(self) -> tuple[str, ...]:
        """The elements that are not forbidden."""
        return tuple(e for e in self.elements if e not in self.forbidden)

    @property
    @abstractmethod
    def structures(self) -> tuple[str, ...]:
        """Names of the prototypes, in the order of every array over structures; some may be closed."""

    @property
    @abstractmethod
    def tree(self) -> Tree:
        """The tree of choices (host, float64; computed once per space)."""

    @abstractmethod
    def why_outside(self, candidate: Candidate) -> str:
        """Why a candidate is not of this space; empty if it is."""

    @abstractmethod
    def encode(self, candidates: Sequence[Candidate]) -> tuple[np.ndarray, np.ndarray]:
        """Structure [n] and counts [n, n_element * n_orbit] of candidates.

        Raises:
          ValueError: If a candidate is not of this space; the message says why.
        """

    @abstractmethod
    def decode(self, structure: np.ndarray, counts: np.ndarray) -> list[Candidate]:
        """The candidates of structures [n] and counts [n, n_element * n_orbit]."""

    @property
    def steps(self) -> str:
        """In which steps compositions vary, in words; empty where they do not."""
        return ""

    def describe(self) -> str:
        """How many materials of what there are, in words."""
        n = f"{self.min_elements}" if self.min_elements == self.max_elements else f"{self.min_elements} to {self.max_elements}"
        names = [name for name, is_open in zip(self.structures, self.open_structures, strict=True) if is_open]
        return f"{self.n_leaf:,} {self.what} of {n} elements on {', '.join(names)}" + (f", {self.steps}" if self.steps else "")

    @property
    def n_leaf(self) -> int:
        """Number of materials, exactly."""
        return _n_leaf(self)

    @property
    def open_structures(self) -> np.ndarray:
        """Whether each of `structures` is open [n_structure]."""
        return np.isfinite(self.tree.log_prior[0, 0, : self.tree.n_structure])

    def contains(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Whether each candidate is of this space [n]."""
        return np.array([not self.why_outside(c) for c in candidates], bool)

    def is_legal(self, structure: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Whether structures [n] with counts [n, n_element * n_orbit], any integers, are materials of this space [n]."""
        actions = np.column_stack([np.asarray(structure), np.asarray(counts)])
        return automaton.follow(self.tree, actions) == self.tree.n_step

    def sample_uniform(self, n: int, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
        """Independent draws, every material equally likely: structure [n], counts [n, n_element * n_orbit]."""
        actions = automaton.sample(self.tree, n, keys.generator(keys.child(key, "uniform")))
        return actions[:, 0], actions[:, 1:]

    def enumerate(self, limit: int = 1_000_000) -> tuple[np.ndarray, np.ndarray]:
        """Every material once, in the order of the tree: structure [n_leaf], counts [n_leaf, n_element * n_orbit].

        Raises:
          ValueError: If there are more than `limit`.
        """
        actions = automaton.enumerate_leaves(self.tree, limit)
        return actions[:, 0], actions[:, 1:]

    def choices(self, structure: str | None, counts: Mapping[str, int | Sequence[int]]) -> np.ndarray:
        """What facts fix: an action per step [n_step], -1 where the choice is open.

        Args:
          structure: Name of a structure, or None.
          counts: By symbol the count on the orbit, or one count per orbit; 0 says that the element is absent from it.

        Raises:
          ValueError: If an element or a structure is not of the space, or the counts are not one per orbit.
        """
        actions, n_orbit = np.full(self.tree.n_step, -1), self.tree.n_orbit
        if structure is not None:
            names = [name for name, is_open in zip(self.structures, self.open_structures, strict=True) if is_open]
            if structure not in names:
                raise ValueError(f"{structure!r} is not among the structures of the space ({', '.join(names)})")
            actions[0] = self.structures.index(structure)
        for symbol, count in counts.items():
            if symbol not in self.elements:
                raise ValueError(f"{symbol} is not among the elements of the space ({' '.join(self.elements)})")
            on_orbits = np.atleast_1d(np.asarray(count, int))
            if len(on_orbits) != n_orbit and on_orbits.any():
                raise ValueError(f"{len(on_orbits)} counts of {symbol} came; the space has up to {n_orbit} orbits: one count for each")
            first = 1 + self.elements.index(symbol) * n_orbit
            actions[first : first + n_orbit] = on_orbits
        return actions

    def contains_all(self, symbols: Sequence[str]) -> np.ndarray:
        """Which choices keep it possible that all of these elements are present [n_step, n_node, n_action]."""
        tree, is_open = self.tree, np.ones(self.tree.log_prior.shape, bool)
        for symbol in symbols:
            first = 1 + self.elements.index(symbol) * tree.n_orbit
            is_open[first + tree.n_orbit - 1, :, 0] = _is_present(self)[first + tree.n_orbit - 1]
        return is_open


def check_elements(elements: Sequence[str], required: Sequence[str], forbidden: Sequence[str]) -> None:
    """Refuses names that are no elements, stand twice, or contradict each other.

    Raises:
      ValueError: Naming the element.
    """
    for name, symbols in (("elements", elements), ("required", required), ("forbidden", forbidden)):
        for symbol in symbols:
            number(symbol)  # raises for what is no element
        if len(set(symbols)) < len(symbols):
            raise ValueError(f"{name} lists an element twice: {' '.join(symbols)}")
    if stranger := next((e for e in required if e not in elements), None):
        raise ValueError(f"the required {stranger} is not among the elements {' '.join(elements)}; add it there")
    if both := next((e for e in required if e in forbidden), None):
        raise ValueError(f"{both} is both required and forbidden; take it out of one of them")


def fixed(tree: Tree, actions: np.ndarray) -> np.ndarray:
    """Which choices are open [n_step, 1, n_action] where some actions [n_step] are fixed and others (-1) are not."""
    action = np.arange(tree.n_action)[None, :]
    return ((actions[:, None] < 0) | (action == actions[:, None]))[:, None, :]


@cache
def _n_leaf(space: Space) -> int:
    return automaton.n_leaf(space.tree)


@cache
def _is_present(space: Space) -> np.ndarray:
    """Whether the element in turn is already on an orbit before it [n_step, n_node] (of nodes that can be reached)."""
    tree = space.tree
    found = np.zeros(tree.log_prior.shape[:2], bool)
    for t in range(1, tree.n_step):
        if (t - 1) % tree.n_orbit == tree.n_orbit - 1:
            continue
        node, action = np.nonzero(np.isfinite(tree.log_prior[t]))
        onward = np.asarray(tree.next_node)[t, node, action]
        found[t + 1, onward] |= found[t, node] | (action > 0)
    return found
