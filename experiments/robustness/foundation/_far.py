"""Crystals that are made wrong step by step: a spread or a distance that is worth its name must grow with the steps."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from matjax.data.elements import number
from matjax.keys import child, generator
from matjax.types import Crystal, Dataset

LEVELS = {
    "expanded": (0.05, 0.1, 0.2, 0.4),
    "compressed": (0.03, 0.06, 0.1, 0.15),
    "displaced": (0.05, 0.1, 0.2, 0.4),
    "scrambled": (0.25, 0.5, 1.0),
    "foreign": (0.125, 0.25, 0.5, 1.0),
}
"""{how: by how much}: relative lengths, lengths, displacements in Å, share of the sites that are dealt anew, share that is replaced."""

FOREIGN = ("V", "Zr", "Al", "Cl")


def distorted(data: Dataset, key: jax.Array) -> Dataset:
    """Every crystal as it is and at every level of every kind; columns `how`, `level`, `parent`. Labels are dropped."""
    rows = [(c, "as it is", 0.0, i) for i, c in enumerate(data.crystals)]
    for how, levels in LEVELS.items():
        rows += [(_made(c, how, x, child(key, how, i)), how, x, i) for x in levels for i, c in enumerate(data.crystals)]
    crystals, kinds, sizes, parents = zip(*rows, strict=True)
    columns = {"how": np.array(kinds), "level": np.array(sizes), "parent": np.array(parents)}
    return Dataset(crystals, tuple(f"{how} {x} {i}" for _, how, x, i in rows), {}, columns, data.metadata)


def _made(crystal: Crystal, how: str, level: float, key: jax.Array) -> Crystal:
    """One distorted crystal; the same draw of sites and directions at every level, so that levels differ in size alone."""
    random = generator(key)
    if how in ("expanded", "compressed"):
        factor = 1 + level if how == "expanded" else 1 - level
        return dataclasses.replace(crystal, lattice=crystal.lattice * factor, positions=crystal.positions * factor)
    if how == "displaced":
        return dataclasses.replace(crystal, positions=crystal.positions + level * random.normal(size=crystal.positions.shape))
    chosen = random.permutation(len(crystal))[: max(1, round(level * len(crystal)))]
    numbers = crystal.numbers.copy()
    if how == "scrambled":
        numbers[chosen] = numbers[np.roll(chosen, 1)]
    else:
        numbers[chosen] = number(FOREIGN[random.integers(len(FOREIGN))])
    return dataclasses.replace(crystal, numbers=numbers)
