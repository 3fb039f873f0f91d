"""A trained ensemble as an ASE calculator: optimisers, molecular dynamics and elastic tools run on it, with its spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from matjax.data.convert import from_ase
from matjax.data.elements import symbol
from matjax.simulate.room import Room
from matjax.types import Crystal, Prediction

DERIVATIVES = ("forces", "stress")


class Predictor(Protocol):
    """Crystals in, samples out; `matjax.training.GraphPredictor` is one."""

    def __call__(self, crystals: Sequence[Crystal], *, derivatives: tuple[str, ...] = ()) -> Prediction:
        """Predicts crystals, with "forces", "stress" or both; refuses what did not supervise the model."""
        ...


class Trust(Protocol):
    """Says how far a prediction can be trusted; a fitted `matjax.uncertainty.Trust` is one."""

    def __call__(self, prediction: Prediction, crystals: Sequence[Crystal]) -> Any:
        """Recalibrated standard deviations, half widths of intervals, shift scores, flags and reasons, per crystal."""
        ...


class EnsembleCalculator(Calculator):
    """An ASE calculator around a predictor of energies: the mean of its members, and what each of them says.

    Energies are relative to what the model's label is relative to (the elements, for a formation energy). Besides
    `energy`, `free_energy`, `forces` and `stress` (ASE's Voigt order and sign, tension positive), `results` holds

    - `energy_members` [n_member] in eV and `energy_std`, their standard deviation (ddof 1; zero for one member);
    - `forces_members` [n_member, n_atom, 3] in eV/Å and `forces_std` [n_atom, 3];
    - `stress_members` [n_member, 3, 3] in eV/Å³ and `stress_std` [6];
    - `flag`, whether the atoms are off the training distribution, and `reason`, why, in words ("" where not), if the
      predictor or the trust says which elements were in the training crystals;
    - with a trust also `energy_uncertainty`, the standard deviation as errors on calibration crystals corrected it, and
      `energy_half_width`, half the interval of the energy, both in eV, and `shift_score`.

    What is flagged should be simulated: `reason` says why its answer cannot be relied on.

    The first question for a derivative is answered with all of `derivatives`, so that an optimiser that wants forces and
    stress evaluates the model once per step. While atoms move nothing is compiled: a network is given a shape with head-room,
    and a larger one, logged, when it runs out.

    Example:
      >>> from ase.build import bulk
      >>> atoms = bulk("Cu")
      >>> atoms.calc = EnsembleCalculator(predictor)  # doctest: +SKIP
      >>> atoms.get_potential_energy(), atoms.calc.results["energy_std"]  # doctest: +SKIP
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(
        self,
        predictor: Predictor,
        *,
        derivatives: tuple[str, ...] = DERIVATIVES,
        trust: Trust | None = None,
        unknown: Literal["flag", "refuse"] = "flag",
    ) -> None:
        """Takes a predictor.

        Args:
          predictor: Predicts an energy in eV/atom.
          derivatives: What to compute whenever a derivative is asked for. A model trained without stress needs
            ("forces",); one trained on energies alone refuses either. Atoms without a cell get no stress.
          trust: Fitted beside the predictor: adds shift score, interval and flag.
          unknown: What becomes of elements that no training crystal had: "flag" predicts and flags, "refuse" raises.

        Raises:
          ValueError: If a derivative or policy is not known, or elements shall be refused and nobody says which are known.
        """
        super().__init__()
        strange = [name for name in derivatives if name not in DERIVATIVES]
        if strange:
            raise ValueError(f"unknown derivatives {', '.join(map(repr, strange))}; known: {', '.join(DERIVATIVES)}")
        if unknown not in ("flag", "refuse"):
            raise ValueError(f"unknown={unknown!r}; allowed: flag, refuse")
        self.predictor = predictor
        self.derivatives = derivatives
        self.trust = trust
        self.unknown = unknown
        self.elements = _elements(predictor, trust)
        self.room = Room()
        if unknown == "refuse" and not self.elements:
            raise ValueError("unknown='refuse' needs to know the training elements, and neither predictor nor trust says them")

    def calculate(self, atoms: Any = None, properties: Sequence[str] = ("energy",), system_changes: Sequence[str] = all_changes) -> None:
        """Predicts the atoms; called by ASE.

        Raises:
          ValueError: If the model was not trained on what is asked for, predicts no energy, or the atoms are none, not finite,
            or of a refused element.
          PropertyNotImplementedError: If the stress of atoms without a cell is asked for.
        """
        super().calculate(atoms, properties, system_changes)
        crystal = from_ase(self.atoms)  # pyright: ignore[reportArgumentType]  (ASE has put a copy of the atoms there)
        unseen = self._unseen(crystal)
        asked = [name for name in DERIVATIVES if name in properties]
        has_cell = self.atoms.cell.rank == 3  # pyright: ignore[reportOptionalMemberAccess]
        if "stress" in asked and not has_cell:
            raise PropertyNotImplementedError("atoms without three lattice vectors have no volume, hence no stress")
        wanted = tuple(n for n in DERIVATIVES if asked and n in (*asked, *self.derivatives) and (n != "stress" or has_cell))
        said = self.room.fitted(self.predictor, crystal)([crystal], derivatives=wanted)
        if said.unit != "eV/atom":
            raise ValueError(f"the model predicts {said.label} in {said.unit}; a calculator needs an energy in eV/atom")
        self.results = {**_energy(said, len(crystal)), **_forces(said), **_stress(said), **self._judgement(said, crystal, unseen)}

    def _unseen(self, crystal: Crystal) -> list[str]:
        """Symbols of elements that the model never saw, if refusals leave any."""
        if not len(crystal):
            raise ValueError("no atoms to calculate")
        if not (np.isfinite(crystal.positions).all() and np.isfinite(crystal.lattice).all()):
            raise ValueError("positions or cell are not finite; if this came in a simulation, it has exploded: take shorter steps")
        unseen = [symbol(int(z)) for z in np.unique(crystal.numbers) if self.elements and int(z) not in self.elements]
        if unseen and self.unknown == "refuse":
            known = ", ".join(symbol(z) for z in sorted(self.elements))
            raise ValueError(f"{', '.join(unseen)} refused: no training crystal had it; the model knows {known}")
        return unseen

    def _judgement(self, said: Prediction, crystal: Crystal, unseen: list[str]) -> dict[str, Any]:
        if self.trust is not None:
            judged = self.trust(said, [crystal])
            half_width = judged.half_width if judged.half_width_outside is None else judged.half_width_outside
            per_cell = {"energy_uncertainty": float(judged.std[0]) * len(crystal), "energy_half_width": float(half_width[0]) * len(crystal)}
            return {"flag": bool(judged.flag[0]), "reason": judged.reason[0], "shift_score": float(judged.score[0]), **per_cell}
        if not self.elements:
            return {}
        return {"flag": bool(unseen), "reason": f"contains {', '.join(unseen)}, never seen in training" if unseen else ""}


def _elements(predictor: Any, trust: Any) -> frozenset[int]:
    """Atomic numbers of the training crystals; empty where nobody says them."""
    taught = getattr(getattr(predictor, "supervision", None), "elements", ())
    return frozenset(int(z) for z in taught or getattr(getattr(trust, "flag", None), "known", ()))


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
