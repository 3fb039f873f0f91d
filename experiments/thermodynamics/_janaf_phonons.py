"""What a potential says of a crystal's vibrations: relaxed volume, frequencies over a supercell, static energies by volume."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from matjax.graph import Shape, neighbours
from matjax.simulate.batch_relax import batch_relax
from matjax.simulate.phonons import force_constants, modes, to_terahertz
from matjax.simulate.supercell import nearest_image, supercell_matrix
from matjax.types import Crystal, Result

LENGTHS = (8.0, 13.0)
"""Least and most distance of an atom from its own image in the supercell that is asked for, Å."""

ROOMS = (Shape(104, 3072, 2), Shape(104, 6144, 2), Shape(136, 10240, 2))
"""Shapes that supercells fill as far as they can: the first that holds the least distance; else the second; larger cells take the third."""

STRETCHES = np.linspace(0.94, 1.08, 8)
"""Volumes at which the static energy is taken, by that at rest."""

N_BIN = 96
"""Equal shares of the modes, each with one frequency, by which a spectrum is kept."""


def relaxed(potential: Any, crystals: list[Crystal]) -> list[Result]:
    """Crystals at rest, to 2e-3 eV/Å and 0.05 GPa."""
    return batch_relax(potential, crystals, cell="full", max_force=2e-3, max_stress=3e-4, n_step=40, batch_size=8)


def vibrations(potential: Any, crystal: Crystal, stretch: float = 1.0) -> dict[str, Any]:
    """The spectrum at rest, or of the cell stretched to another volume with its atoms: a row of plain numbers.

    The spectrum is kept as the geometric mean frequency (THz) of N_BIN equal shares of the modes; where a share holds imaginary modes,
    minus their absolute value counts.
    """
    begun = time.process_time()
    scale = stretch ** (1 / 3)
    crystal = dataclasses.replace(crystal, lattice=crystal.lattice * scale, positions=crystal.positions * scale)
    matrix, shape = _supercell(crystal, len(neighbours(crystal, float(potential.model.cutoff)).senders))
    n_cell = round(np.linalg.det(matrix))
    known = force_constants(potential, crystal, matrix, symmetry=1e-2, shape=shape)
    found = modes(known, crystal, _mesh(crystal))
    return {
        "stretch": stretch,
        "supercell": np.diag(matrix).tolist(),
        "n_super": n_cell * len(crystal),
        "drift": known.drift,
        "share_imaginary": found.share_imaginary,
        "lowest_thz": to_terahertz(found.lowest),
        "spectrum_thz": _spectrum(to_terahertz(np.asarray(found.frequencies)), found.weights).round(5).tolist(),
        "cpu_s": round(time.process_time() - begun, 1),
    }


def static(potential: Any, crystal: Crystal) -> dict[str, list[float]]:
    """Energies in eV/atom at volumes in Å³/atom, atoms carried with the cell."""
    scales = STRETCHES ** (1 / 3)
    said = potential([dataclasses.replace(crystal, lattice=crystal.lattice * s, positions=crystal.positions * s) for s in scales])
    return {"volumes": (STRETCHES * crystal.volume / len(crystal)).tolist(), "energies": said.mean.astype(float).tolist()}


def _supercell(crystal: Crystal, n_edge: int) -> tuple[np.ndarray, Shape]:
    """The supercell with the farthest images that fits the rooms, and its room."""
    for shape in ROOMS:
        most = int(min((shape.n_node - 1) / len(crystal), shape.n_edge / n_edge))
        matrix = supercell_matrix(crystal, LENGTHS[1], max(most, 1) * len(crystal))
        is_last = shape == ROOMS[1] or shape == ROOMS[-1]
        if most and (is_last or nearest_image(matrix @ crystal.lattice) >= LENGTHS[0]):
            return matrix, shape
    raise ValueError(f"a primitive cell of {len(crystal)} atoms and {n_edge} edges is too large: {ROOMS[-1]} is the largest room")


def _mesh(crystal: Crystal) -> tuple[int, int, int]:
    """Wave vectors about as dense in every direction: 60 Å by the length of the lattice vector, at least 4, at most 16."""
    counts = np.clip(np.rint(60 / np.linalg.norm(crystal.lattice, axis=1)), 4, 16)
    n_x, n_y, n_z = (int(n) for n in counts)
    return n_x, n_y, n_z


def _spectrum(frequencies: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[N_BIN] THz; the three modes of the zone centre that are translations are left out."""
    kept = np.ones(frequencies.shape, bool)
    zone_centre = 0  # of a mesh that is centred there, the first
    kept[zone_centre, np.argsort(np.abs(frequencies[zone_centre]))[:3]] = False
    values, shares = frequencies[kept], np.broadcast_to(weights[:, None], frequencies.shape)[kept]
    order = np.argsort(values)
    values, ends = values[order], np.cumsum(shares[order]) / shares.sum()
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.maximum(np.abs(values), 1e-3)) * np.diff(ends, prepend=0.0))])
    edges = np.linspace(0, 1, N_BIN + 1)
    means = np.diff(np.interp(edges, np.concatenate([[0.0], ends]), logs)) * N_BIN
    return np.where(np.interp(edges[1:], ends, values) < 0, -1, 1) * np.exp(means)
