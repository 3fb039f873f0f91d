"""What an oracle does with a crystal, by any ASE calculator: relax it, prove it, strain it, shake it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.fd import FiniteDifferenceCalculator
from ase.filters import UnitCellFilter
from ase.optimize import FIRE, LBFGS
from ase.stress import voigt_6_to_full_3x3_stress

from matjax.config import spec
from matjax.data.convert import from_ase, to_ase
from matjax.graph.neighbours import neighbours
from matjax.simulate.frames import dataset, shaken
from matjax.types import Crystal, Dataset, Result

LARGEST_STRETCH = 3.0
"""Ratio of volumes, either way, at which a relaxation is given up: the crystal is lost."""


@spec
class Recipe:
    """Settings of a measurement.

    Attributes:
      max_force: Largest force on an atom of a relaxed crystal, eV/Å; a quarter of it under the strains of elastic constants.
      max_stress: Largest pressure, either sign, of a relaxed crystal, eV/Å³.
      max_step: Steps of a relaxation: the first half by L-BFGS, the rest, where that has not converged, by FIRE.
      strain_step: Strain of the finite differences of elastic constants.
      n_copy: Strained and rattled copies of the relaxed crystal among the frames.
      max_strain: Largest strain of a copy, in every component.
      rattle: Largest standard deviation of a copy's displacements, Å.
      max_displacement: An atom farther from its lattice site than this, in nearest-neighbour distances, has left it.
      min_volume: Smallest ratio of relaxed to given volume that counts as the same structure.
      max_volume: Largest such ratio.
    """

    max_force: float = 0.02
    max_stress: float = 3e-4
    max_step: int = 400
    strain_step: float = 0.005
    n_copy: int = 3
    max_strain: float = 0.03
    rattle: float = 0.1
    max_displacement: float = 0.4
    min_volume: float = 0.7
    max_volume: float = 1.4


def measure_crystal(crystal: Crystal, calculator: Any, recipe: Recipe, *, elastic: bool, frames: bool, source: str) -> Result:
    """Relaxes positions and isotropic volume, keeping the shape of the lattice, and measures what comes out.

    Elastic constants are for relaxed ions: C_ij = d stress_i / d strain_j by central differences, symmetrised. A
    calculator without stress gets it from central differences of the energy.

    Args:
      crystal: What to measure.
      calculator: An ASE calculator with forces.
      recipe: How.
      elastic: Also elastic constants.
      frames: Also the relaxed crystal, the crystal as it came, and copies, with energy, forces and stress.
      source: Name of the oracle, for the frames' metadata.

    Returns:
      The result, without cost.

    Raises:
      ArithmeticError: If a value is not finite, or positions do not relax under a strain.
      Exception: Whatever the calculator raises.
    """
    atoms = to_ase(crystal)
    atoms.calc = _with_stress(calculator)
    n_step = _relax_cell(atoms, recipe)
    relaxed, evidence = from_ase(atoms), _evidence(crystal, atoms, n_step)
    labels = {"energy_per_atom": float(atoms.get_potential_energy()) / len(atoms), "volume_per_atom": relaxed.volume / len(atoms)}
    status, error = _verdict(crystal, evidence, recipe)
    if status != "converged":
        return Result(status, relaxed, labels, evidence=evidence, error=error)
    constants = elastic_constants(atoms, recipe) if elastic else None
    found = _frames(crystal, relaxed, atoms.calc, recipe, source) if frames else None
    return Result(status, relaxed, labels, constants, found, evidence)


def elastic_constants(atoms: Atoms, recipe: Recipe) -> np.ndarray:
    """Elastic constants [6, 6] of relaxed ions in ASE's Voigt order, eV/Å³.

    Args:
      atoms: A relaxed crystal with a calculator; left as it came.
      recipe: Strain and tolerance.

    Raises:
      ArithmeticError: If the positions do not relax under a strain.
    """
    stress = lambda strain: _relaxed_stress(atoms, strain, recipe)
    steps = recipe.strain_step * np.eye(6)
    columns = [(stress(step) - stress(-step)) / (2 * recipe.strain_step) for step in steps]
    return (np.array(columns) + np.array(columns).T) / 2


def _relaxed_stress(atoms: Atoms, strain: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Stress [6] under a Voigt strain [6] (shears are engineering strains), positions relaxed at fixed lattice."""
    strained = atoms.copy()
    strained.calc = atoms.calc
    symmetric = voigt_6_to_full_3x3_stress(strain * [1, 1, 1, 0.5, 0.5, 0.5])
    strained.set_cell(atoms.cell.array @ (np.eye(3) + symmetric), scale_atoms=True)
    tolerance = recipe.max_force / 4
    _relax(strained, strained, tolerance, np.inf, recipe.max_step)
    force = _max_force(strained)
    if force > tolerance:
        raise ArithmeticError(
            f"positions did not relax under strain: {force:.3g} eV/Å after {recipe.max_step} steps, wanted {tolerance:.3g}"
        )
    return strained.get_stress()


