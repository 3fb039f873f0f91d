"""Any ASE calculator as an oracle, by name or import path, in this interpreter or another."""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

from matjax.campaign.calculators import maker_of, release_of
from matjax.campaign.oracle import check_symbols, failed, failed_by, foreign_elements
from matjax.campaign.recipe import ByRecipe, Recipe, measure_crystal
from matjax.campaign.remote_calculator import release_elsewhere, remote_calculator
from matjax.campaign.scratch import Scratch
from matjax.campaign.worker import measure_apart
from matjax.config import spec
from matjax.data.convert import to_ase
from matjax.types import Crystal, Result


@spec
class AseOracle(ByRecipe):
    """Measures with an ASE calculator, which is built anew for every crystal, in a scratch folder that is removed after.

    With a time limit each crystal is measured in a worker process: a calculator that hangs, dies or writes files where it
    stands does no harm. Without one it is measured in this process, for calculators that are quick and well behaved.

    Attributes:
      calculator: A name ("emt", "lammps:FILE", "chgnet", "sevenn", "gpaw", "espresso"), or the import path of what makes the
        calculator, a class or a function: "ase.calculators.emt.EMT".
      known: Symbols of the elements it knows.
      settings: (name, value) pairs that the calculator is made with.
      recipe: How crystals are relaxed and measured.
      time_limit: Seconds per crystal, or None to measure in this process.
      title: What people call it; the calculator's own name where empty.
      note: What a reader of its numbers must know.
      python: Another interpreter that the calculator lives in, which needs ASE and its package; this one where empty.
      moments: (symbol, Bohr magnetons) that magnetic calculations start from; for calculators in another interpreter.
      scratch: What becomes of the folder that each crystal is measured in.
    """

    kind: ClassVar[str] = "ase"
    calculator: str
    known: tuple[str, ...]
    settings: tuple[tuple[str, Any], ...] = ()
    recipe: Recipe = Recipe()
    time_limit: float | None = None
    title: str = ""
    note: str = ""
    python: str = ""
    moments: tuple[tuple[str, float], ...] = ()
    scratch: Scratch = Scratch()

    def __post_init__(self) -> None:
        """Refuses what is no calculator, no element, or no time."""
        check_symbols(self.known)
        maker_of(self.calculator, self.known)
        if self.moments and not self.python:
            raise ValueError("moments are for a calculator in another interpreter; set python")
        if isinstance(self.time_limit, float | int) and not self.time_limit > 0:
            raise ValueError(f"time_limit is {self.time_limit} s; it must be positive, or none")

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements it knows."""
        return self.known

    @property
    def name(self) -> str:
        """What people call it."""
        return self.title or self.calculator.rpartition(".")[2]

    @property
    def version(self) -> str:
        """Of the installed package that the calculator comes from; "unknown" for a module that is in none.

        Raises:
          ValueError: If the package of a named calculator, or the other interpreter, is not there.
        """
        if not self.python:
            return release_of(self.calculator, self.known)
        package = maker_of(self.calculator, self.known)[2]
        return f"{package} {release_elsewhere(self.python, package)}"

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal; see `Oracle.measure`."""
        if self.time_limit is not None and not self.python:
            inside = dataclasses.replace(self, time_limit=None)
            return measure_apart(inside, crystals, elastic=elastic, frames=frames, time_limit=self.time_limit)
        return [self._measure_one(crystal, elastic, frames) for crystal in crystals]

    def _measure_one(self, crystal: Crystal, elastic: bool, frames: bool) -> Result:
        """The result of one crystal; whatever is raised becomes a failed one."""
        start = time.perf_counter()
        elapsed = lambda: time.perf_counter() - start
        if foreign := foreign_elements(self, crystal):
            return failed("programming", foreign)
        try:
            with self._calculator(crystal) as (calculator, told):
                result = measure_crystal(crystal, calculator, self.recipe, elastic=elastic, frames=frames, source=self.name)
                told(result.status != "failed")
        except (Exception, SystemExit) as error:
            return failed_by(error, elapsed())
        return dataclasses.replace(result, cost=elapsed())

    def energy(self, crystal: Crystal) -> float:
        """Energy of a crystal as it is, eV.

        Raises:
          Exception: Whatever the calculator raises.
        """
        with self._calculator(crystal) as (calculator, told):
            atoms = to_ase(crystal)
            atoms.calc = calculator
            energy = float(atoms.get_potential_energy())
            told(True)
        return energy

    @contextmanager
    def _calculator(self, crystal: Crystal) -> Iterator[tuple[Any, Callable[[bool], None]]]:
        """The calculator, writing to a fresh folder, and whom to tell that all went well."""
        maker, settings, _ = maker_of(self.calculator, self.known)
        settings |= dict(self.settings)
        with self.scratch.open(f"matjax-{crystal.key}") as (folder, told), ExitStack() as stack:
            if self.python:
                deadline = None if self.time_limit is None else time.monotonic() + self.time_limit
                remote = remote_calculator(self.python, maker, settings, dict(self.moments), folder, deadline=deadline)
                yield stack.enter_context(remote), told
                return
            module, _, name = maker.rpartition(".")
            calculator = getattr(importlib.import_module(module), name)(**settings)
            if hasattr(calculator, "__exit__"):
                stack.enter_context(calculator)
            calculator.directory = str(folder)
            yield calculator, told


@spec
class Emt(ByRecipe):
    """Effective medium theory as ASE has it: for smoke tests.

    Attributes:
      recipe: How crystals are relaxed and measured.

    Source:
      Jacobsen, Stoltze & Nørskov (1996), A semi-empirical effective medium theory for metals and alloys, Surf. Sci. 366, 394.
    """

    recipe: Recipe = Recipe()

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements it knows."""
        return ("Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")

    @property
    def name(self) -> str:
        """What people call it."""
        return "EMT"

    @property
    def note(self) -> str:
        """What a reader of its numbers must know."""
        return "smoke tests only: wrong sign for the formation enthalpies of Al intermetallics"

    @property
    def version(self) -> str:
        """Of ASE."""
        return self._inside().version

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal; see `Oracle.measure`."""
        return self._inside().measure(crystals, elastic=elastic, frames=frames)

    def _inside(self) -> AseOracle:
        return AseOracle("ase.calculators.emt.EMT", self.elements, recipe=self.recipe, title=self.name, note=self.note)
