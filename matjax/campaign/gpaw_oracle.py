"""Density-functional theory by GPAW as an oracle, with a stated level of convergence and a test of itself.

GPAW is GPL and compiled: it runs in a process of its own, in whatever interpreter it is installed, and is never imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from matjax.campaign.ase_oracle import AseOracle
from matjax.campaign.recipe import ByRecipe, Recipe
from matjax.campaign.scratch import Scratch
from matjax.config import spec
from matjax.data.elements import number
from matjax.types import Crystal, Result

MOMENTS = (("Fe", 2.5), ("Co", 1.8), ("Ni", 0.7), ("Mn", 2.0))
"""Initial magnetic moments, Bohr magnetons; crystals without these elements are not spin polarised."""

SETUPS = (("Ni", "10"),)
"""PAW setups that are not GPAW's default: the small one of Ni, ten valence electrons."""

NIAL = (-0.648, 0.010)
"""Formation energy of B2 NiAl in this recipe and what it may differ by, eV/atom."""


@spec
class Gpaw(ByRecipe):
    """Measures with GPAW in plane waves: PBE, fixed explicit Gamma-centred meshes, initial moments.

    Meshes by density scatter formation energies of small cells by tens of meV/atom, since they differ from cell to cell: the
    mesh is fixed. Relaxing at a fixed cutoff leaves a Pulay stress, which at 350 eV changes volumes by about half a percent.

    Attributes:
      known: Symbols of the elements it shall know.
      python: Interpreter in which GPAW is installed; this one where empty.
      cutoff: Of the plane waves, eV.
      mesh: k-points along the reciprocal axes of every cell, Gamma included.
      width: Of the Fermi distribution, eV.
      moments: (symbol, Bohr magnetons) that a self-consistent calculation starts from.
      setups: (symbol, name) of PAW setups that are not GPAW's default.
      recipe: How crystals are relaxed and measured; energy and volume alone by default, since elastic constants cost a dozen
        calculations.
      time_limit: Seconds per crystal.
      scratch: What becomes of its folders; `log` there holds GPAW's output.

    Source:
      Mortensen et al. (2024), GPAW: An open Python package for electronic structure calculations, J. Chem. Phys. 160, 092503.
    """

    kind: ClassVar[str] = "gpaw"
    known: tuple[str, ...] = ("Al", "Ni")
    python: str = ""
    cutoff: float = 350.0
    mesh: tuple[int, int, int] = (8, 8, 8)
    width: float = 0.1
    moments: tuple[tuple[str, float], ...] = MOMENTS
    setups: tuple[tuple[str, str], ...] = SETUPS
    recipe: Recipe = Recipe(gives=())
    time_limit: float = 3600.0
    scratch: Scratch = Scratch()

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements it knows."""
        return self.known

    @property
    def name(self) -> str:
        """What people call it."""
        return f"GPAW PBE PW{self.cutoff:.0f}"

    @property
    def version(self) -> str:
        """Of GPAW, and the settings that numbers depend on."""
        k = "x".join(map(str, self.mesh))
        return f"{self._inside().version}, PW{self.cutoff:g}, k {k}, Fermi {self.width:g} eV, {dict(self.setups)}, {dict(self.moments)}"

    @property
    def note(self) -> str:
        """What a reader of its numbers must know."""
        k = "x".join(map(str, self.mesh))
        return f"density-functional theory: PBE, {self.cutoff:.0f} eV, Gamma-centred {k}, at 0 K; one magnetic state per crystal"

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal; see `Oracle.measure`."""
        return self._inside().measure(crystals, elastic=elastic, frames=frames)

    def self_test(self) -> dict[str, float]:
        """The formation energy of B2 NiAl from three static cells, eV/atom; a campaign asks before anything is measured.

        Raises:
          ValueError: If it is not what this recipe gives elsewhere.
        """
        wanted, tolerance = NIAL
        fcc = lambda a: a / 2 * (1 - np.eye(3))
        cells = [Crystal(fcc(a), np.zeros((1, 3)), np.array([number(s)])) for s, a in (("Al", 4.04), ("Ni", 3.52))]
        cells.append(Crystal(2.895 * np.eye(3), 2.895 * np.array([[0, 0, 0], [0.5] * 3]), np.array([number("Ni"), number("Al")])))
        al, ni, nial = (self._inside(("Al", "Ni")).energy(crystal) for crystal in cells)
        found = (nial - al - ni) / 2
        if not abs(found - wanted) <= tolerance:
            raise ValueError(
                f"{self.name}: NiAl has {found:.4f} eV/atom; it must be {wanted} +/- {tolerance}: its installation is not sound"
            )
        return {"formation_energy_NiAl": found}

    def _inside(self, known: Sequence[str] = ()) -> AseOracle:
        settings: dict[str, Any] = {
            "mode": {"name": "pw", "ecut": self.cutoff},
            "xc": "PBE",
            "kpts": {"size": list(self.mesh), "gamma": True},
            "occupations": {"name": "fermi-dirac", "width": self.width},
            "setups": dict(self.setups),
            "txt": "-",
        }
        return AseOracle(
            "gpaw",
            tuple(known or self.known),
            tuple(settings.items()),
            self.recipe,
            self.time_limit,
            self.name,
            self.note,
            python=self.python or sys.executable,
            moments=self.moments,
            scratch=self.scratch,
        )
