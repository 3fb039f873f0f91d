"""What an oracle does with a crystal, by any ASE calculator: relax it, prove it, strain it, shake it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.fd import FiniteDifferenceCalculator
from ase.constraints import FixAtoms
from ase.filters import UnitCellFilter
from ase.optimize import FIRE, LBFGS
from ase.stress import voigt_6_to_full_3x3_stress

from matjax.campaign.dynamics import run
from matjax.config import spec
from matjax.data.convert import from_ase, to_ase
from matjax.simulate.dynamics import Dynamics, judged
from matjax.simulate.evidence import evidence, min_distance, transformed
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
      ideal: Keep atoms on the sites of the lattice and relax the volume alone, for labels that are cheaper; forces are then in
        the evidence, but not limited.
      gives: What else to measure, of "elastic" and "frames".
      dynamics: A short molecular dynamics after the relaxation: adds the labels `enthalpy_hot` (eV/atom, with the kinetic energy) and
        `volume_hot` (Å³/atom), and their standard errors to the evidence. A crystal whose atoms leave their sites is "transformed".
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
    ideal: bool = False
    gives: tuple[str, ...] = ("elastic", "frames")
    dynamics: Dynamics | None = None

    def __post_init__(self) -> None:
        """Refuses to give what no oracle gives."""
        if unknown := set(self.gives) - {"elastic", "frames"}:
            raise ValueError(f"gives holds {', '.join(sorted(unknown))}; allowed: elastic, frames")

    @property
    def force_limit(self) -> float | None:
        """What `check_result` holds the largest force against, eV/Å; None for ideal sites."""
        return None if self.ideal else self.max_force


class ByRecipe:
    """What an oracle says of itself by the recipe that it measures with."""

    if TYPE_CHECKING:
        recipe: Recipe

    @property
    def max_force(self) -> float | None:
        """Largest force on an atom of a relaxed crystal, eV/Å; None for ideal sites."""
        return self.recipe.force_limit

    @property
    def gives(self) -> tuple[str, ...]:
        """What it measures beside energy and volume."""
        return self.recipe.gives


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
    relaxed, proof = from_ase(atoms), _evidence(crystal, atoms, n_step, recipe)
    labels = {"energy_per_atom": float(atoms.get_potential_energy()) / len(atoms), "volume_per_atom": relaxed.volume / len(atoms)}
    status, error = _verdict(crystal, proof, recipe)
    if status == "converged" and recipe.dynamics is not None:
        hot, told, error = _hot(atoms, recipe.dynamics)
        status, labels, proof = "transformed" if error else status, labels | hot, proof | told
    if status != "converged":
        return Result(status, relaxed, labels, evidence=proof, error=error)
    constants = elastic_constants(atoms, recipe) if elastic and "elastic" in recipe.gives else None
    found = _frames(crystal, relaxed, atoms.calc, recipe, source) if frames and "frames" in recipe.gives else None
    return Result(status, relaxed, labels, constants, found, proof)


def _hot(atoms: Atoms, dynamics: Dynamics) -> tuple[dict[str, float], dict[str, float], str]:
    """Labels and evidence of molecular dynamics, and why the crystal is no longer one; no labels then."""
    return judged(run(atoms, dynamics, min_distance(from_ase(atoms))), dynamics)


def elastic_constants(atoms: Atoms, recipe: Recipe) -> np.ndarray:
    """Elastic constants [6, 6] of relaxed ions (of clamped ones on ideal sites) in ASE's Voigt order, eV/Å³.

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
    if recipe.ideal:
        return strained.get_stress()
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
    atoms.set_constraint(FixAtoms(range(len(atoms))) if recipe.ideal else None)
    n_step = _relax(volume, atoms, recipe.force_limit or np.inf, recipe.max_stress, recipe.max_step)
    atoms.set_constraint(None)
    return n_step


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


def _evidence(crystal: Crystal, atoms: Atoms, n_step: int, recipe: Recipe) -> dict[str, float]:
    """Evidence of convergence; where there is one, also the `magnetic_moment`, Bohr magnetons per atom."""
    left = {"max_force": _max_force(atoms), "max_stress": _max_stress(atoms), "n_step": float(n_step)}
    if (moment := getattr(atoms.calc, "results", {}).get("magmom")) is not None:
        left["magnetic_moment"] = float(moment) / len(atoms)
    return evidence(crystal, from_ase(atoms)) | {"relaxed": float(not recipe.ideal)} | left


def _verdict(crystal: Crystal, proof: dict[str, float], recipe: Recipe) -> tuple[str, str]:
    """Status and error of a relaxation that came to its end."""
    if error := transformed(crystal, proof, recipe):
        return "transformed", error
    if proof["max_force"] > (recipe.force_limit or np.inf) or proof["max_stress"] > recipe.max_stress:
        left = f"{proof['max_force']:.3g} eV/Å and {proof['max_stress']:.3g} eV/Å³ are left after {proof['n_step']:.0f} steps"
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
