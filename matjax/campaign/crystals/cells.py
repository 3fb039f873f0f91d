"""Measured alloys as arrays: one row per crystal, what thermo and the network both start from."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ase.data import atomic_numbers

from matjax.campaign.problem import Measured
from matjax.simulate.prototypes import LATTICES, prototype
from matjax.thermo import Points
from matjax.thermo.elasticity.moduli import SYMMETRY, born, hill, symmetrise
from matjax.types import Candidate, Crystal, Dataset

SOFT = 0.1
"""A cell whose smallest elastic eigenvalue is less than this share of its bulk modulus has no Debye temperature to speak of."""


NOMINAL = 1.0
"""Bulk modulus of some metal, eV/Å³."""


@dataclasses.dataclass(frozen=True, eq=False)
class AlloyCells:
    """Cells of solutions and compounds with what an oracle measured.

    Attributes:
      keys: Key of the candidate each cell stands for.
      prototypes: Prototype of each cell.
      crystals: Undistorted cells, as they went to the oracle.
      lattice: Index of the (parent) lattice in LATTICES [n].
      x: Composition of the cell itself, rounded to its sites [n, n_element].
      energy: Relaxed, eV/atom in the oracle's own zero [n].
      volume: Relaxed, Å³/atom [n].
      bulk: Hill's bulk modulus, eV/Å³ [n]; NaN where elastic constants are missing.
      shear: Hill's shear modulus, eV/Å³ [n].
      born: Smallest eigenvalue of the elastic constants, eV/Å³ [n].
    """

    keys: tuple[str, ...]
    prototypes: tuple[str, ...]
    crystals: tuple[Crystal, ...]
    lattice: np.ndarray
    x: np.ndarray
    energy: np.ndarray
    volume: np.ndarray
    bulk: np.ndarray
    shear: np.ndarray
    born: np.ndarray

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.keys)

    @property
    def is_solution(self) -> np.ndarray:
        """Whether a cell stands for a random solution (or a pure element) [n]."""
        return np.array([name in LATTICES for name in self.prototypes], bool)

    @property
    def n_element(self) -> np.ndarray:
        """Different elements in each cell [n]."""
        return (self.x > 0).sum(1)

    def select(self, rows: np.ndarray) -> AlloyCells:
        """These rows (a mask or indices)."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, int)
        take = lambda value: tuple(value[i] for i in rows) if isinstance(value, tuple) else value[rows]
        taken: dict[str, Any] = {f.name: take(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return AlloyCells(**taken)

    def join(self, other: AlloyCells) -> AlloyCells:
        """These cells, then others."""
        add = lambda a, b: a + b if isinstance(a, tuple) else np.concatenate([a, b])
        joined: dict[str, Any] = {f.name: add(getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self)}
        return AlloyCells(**joined)

    @classmethod
    def unmeasured(cls, elements: Sequence[str], candidates: Sequence[Candidate], crystals: Sequence[Crystal]) -> AlloyCells:
        """One cell of each solution, of which nothing is known (NaN)."""
        nothing, names = np.full(len(candidates), np.nan), tuple(c.prototype for c in candidates)
        lattice = np.array([LATTICES.index(name) for name in names], int)
        x = compositions(elements, crystals)
        return cls(tuple(c.key for c in candidates), names, tuple(crystals), lattice, x, *[nothing] * 5)

    def with_stable_moduli(self) -> AlloyCells:
        """Cells that are soft or unstable with the moduli of the elements' stable lattices, mixed by their logarithms.

        Of a lattice that does not resist a strain, elastic constants give no frequencies but a Debye temperature near zero, with
        which it would beat every other lattice at high temperature; so its energy decides, and vibrations make no difference.
        """
        pure = self.x.T > 1 - 1e-9
        if not pure.any(1).all():
            return self  # the landscape will say which reference is missing
        lowest = np.argmin(np.where(pure, self.energy, np.inf), 1)
        soft = np.isfinite(self.born) & ~(self.born > SOFT * self.bulk)
        mixed = lambda modulus: np.where(soft, np.exp(self.x @ np.log(modulus[lowest])), modulus)
        return dataclasses.replace(self, bulk=mixed(self.bulk), shear=mixed(self.shear))

    def with_nominal_moduli(self) -> AlloyCells:
        """Cells whose moduli are those of some metal: without vibrations they set the size of relaxation steps and nothing else."""
        same = lambda value: np.full(len(self), value)
        return dataclasses.replace(self, bulk=same(NOMINAL), shear=same(NOMINAL / 2), born=same(NOMINAL / 2))

    def points(self, enthalpy: np.ndarray) -> Points:
        """For a landscape, with these enthalpies [n_member, n] in place of the measured ones."""
        spread = lambda y: np.broadcast_to(y, enthalpy.shape)
        return Points(self.lattice, self.x, enthalpy, spread(self.volume), spread(self.bulk), spread(self.shear))


def compositions(elements: Sequence[str], crystals: Iterable[Crystal]) -> np.ndarray:
    """Atomic fractions [n, n_element] in the order of `elements`."""
    numbers = np.array([atomic_numbers[s] for s in elements])
    return np.array([(c.numbers[:, None] == numbers).mean(0) for c in crystals]).reshape(-1, len(numbers))


def alloy_cells(elements: Sequence[str], measured: Mapping[str, Measured], cells: Mapping[str, Sequence[Crystal]]) -> AlloyCells:
    """The table of measured candidates.

    Args:
      elements: Order of the compositions.
      measured: What converged, by candidate key.
      cells: Undistorted crystals by candidate key, in the order of the results.
    """
    rows = [
        (key, m.candidate.prototype, crystal, result)
        for key, m in measured.items()
        for crystal, result in zip(cells[key], m.results, strict=True)
    ]
    keys, names, crystals, results = zip(*rows, strict=True) if rows else ((), (), (), ())
    lattices = [prototype(name).lattice for name in names]
    moduli = _moduli(
        [r.elastic for r in results], [SYMMETRY[lat] if name in LATTICES else "" for name, lat in zip(names, lattices, strict=True)]
    )
    return AlloyCells(
        keys=tuple(keys),
        prototypes=tuple(names),
        crystals=tuple(crystals),
        lattice=np.array([LATTICES.index(lat) for lat in lattices], int),
        x=compositions(elements, crystals),
        energy=np.array([r.labels["energy_per_atom"] for r in results]),
        volume=np.array([r.labels["volume_per_atom"] for r in results]),
        bulk=moduli[0],
        shear=moduli[1],
        born=moduli[2],
    )


def frames(measured: Iterable[Measured], words: Sequence[str]) -> Dataset:
    """Every configuration whose id ends in one of the words (`relaxed`, `given`, `copy0`, ...), with energy, forces and stress.

    The domain column `n_elements` holds the number of elements of the alloy.

    Raises:
      ValueError: If there is none.
    """
    parts = [(r.frames, len(m.candidate.elements)) for m in measured for r in m.results if r.frames is not None]
    kept = [(part.select(np.array([name.rpartition("-")[2] in words for name in part.ids])), n) for part, n in parts]
    kept = [(part, n) for part, n in kept if len(part)]
    if not kept:
        raise ValueError(f"the oracle kept no frames named {', '.join(words)}; a network has nothing to train on")
    joined = lambda values: tuple(itertools.chain.from_iterable(values))
    return Dataset(
        crystals=joined(part.crystals for part, _ in kept),
        ids=joined(part.ids for part, _ in kept),
        labels={
            "energy": np.concatenate([part.labels["energy"] for part, _ in kept]),
            "forces": joined(part.labels["forces"] for part, _ in kept),
            "stress": np.concatenate([part.labels["stress"] for part, _ in kept]),
        },
        domains={"n_elements": np.concatenate([np.full(len(part), n) for part, n in kept])},
        metadata=dataclasses.replace(kept[0][0].metadata, name="frames of measured alloys"),
    )


def _moduli(elastic: Sequence[np.ndarray | None], symmetry: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bulk and shear modulus and smallest eigenvalue [n]; a random cell's constants are averaged to its lattice's symmetry first."""
    out = np.full((3, len(elastic)), np.nan)
    for kind in sorted(set(symmetry)):
        rows = [i for i, s in enumerate(symmetry) if s == kind and elastic[i] is not None]
        if not rows:
            continue
        with jax.enable_x64(True):
            tensors = np.stack([np.asarray(elastic[i], float) for i in rows])
            tensors = np.asarray(symmetrise(tensors, kind)) if kind else tensors
            moduli = hill(tensors)
            out[:, rows] = np.stack([np.asarray(moduli.bulk), np.asarray(moduli.shear), np.asarray(born(tensors))])
    return out[0], out[1], out[2]
