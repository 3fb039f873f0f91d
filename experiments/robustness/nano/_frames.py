"""Clusters, slabs and bulk of three metals in the embedded-atom laboratory; size is N^(-1/3), zero in bulk."""

from __future__ import annotations

import _above  # noqa: F401 (finds the shared parts)
import jax
import numpy as np
from _laboratory import labelled
from ase.build import bulk, fcc100, fcc111

from matjax.data.elements import number
from matjax.keys import child, generator
from matjax.types import Crystal, Dataset

LATTICE = {"Cu": 3.615, "Ni": 3.52, "Ag": 4.09}
"""Lattice constants in Å."""

VACUUM = 8.0
"""Å on every side: beyond the reach of the laboratory and of the network."""


def cluster(metal: str, n_atom: int, random: np.random.Generator) -> Crystal:
    """The n atoms of an fcc lattice that are nearest to a random point."""
    a = LATTICE[metal]
    n = int(np.ceil(((n_atom / 4) ** (1 / 3) + 2) / 2)) * 2
    sites = bulk(metal, "fcc", a=a, cubic=True).repeat((n, n, n)).positions
    centre = a * (n / 2 + random.random(3))
    near = sites[np.argsort(np.linalg.norm(sites - centre, axis=1), kind="stable")[:n_atom]]
    near = near - near.min(0) + VACUUM
    return Crystal(np.diag(near.max(0) + VACUUM), near, np.full(n_atom, number(metal)), np.zeros(3, bool))


def slab(metal: str, random: np.random.Generator) -> Crystal:
    """A (100) or (111) slab, periodic along two directions."""
    build = (fcc100, fcc111)[random.integers(2)]
    atoms = build(metal, (2, 2, int(random.integers(4, 13))), a=LATTICE[metal], vacuum=VACUUM)
    return Crystal(atoms.cell.array, atoms.positions, atoms.numbers, np.array([True, True, False]))


def solid(metal: str) -> Crystal:
    """Bulk, 32 atoms."""
    atoms = bulk(metal, "fcc", a=LATTICE[metal], cubic=True).repeat((2, 2, 2))
    return Crystal(atoms.cell.array, atoms.positions, atoms.numbers)


def shaken(crystal: Crystal, strain: float, rattle: float, random: np.random.Generator) -> Crystal:
    """Strained in every component, atoms displaced, both by up to so much."""
    change = strain * random.uniform(-1, 1, (3, 3))
    deformation = np.eye(3) + (change + change.T) / 2
    positions = crystal.positions @ deformation + rattle * random.random() * random.normal(size=crystal.positions.shape)
    return Crystal(crystal.lattice @ deformation, positions, crystal.numbers, crystal.pbc)


def frames(
    metals: tuple[str, ...], counts: dict[str, int], sizes: tuple[int, int], strain: float, rattle: float, key: jax.Array
) -> dict[str, Dataset]:
    """{"small": clusters and slabs, "bulk": ..., "perfect": bulk at rest, "ideal": clusters at rest}.

    Columns: `metal`, `kind`, `size` = N^(-1/3) (of a slab that of a cluster with as large a share of surface is not defined: the cube
    root of its atoms along the normal, 1 / layers, stands in), `size_charge` = N * size, from which the network hears size per atom.
    """
    random = generator(child(key, "frames"))
    rows: dict[str, list[tuple[Crystal, str, str, float]]] = {"small": [], "bulk": [], "perfect": [], "ideal": []}
    for metal in metals:
        for n in np.geomspace(*sizes, counts["cluster"]).astype(int):
            ideal = cluster(metal, int(n), random)
            rows["ideal"].append((ideal, metal, "cluster", float(n ** (-1 / 3))))
            rows["small"].append((shaken(ideal, strain, rattle, random), metal, "cluster", float(n ** (-1 / 3))))
        for _ in range(counts["slab"]):
            ideal = slab(metal, random)
            layers = len(np.unique(np.round(ideal.positions[:, 2], 3)))
            rows["small"].append((shaken(ideal, strain, rattle, random), metal, "slab", 1 / (2 * layers)))
        rows["bulk"] += [(shaken(solid(metal), strain, rattle, random), metal, "bulk", 0.0) for _ in range(counts["bulk"])]
        rows["perfect"].append((solid(metal), metal, "bulk", 0.0))
    return {name: _labelled(found) for name, found in rows.items()}


def _labelled(rows: list[tuple[Crystal, str, str, float]]) -> Dataset:
    crystals, metals, kinds, sizes = zip(*rows, strict=True)
    charge = np.array([s * len(c) for s, c in zip(sizes, crystals, strict=True)])
    columns = {"metal": np.array(metals), "kind": np.array(kinds), "size": np.array(sizes), "size_charge": charge}
    return labelled(crystals, [f"{metal} {kind} {i}" for i, (metal, kind) in enumerate(zip(metals, kinds, strict=True))], **columns)
