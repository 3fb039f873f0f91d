"""What may sit on the orbits of ordered structures, as a finite automaton: bounds, symmetry, structures inside others, charge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pymatgen.core import Element

from matjax.simulate.orbits import Partition, merged, orbit_permutations, partition_of
from matjax.simulate.prototypes import prototype
from matjax.value.automaton import counted
from matjax.value.tree import Tree

MAX_NODE = 200_000
"""Most nodes of a step; beyond it a space is refused rather than left to fill the memory."""


class Rules(NamedTuple):
    """A space of compounds in numbers.

    sizes: sites per orbit of each structure; same: permutations of its orbits that leave the crystal as it is; merged: ways to put
    equals on several orbits that another structure makes; n_grid: counts on a full orbit; bounds: fewest and most elements; required
    and forbidden: per element; charges: oxidation states per element, or None where charge does not matter.
    """

    sizes: tuple[tuple[int, ...], ...]
    same: tuple[tuple[tuple[int, ...], ...], ...]
    merged: tuple[frozenset[Partition], ...]
    n_grid: int
    bounds: tuple[int, int]
    required: tuple[bool, ...]
    forbidden: tuple[bool, ...]
    charges: tuple[tuple[int, ...], ...] | None

    @staticmethod
    def of(
        names: Sequence[str],
        n_grid: int,
        bounds: tuple[int, int],
        required: Sequence[bool],
        forbidden: Sequence[bool],
        charges: Sequence[tuple[int, ...]] | None,
    ) -> Rules:
        """The rules of structures by name."""
        inside = merged(names)
        return Rules(
            tuple(prototype(name).multiplicities for name in names),
            tuple(orbit_permutations(name) for name in names),
            tuple(inside[name] for name in names),
            n_grid,
            bounds,
            tuple(required),
            tuple(forbidden),
            None if charges is None else tuple(charges),
        )


def oxidation_states(symbol: str) -> tuple[int, ...]:
    """Common oxidation states of an element, as pymatgen has them; a noble gas has 0."""
    return tuple(int(q) for q in Element(symbol).common_oxidation_states) or (0,)


class _Node(NamedTuple):
    """What the past leaves to know.

    structure; left: counts still to be handed out per orbit; used: elements present, the one in turn included; row: counts of the element
    in turn on the orbits so far; tied: permutations (by number) under which the crystal so far is itself; alike: pairs of orbits with
    equal counts so far; sums: charges that the elements so far can have.
    """

    structure: int
    left: tuple[int, ...]
    used: int
    row: tuple[int, ...]
    tied: frozenset[int]
    alike: frozenset[tuple[int, int]]
    sums: frozenset[int]


def grow(rules: Rules) -> Tree:
    """The tree of all compounds.

    Raises:
      ValueError: If the automaton would have more than MAX_NODE nodes in a step.
    """
    n_element, n_orbit = len(rules.required), max(len(s) for s in rules.sizes)
    root = _Node(-1, (), 0, (), frozenset(), frozenset(), frozenset({0}))
    levels: list[dict[_Node, int]] = [{root: 0}]
    moves: list[list[tuple[int, int, int]]] = []
    for t in range(1 + n_element * n_orbit):
        below: dict[_Node, int] = {}
        move = []
        for node, i in levels[-1].items():
            for action, onward in _choices(rules, node, (t - 1) // n_orbit, (t - 1) % n_orbit, n_orbit):
                move.append((i, action, below.setdefault(onward, len(below))))
        if len(below) > MAX_NODE:
            raise ValueError(
                f"this space of compounds has more than {MAX_NODE:,} distinct partial compounds in a step; take fewer structures or "
                "elements, a coarser n_grid, or neutral = false"
            )
        levels.append(below)
        moves.append(move)
    return _arrays(rules, levels, moves, n_orbit)


def _choices(rules: Rules, node: _Node, element: int, orbit: int, n_orbit: int) -> list[tuple[int, _Node]]:
    """Open actions and where they lead."""
    if node.structure < 0:
        return [(s, _start(rules, s)) for s in range(len(rules.sizes))]
    n_own = len(node.left)
    counts = range(min(node.left[orbit], rules.n_grid) + 1) if orbit < n_own and not rules.forbidden[element] else (0,)
    found = []
    for count in counts:
        left = tuple(n - count * (o == orbit) for o, n in enumerate(node.left))
        is_new = count > 0 and not any(node.row)
        onward = node._replace(left=left, used=node.used + is_new, row=(*node.row, count))
        if onward.used > rules.bounds[1]:
            continue
        if orbit == n_orbit - 1:
            closed = _close_row(rules, onward, element)
            if closed is None or (element == len(rules.required) - 1 and not _is_end(rules, closed)):
                continue
            onward = closed
        found.append((count, onward))
    return found


def _start(rules: Rules, structure: int) -> _Node:
    n = len(rules.sizes[structure])
    pairs = frozenset((a, b) for a in range(n) for b in range(a)) if rules.merged[structure] else frozenset()
    tied = frozenset(range(len(rules.same[structure])))
    return _Node(structure, (rules.n_grid,) * n, 0, (), tied, pairs, frozenset({0}))


def _close_row(rules: Rules, node: _Node, element: int) -> _Node | None:
    """The node after the last orbit of an element; None where the compound is not the one of its equals that is kept."""
    row, sizes = node.row[: len(node.left)], rules.sizes[node.structure]
    if rules.required[element] and not any(row):
        return None
    tied = set()
    for i in node.tied:
        moved = tuple(row[k] for k in rules.same[node.structure][i])
        if moved > row:
            return None
        if moved == row:
            tied.add(i)
    sums = node.sums
    if rules.charges is not None and any(row):
        n = sum(count * m for count, m in zip(row, sizes, strict=True))
        sums = frozenset(s + n * q for s in sums for q in rules.charges[element])
    alike = frozenset((a, b) for a, b in node.alike if row[a] == row[b])
    return node._replace(row=(), tied=frozenset(tied), alike=alike, sums=sums)


def _is_end(rules: Rules, node: _Node) -> bool:
    return (
        not any(node.left)
        and node.used >= rules.bounds[0]
        and _partition(node.alike, len(node.left)) not in rules.merged[node.structure]
        and (rules.charges is None or 0 in node.sums)
    )


def _partition(alike: frozenset[tuple[int, int]], n: int) -> Partition:
    """Blocks of orbits with equal counts, in order of appearance."""
    block: list[int] = []
    for a in range(n):
        same = next((b for b in range(a) if (a, b) in alike), None)
        block.append(max(block, default=-1) + 1 if same is None else block[same])
    return tuple(block)


def _arrays(rules: Rules, levels: list[dict[_Node, int]], moves: list[list[tuple[int, int, int]]], n_orbit: int) -> Tree:
    """Arrays of the nodes that lead somewhere, numbered anew within each step."""
    n_step, n_action = len(moves), max(len(rules.sizes), rules.n_grid + 1)
    alive = [np.zeros(len(level), bool) for level in levels]
    alive[-1][:] = True
    for t in reversed(range(n_step)):
        for i, _, j in moves[t]:
            alive[t][i] |= alive[t + 1][j]
    number = [np.cumsum(a) - 1 for a in alive]
    n_node = max(1, *(int(a.sum()) for a in alive))
    next_node, is_open = np.zeros((n_step, n_node, n_action), np.int32), np.zeros((n_step, n_node, n_action), bool)
    left, used = np.zeros((n_step, n_node)), np.zeros((n_step, n_node), np.int32)
    for t in range(n_step):
        for i, action, j in moves[t]:
            if alive[t + 1][j]:
                next_node[t, number[t][i], action], is_open[t, number[t][i], action] = number[t + 1][j], True
        for node, i in levels[t].items():
            if alive[t][i]:
                used[t, number[t][i]] = node.used
                orbit = (t - 1) % n_orbit
                left[t, number[t][i]] = 1.0 if t == 0 else node.left[orbit] / rules.n_grid if orbit < len(node.left) else 0.0
    share = np.zeros((len(rules.sizes), n_orbit))
    for s, sizes in enumerate(rules.sizes):
        share[s, : len(sizes)] = np.array(sizes) / (sum(sizes) * rules.n_grid)
    shape = (np.zeros((n_step, n_node, n_action)), next_node, left, used, share, len(rules.required), rules.bounds[1], rules.n_grid)
    return counted(Tree(*shape), is_open, np.ones(n_node, bool))


def why_closed(rules: Rules, matrix: np.ndarray, structure: int, elements: Sequence[str]) -> str:
    """Why counts [n_element, n_orbit] on a structure are no compound of the rules; empty if they are one."""
    present = np.asarray((matrix > 0).any(axis=1))
    if missing := [e for k, e in enumerate(elements) if rules.required[k] and not present[k]]:
        return f"the required {missing[0]} is missing"
    if not rules.bounds[0] <= present.sum() <= rules.bounds[1]:
        return f"it has {present.sum()} elements; allowed: {rules.bounds[0]} to {rules.bounds[1]}"
    if partition_of([tuple(column) for column in matrix.T.tolist()]) in rules.merged[structure]:
        return "equals sit on several of its orbits, so that it is a simpler structure of the space or a lattice"
    if rules.charges is not None:
        sums = {0}
        for row, states in zip(matrix, rules.charges, strict=True):
            n = int(row @ rules.sizes[structure])
            sums = {s + n * q for s in sums for q in states} if n else sums
        if 0 not in sums:
            return "no choice of common oxidation states makes it neutral"
    return ""
