"""Any ASE calculator as an oracle, by its import path."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

from matjax.campaign.oracle import failed, failed_by
from matjax.campaign.recipe import Recipe, measure_crystal
from matjax.campaign.worker import measure_apart
from matjax.config import spec
from matjax.data.elements import SYMBOLS, number
from matjax.types import Crystal, Result


@spec
class AseOracle:
    """Measures with an ASE calculator, which is built anew for every crystal, in a scratch folder that is removed after.

    With a time limit each crystal is measured in a worker process: a calculator that hangs, dies or writes files where it
    stands does no harm. Without one it is measured in this process, for calculators that are quick and well behaved.

    Attributes:
      calculator: Import path of what makes the calculator, a class or a function: "ase.calculators.emt.EMT".
      known: Symbols of the elements it knows.
      settings: (name, value) pairs that the calculator is made with.
      recipe: How crystals are relaxed and measured.
      time_limit: Seconds per crystal, or None to measure in this process.
      title: What people call it; the calculator's own name where empty.
      note: What a reader of its numbers must know.
    """

    kind: ClassVar[str] = "ase"
    calculator: str
    known: tuple[str, ...]
    settings: tuple[tuple[str, Any], ...] = ()
    recipe: Recipe = Recipe()
    time_limit: float | None = None
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        """Refuses what is no import path, no element, or no time."""
        if not all(part.isidentifier() for part in self.calculator.split(".")) or "." not in self.calculator:
            raise ValueError(f"calculator is {self.calculator!r}; it must be an import path such as 'ase.calculators.emt.EMT'")
        if not self.known:
            raise ValueError("known is empty; name the elements that the calculator knows")
        for symbol in self.known:
            number(symbol)
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
        """Of the installed package that the calculator comes from; "unknown" for a module that is in none."""
        package = self.calculator.partition(".")[0]
        try:
            return f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            return "unknown"

    @property
    def max_force(self) -> float:
        """Largest force on an atom of a relaxed crystal, eV/Å."""
        return self.recipe.max_force

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal; see `Oracle.measure`."""
        if self.time_limit is not None:
            inside = dataclasses.replace(self, time_limit=None)
            return measure_apart(inside, crystals, elastic=elastic, frames=frames, time_limit=self.time_limit)
        return [self._measure_one(crystal, elastic, frames) for crystal in crystals]

    def _measure_one(self, crystal: Crystal, elastic: bool, frames: bool) -> Result:
        """The result of one crystal; whatever is raised becomes a failed one."""
        start = time.perf_counter()
        elapsed = lambda: time.perf_counter() - start
        foreign = sorted({SYMBOLS[z] for z in crystal.numbers} - set(self.known))
        if foreign:
            return failed("programming", f"{self.name} does not know {', '.join(foreign)}; it knows {', '.join(self.known)}")
        try:
            with ExitStack() as stack:
                calculator = self._build(stack)
                result = measure_crystal(crystal, calculator, self.recipe, elastic=elastic, frames=frames, source=self.name)
        except (Exception, SystemExit) as error:
            return failed_by(error, elapsed())
        return dataclasses.replace(result, cost=elapsed())

    def _build(self, stack: ExitStack) -> Any:
        """The calculator, writing to a fresh folder; the stack closes it and removes the folder."""
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="matjax-"))
        module, _, maker = self.calculator.rpartition(".")
        calculator = getattr(importlib.import_module(module), maker)(**dict(self.settings))
        if hasattr(calculator, "__exit__"):
            stack.enter_context(calculator)
        calculator.directory = folder
        return calculator


@spec
class Emt:
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

    @property
    def max_force(self) -> float:
        """Largest force on an atom of a relaxed crystal, eV/Å."""
        return self.recipe.max_force

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal; see `Oracle.measure`."""
        return self._inside().measure(crystals, elastic=elastic, frames=frames)

    def _inside(self) -> AseOracle:
        return AseOracle("ase.calculators.emt.EMT", self.elements, recipe=self.recipe, title=self.name, note=self.note)
