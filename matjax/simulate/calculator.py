"""A trained ensemble as an ASE calculator: optimisers, molecular dynamics and elastic tools run on it, with its spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from matjax.data.convert import from_ase
from matjax.types import Crystal, Prediction

DERIVATIVES = ("forces", "stress")


class Predictor(Protocol):
    """Crystals in, samples out; `matjax.training.GraphPredictor` is one."""

    def __call__(self, crystals: Sequence[Crystal], *, derivatives: tuple[str, ...] = ()) -> Prediction:
        """Predicts crystals, with "forces", "stress" or both; refuses what did not supervise the model."""
        ...


class EnsembleCalculator(Calculator):
    """An ASE calculator around a predictor of energies: the mean of its members, and what each of them says.

    Energies are relative to what the model's label is relative to (the elements, for a formation energy). Besides
    `energy`, `free_energy`, `forces` and `stress` (ASE's Voigt order and sign, tension positive), `results` holds

    - `energy_members` [n_member] in eV and `energy_std`, their standard deviation (ddof 1; zero for one member);
    - `forces_members` [n_member, n_atom, 3] in eV/Å and `forces_std` [n_atom, 3];
    - `stress_members` [n_member, 3, 3] in eV/Å³ and `stress_std` [6].

    The first question for a derivative is answered with all of `derivatives`, so that an optimiser that wants forces and
    stress evaluates the model once per step.

    Example:
      >>> from ase.build import bulk
      >>> atoms = bulk("Cu")
      >>> atoms.calc = EnsembleCalculator(predictor)  # doctest: +SKIP
      >>> atoms.get_potential_energy(), atoms.calc.results["energy_std"]  # doctest: +SKIP
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, predictor: Predictor, *, derivatives: tuple[str, ...] = DERIVATIVES) -> None:
        """Takes a predictor.

        Args:
          predictor: Predicts an energy in eV/atom.
          derivatives: What to compute whenever a derivative is asked for. A model trained without stress needs
            ("forces",); one trained on energies alone refuses either.

        Raises:
          ValueError: If a derivative is not known.
        """
        super().__init__()
        unknown = [name for name in derivatives if name not in DERIVATIVES]
        if unknown:
            raise ValueError(f"unknown derivatives {', '.join(map(repr, unknown))}; known: {', '.join(DERIVATIVES)}")
        self.predictor = predictor
        self.derivatives = derivatives

    def calculate(self, atoms: Any = None, properties: Sequence[str] = ("energy",), system_changes: Sequence[str] = all_changes) -> None:
        """Predicts the atoms; called by ASE.

        Raises:
          ValueError: If the model was not trained on what is asked for, or predicts no energy.
        """
        super().calculate(atoms, properties, system_changes)
        asked = [name for name in DERIVATIVES if name in properties]
        wanted = tuple(name for name in DERIVATIVES if asked and name in (*asked, *self.derivatives))
        crystal = from_ase(self.atoms)  # pyright: ignore[reportArgumentType]  (ASE has put a copy of the atoms there)
        said = self.predictor([crystal], derivatives=wanted)
        if said.unit != "eV/atom":
            raise ValueError(f"the model predicts {said.label} in {said.unit}; a calculator needs an energy in eV/atom")
        self.results = {**_energy(said, len(crystal)), **_forces(said), **_stress(said)}


def _energy(said: Prediction, n_atom: int) -> dict[str, Any]:
    members = said.samples[:, 0] * n_atom
    mean = float(members.mean())
    return {"energy": mean, "free_energy": mean, "energy_members": members, "energy_std": float(_spread(members))}


def _forces(said: Prediction) -> dict[str, np.ndarray]:
    if said.forces is None:
        return {}
    return {"forces": said.forces.mean(0), "forces_members": said.forces, "forces_std": _spread(said.forces)}


def _stress(said: Prediction) -> dict[str, np.ndarray]:
    if said.stress is None:
        return {}
    members = said.stress[:, 0]
    voigt = np.array([full_3x3_to_voigt_6_stress(stress) for stress in members])
    return {"stress": voigt.mean(0), "stress_members": members, "stress_std": _spread(voigt)}


def _spread(members: np.ndarray) -> np.ndarray:
    """Standard deviation over the leading axis, ddof 1; zero for one member."""
    return members.std(0, ddof=1) if len(members) > 1 else np.zeros(members.shape[1:])
