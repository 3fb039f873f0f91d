"""Ordered structures whose orbits are mixtures: supercells that hold the counts, decorated like random on each orbit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product

import numpy as np
from ase.data import atomic_numbers

from matjax.graph.neighbours import neighbours
from matjax.simulate.prototypes import Prototype, prototype
from matjax.types import Candidate, Crystal

N_ATOM = 32
"""Fewest atoms of a cell with a mixture on an orbit."""

MAX_REPEAT = 6
"""Most repeats along an axis."""

SHELLS = (1.2, 1.75)
"""Outer radii of the shells whose pairs are compared with a random occupation's, in nearest-neighbour distances."""


@cache
def supercell(name: str, step: int) -> Prototype:
    """The smallest, most even supercell of at least N_ATOM atoms whose orbits can be shared out in steps of 1/step.

    Raises:
      ValueError: If no supercell up to MAX_REPEAT along each axis can.
    """
    cell = prototype(name)
    for n in sorted({int(np.prod(times)) for times in product(range(1, MAX_REPEAT + 1), repeat=3)}):
        if n * len(cell) >= N_ATOM and all(n * m % step == 0 for m in cell.multiplicities):
            return supercell_of(name, n * len(cell))
    raise ValueError(f"no supercell of {name} up to {MAX_REPEAT} repeats holds shares of 1/{step} on orbits of {cell.multiplicities} sites")


@cache
def supercell_of(name: str, n_atom: int) -> Prototype:
    """The most even supercell with this many atoms.

    Raises:
      ValueError: If there is none up to MAX_REPEAT along each axis.
    """
    cell = prototype(name)
    lengths = np.linalg.norm(cell.vectors, axis=1)
    fitting = [times for times in product(range(1, MAX_REPEAT + 1), repeat=3) if int(np.prod(times)) * len(cell) == n_atom]
    if not fitting:
        raise ValueError(f"no supercell of {name} up to {MAX_REPEAT} repeats has {n_atom} atoms")
    edges = {times: lengths * times for times in fitting}
    times = np.array(min(fitting, key=lambda t: (float(edges[t].max() / edges[t].min()), t)))
    shifts = np.array(list(product(*(range(n) for n in times))))
    frac = ((cell.frac_coords[None] + shifts[:, None]) / times).reshape(-1, 3)
    return Prototype(name, cell.lattice, cell.vectors * times[:, None], frac, np.tile(cell.orbit, len(shifts)))


def decorations(candidate: Candidate, n: int, n_trial: int, rng: np.random.Generator) -> tuple[Prototype, np.ndarray]:
    """A supercell and atomic numbers [n, n_atom] of the occupations nearest to random ones, out of `n_trial` drawn for each.

    Nearest in the counts of pairs between orbits within two shells: of a random occupation, share times share.

    Raises:
      ValueError: If the occupancy does not fit the structure, or no supercell holds it.
    """
    sizes = prototype(candidate.prototype).multiplicities
    sums = [sum(m for _, m in orbit) for orbit in candidate.occupancy]
    if len(sums) != len(sizes) or any(s * sizes[0] != sums[0] * m for s, m in zip(sums, sizes, strict=True)):
        raise ValueError(f"{candidate.formula}: {candidate.prototype} has orbits of {sizes} sites; the counts sum to {sums}")
    step = int(np.lcm.reduce([s // np.gcd.reduce([s, *(m for _, m in orbit)]) for s, orbit in zip(sums, candidate.occupancy, strict=True)]))
    cell = supercell(candidate.prototype, step)
    trials = np.zeros((n * n_trial, len(cell)), int)
    for k, (orbit, total) in enumerate(zip(candidate.occupancy, sums, strict=True)):
        sites = np.flatnonzero(cell.orbit == k)
        numbers = np.repeat([atomic_numbers[s] for s, _ in orbit], [m * len(sites) // total for _, m in orbit])
        trials[:, sites] = rng.permuted(np.tile(numbers, (len(trials), 1)), axis=1)
    best = np.lexsort((np.arange(len(trials)), np.round(_cost(cell, trials, step), 9)))[:n]
    return cell, trials[best]


def _cost(cell: Prototype, trials: np.ndarray, step: int) -> np.ndarray:
    """How far the pairs of decorations [n, n_atom] are from those of a random occupation [n]."""
    elements, kind = np.unique(trials, return_inverse=True)
    occupied = np.eye(len(elements))[kind.reshape(trials.shape)]
    share = np.stack([occupied[0][cell.orbit == k].mean(0) for k in range(cell.orbit.max() + 1)])[cell.orbit]
    cost, is_mixed = np.zeros(len(trials)), (share > 0).sum(1) > 1
    for pairs in _shell_pairs(cell.name, step):
        pairs = pairs * (is_mixed[:, None] & is_mixed)  # the others are what they are
        if not pairs.any():
            continue
        found = np.einsum("kie,ij,kjf->kef", occupied, pairs, occupied, optimize=True)
        cost += np.abs(found - np.einsum("ie,ij,jf->ef", share, pairs, share)).sum((1, 2)) / pairs.sum()
    return cost


@cache
def _shell_pairs(name: str, step: int) -> tuple[np.ndarray, ...]:
    return pairs_by_shell(supercell(name, step), SHELLS)


def pairs_by_shell(cell: Prototype, shells: Sequence[float]) -> tuple[np.ndarray, ...]:
    """Per shell, how often each site sees each other site [n_atom, n_atom].

    Args:
      cell: The sites.
      shells: Outer radii, rising, in nearest-neighbour distances.
    """
    crystal = Crystal(cell.vectors, cell.frac_coords @ cell.vectors, np.ones(len(cell), int))
    senders, receivers, vectors, *_ = neighbours(crystal, shells[-1])
    length, inner, found = np.linalg.norm(vectors, axis=1), 0.0, []
    for outer in shells:
        pairs = np.zeros((len(cell), len(cell)))
        keep = (length > inner) & (length <= outer)
        np.add.at(pairs, (receivers[keep], senders[keep]), 1.0)
        found.append(pairs)
        inner = outer
    return tuple(found)
