"""Compositions on a grid, and what a search over them needs: forms through values on it, regions, choices of elements."""

from __future__ import annotations

from functools import cache
from itertools import combinations, product

import numpy as np


@cache
def grid(n_active: int, n_grid: int) -> np.ndarray:
    """Compositions [n, n_active] in steps of 1 / n_grid, pure elements first; edges are four times as fine."""
    rows = {tuple(row): None for row in np.eye(n_active, dtype=int) * 4 * n_grid}
    for size, fine in ((2, 4), (n_active, 1)):
        for chosen in combinations(range(n_active), min(size, n_active)):
            for parts in product(range(n_grid * fine + 1), repeat=len(chosen) - 1):
                if sum(parts) <= n_grid * fine:
                    row = np.zeros(n_active, int)
                    row[list(chosen)] = np.array([*parts, n_grid * fine - sum(parts)]) * (4 // fine)
                    rows.setdefault(tuple(row))
    return np.array(list(rows)) / (4 * n_grid)


@cache
def projection(n_active: int, n_grid: int) -> np.ndarray:
    """What turns values on the grid into a symmetric quartic form, by least squares [n_grid, n_active^4].

    sum_ijkl form[ijkl] x_i x_j x_k x_l; every Redlich-Kister surface is one, as fractions sum to 1.
    """
    index = np.stack(np.meshgrid(*[np.arange(n_active)] * 4, indexing="ij"), -1).reshape(-1, 4)
    kinds, which, count = np.unique(np.sort(index, -1), axis=0, return_inverse=True, return_counts=True)
    monomials = grid(n_active, n_grid)[:, kinds].prod(-1)
    return (np.linalg.pinv(monomials) / count[:, None])[which.reshape(-1)].T


@cache
def faces(n_active: int) -> np.ndarray:
    """Every choice of some but not all elements, in groups as large as those of a lattice [g, 2 n_active, n_active]."""
    choices = np.array(list(product((False, True), repeat=n_active))[1:-1], bool).reshape(-1, n_active)
    extra = -len(choices) % (2 * n_active)
    return np.concatenate([choices, np.zeros((extra, n_active), bool)]).reshape(-1, 2 * n_active, n_active)


@cache
def regions(n_active: int, n_grid: int) -> np.ndarray:
    """Rows of the grid in which each element is the majority [n_active, n_region], filled up with the pure element."""
    majority = grid(n_active, n_grid).argmax(-1)
    rows = [np.flatnonzero(majority == k) for k in range(n_active)]
    return np.stack([np.concatenate([row, np.full(max(map(len, rows)) - len(row), k)]) for k, row in enumerate(rows)])
