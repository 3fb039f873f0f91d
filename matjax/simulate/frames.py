"""Configurations off equilibrium to train on, drawn from a crystal's own key."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matjax.types import Crystal, Dataset, Metadata


def shaken(given: Crystal, relaxed: Crystal, n_copy: int, max_strain: float, rattle: float) -> list[Crystal]:
    """The relaxed crystal, the crystal as it came, and copies of the relaxed one, from gentle to the full strain and rattle.

    Args:
      given: The crystal as it came; its key seeds the draws.
      relaxed: The same, relaxed.
      n_copy: Copies.
      max_strain: Largest strain, in every component.
      rattle: Standard deviation of displacements of the last copy, Å.
    """
    draw = np.random.default_rng(int(given.key, 16))
    frames = [relaxed, given]
    for share in np.arange(1, n_copy + 1) / max(n_copy, 1):
        strain = share * max_strain * draw.uniform(-1, 1, (3, 3))
        deformation = np.eye(3) + (strain + strain.T) / 2
        positions = relaxed.positions @ deformation + share * rattle * draw.normal(size=relaxed.positions.shape)
        frames.append(Crystal(relaxed.lattice @ deformation, positions, relaxed.numbers, relaxed.pbc))
    return frames


def dataset(key: str, frames: Sequence[Crystal], labels: Sequence[tuple[float, np.ndarray, np.ndarray]], source: str) -> Dataset:
    """Frames from `shaken` with their energy (eV), forces (eV/Å) and stress (eV/Å³), as a data set.

    Args:
      key: Of the crystal as it came.
      frames: The frames.
      labels: (energy, forces, stress) of each.
      source: Name of the oracle.
    """
    energy, forces, stress = zip(*labels, strict=True)
    words = ("relaxed", "given", *(f"copy{i}" for i in range(len(frames) - 2)))[: len(frames)]
    units = {"energy": "eV", "forces": "eV/Å", "stress": "eV/Å³"}
    metadata = Metadata(f"frames of {key}", units, reference="atoms", functional=source, structures="unrelaxed", source=source)
    columns = {"energy": np.array(energy), "forces": forces, "stress": np.array(stress)}
    return Dataset(tuple(frames), tuple(f"{key}-{word}" for word in words), columns, metadata=metadata)