def _with_stress(calculator: Any) -> Any:
    """The calculator, or one that takes the stress from finite differences of its energy."""
    properties = calculator.implemented_properties
    if "stress" in properties:
        return calculator
    return FiniteDifferenceCalculator(calculator, eps_disp=None, eps_strain=1e-4, force_consistent="free_energy" in properties)


def _relax_cell(atoms: Atoms, recipe: Recipe) -> int:
    """Relaxes positions and isotropic volume; returns the number of steps."""
    # The factor makes the volume about as stiff as an atom, which saves steps.
    volume = UnitCellFilter(atoms, hydrostatic_strain=True, cell_factor=3 * float(len(atoms)) ** 0.5)
    return _relax(volume, atoms, recipe.max_force, recipe.max_stress, recipe.max_step)


def _relax(target: Any, atoms: Atoms, max_force: float, max_stress: float, max_step: int) -> int:
    """Relaxes atoms, or a filter of them, in place until within both limits or out of steps; returns the steps."""
    n_step, volume = 0, atoms.get_volume()
    for optimizer in (LBFGS, FIRE):
        run = optimizer(target, logfile=None)  # pyright: ignore[reportArgumentType]
        for _ in run.irun(fmax=0.0, steps=max_step // 2):  # the limits here decide, not the optimiser's one for all
            _check_finite(atoms)
            is_relaxed = _max_force(atoms) <= max_force and _max_stress(atoms) <= max_stress
            is_lost = not 1 / LARGEST_STRETCH < atoms.get_volume() / volume < LARGEST_STRETCH
            if is_relaxed or is_lost:
                return n_step + run.nsteps
        n_step += run.nsteps
    return n_step


def _check_finite(atoms: Atoms) -> None:
    """Stops a relaxation before values that make no sense come back to the calculator as positions."""
    for name, values in (("energy", atoms.get_potential_energy()), ("forces", atoms.get_forces()), ("stress", atoms.get_stress())):
        if not np.isfinite(values).all():
            raise ArithmeticError(f"the {name} of the calculator: not finite")


def _max_force(atoms: Atoms) -> float:
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def _max_stress(atoms: Atoms) -> float:
    """The part of the stress that the volume is free to relax: the pressure, without its sign."""
    return abs(float(atoms.get_stress()[:3].mean()))


def _evidence(crystal: Crystal, atoms: Atoms, n_step: int) -> dict[str, float]:
    """Evidence of convergence; displacements are from the lattice sites, scaled with the lattice, without rigid drift."""
    sites = crystal.positions @ np.linalg.solve(crystal.lattice, atoms.cell.array)
    moved = atoms.positions - sites
    return {
        "max_force": _max_force(atoms),
        "max_stress": _max_stress(atoms),
        "n_step": float(n_step),
        "volume_ratio": float(atoms.get_volume()) / crystal.volume,
        "max_displacement": float(np.linalg.norm(moved - moved.mean(0), axis=1).max()),
        "min_distance": _min_distance(from_ase(atoms)),
    }


def _min_distance(crystal: Crystal) -> float:
    """Distance of the nearest two atoms (or images), Å: the search widens until it finds a pair."""
    reach = 1.5 * (crystal.volume / len(crystal)) ** (1 / 3)
    while not len(vectors := neighbours(crystal, reach).vectors):
        reach *= 2
    return float(np.linalg.norm(vectors, axis=1).min())


def _verdict(crystal: Crystal, evidence: dict[str, float], recipe: Recipe) -> tuple[str, str]:
    """Status and error of a relaxation that came to its end."""
    ratio, moved = evidence["volume_ratio"], evidence["max_displacement"]
    reach = recipe.max_displacement * _min_distance(crystal) * ratio ** (1 / 3)
    if not recipe.min_volume <= ratio <= recipe.max_volume:
        return "transformed", f"physical: the volume changed {ratio:.2f} times; allowed {recipe.min_volume} to {recipe.max_volume}"
    if moved > reach:
        return "transformed", f"physical: an atom moved {moved:.2f} Å from its lattice site; allowed {reach:.2f}"
    if evidence["max_force"] > recipe.max_force or evidence["max_stress"] > recipe.max_stress:
        left = f"{evidence['max_force']:.3g} eV/Å and {evidence['max_stress']:.3g} eV/Å³ are left after {evidence['n_step']:.0f} steps"
        return "unconverged", f"numerical: {left}; wanted {recipe.max_force} and {recipe.max_stress}"
    return "converged", ""


def _frames(crystal: Crystal, relaxed: Crystal, calculator: Any, recipe: Recipe, source: str) -> Dataset:
    """The frames that every oracle gives, with what the calculator says of them."""
    frames = shaken(crystal, relaxed, recipe.n_copy, recipe.max_strain, recipe.rattle)
    found = dataset(crystal.key, frames, [_labels(frame, calculator) for frame in frames], source)
    return dataclasses.replace(found, metadata=dataclasses.replace(found.metadata, reference="functional"))


def _labels(crystal: Crystal, calculator: Any) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces and stress [3, 3] of a crystal as it is."""
    atoms = to_ase(crystal)
    atoms.calc = calculator
    return float(atoms.get_potential_energy()), atoms.get_forces(), atoms.get_stress(voigt=False)
