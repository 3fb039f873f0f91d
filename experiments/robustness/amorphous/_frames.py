"""Copper-zirconium: crystals strained and displaced, melts, and the glasses that come of quenching them."""

from __future__ import annotations

import _above  # noqa: F401 (finds the shared parts)
import jax
import numpy as np
from _laboratory import dynamics, quench
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal as spacegroup_crystal

from matjax.keys import child, generator
from matjax.types import Crystal

VOLUME = {29: 11.8, 40: 23.3}
"""Å³ per atom of the elements; crystals start at the mean of these."""


def lattices() -> dict[str, Atoms]:
    """Prototypes as supercells {name: cell}: of the ordered ones (B2, L1_2, C15) as they are, of the others copper on all sites."""
    b2 = spacegroup_crystal(["Cu", "Zr"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=221, cellpar=[3.26] * 3 + [90] * 3)
    l12 = spacegroup_crystal(["Zr", "Cu"], [(0, 0, 0), (0, 0.5, 0.5)], spacegroup=221, cellpar=[4.1] * 3 + [90] * 3)
    c15 = spacegroup_crystal(
        ["Zr", "Cu"], [(0.125, 0.125, 0.125), (0.5, 0.5, 0.5)], spacegroup=227, setting=2, cellpar=[7.2] * 3 + [90] * 3
    )
    return {
        "B2": b2.repeat((3, 3, 3)),
        "L1_2": l12.repeat((2, 2, 2)),
        "C15": c15,
        "fcc": bulk("Cu", "fcc", a=3.6, cubic=True).repeat((2, 2, 2)),
        "bcc": bulk("Cu", "bcc", a=2.9, cubic=True).repeat((3, 3, 3)),
        "hcp": bulk("Cu", "hcp", a=2.6, c=4.2).repeat((3, 3, 2)),
    }


def crystals(per_prototype: int, strain: float, rattle: float, key: jax.Array) -> tuple[list[Crystal], np.ndarray]:
    """Frames and their prototypes; solid solutions (fcc, bcc, hcp) of all compositions, elements among them."""
    found, names = [], []
    for name, cell in lattices().items():
        random = generator(child(key, name))
        for _ in range(per_prototype):
            numbers = cell.numbers.copy()
            if name in ("fcc", "bcc", "hcp"):
                numbers[random.random(len(numbers)) < random.choice([0.0, 1.0, random.random(), random.random()])] = 40
            found.append(_frame(cell, numbers, strain, rattle, random))
            names.append(name)
    return found, np.array(names)


def _frame(cell: Atoms, numbers: np.ndarray, strain: float, rattle: float, random: np.random.Generator) -> Crystal:
    """One cell at the volume of its atoms, strained in all six components and in volume, atoms displaced."""
    size = (sum(VOLUME[int(z)] for z in numbers) / cell.get_volume()) ** (1 / 3)
    change = strain * random.uniform(-1, 1, (3, 3))
    deformation = size * (np.eye(3) * (1 + strain * random.uniform(-1, 1)) + (change + change.T) / 4)
    positions = cell.positions @ deformation
    return Crystal(cell.cell.array @ deformation, positions + rattle * random.random() * random.normal(size=positions.shape), numbers)


def melt(share: float, n_atom: int, temperatures: np.ndarray, n_molten: int, key: jax.Array) -> tuple[list[Crystal], list[Crystal]]:
    """Frames of the melt and frames of the glass at rest: every fourth block of the end of either."""
    n = round((n_atom / 4) ** (1 / 3))
    cell = bulk("Cu", "fcc", a=4.2, cubic=True).repeat((n, n, n))
    numbers = cell.numbers.copy()
    numbers[generator(child(key, "sites")).permutation(len(numbers))[round(share * len(numbers)) :]] = 40
    size = (1.08 * sum(VOLUME[int(z)] for z in numbers) / cell.get_volume()) ** (1 / 3)
    frames = dynamics(Crystal(size * cell.cell.array, size * cell.positions, numbers), temperatures, child(key, "noise"), 4)
    n_hot, n_rest = n_molten // 4, int(np.sum(temperatures == temperatures[-1])) // 4
    return frames[n_hot // 2 : n_hot], frames[-n_rest:]


__all__ = ["crystals", "lattices", "melt", "quench"]
