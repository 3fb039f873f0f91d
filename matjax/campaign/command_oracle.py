"""Any program as an oracle: a shell command that reads a crystal as JSON and prints JSON."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import ase.io
from ase.calculators.calculator import Calculator, all_changes

from matjax.campaign.contract import evaluation, measurement, read_answer, request, told_failure
from matjax.campaign.oracle import OracleFailed, check_symbols, failed, failed_by, foreign_elements
from matjax.campaign.process import last_words, run_command
from matjax.campaign.recipe import ByRecipe, Recipe, measure_crystal
from matjax.campaign.scratch import Scratch
from matjax.config import spec
from matjax.data.convert import from_ase, to_ase
from matjax.types import Crystal, Result

TASKS = ("measure", "evaluate")
EXIT_CODES = {
    75: "transient",
    65: "physical",
    1: "programming",
    2: "programming",
    64: "programming",
    126: "programming",
    127: "programming",
}
"""What exit codes say, beside 0 (75, 65 and 64 are those of sysexits.h); above 128 a signal: transient; else numerical."""


@spec
class Command(ByRecipe):
    """Measures with a shell command that is run for every crystal in a fresh folder.

    The crystal is on the command's standard input and in `crystal.json`, and in `crystal.extxyz`. One JSON object comes back,
    as the last line of its output or in `result.json`. With task "measure" the command relaxes and answers once; with
    "evaluate" it gives energy, forces and stress of the crystal as it is, and the recipe relaxes it, strains it and shakes it.

    Attributes:
      command: For the shell; it stands in the scratch folder, so its paths must be absolute.
      known: Symbols of the elements it knows.
      task: "measure" or "evaluate".
      recipe: How crystals are relaxed and measured; with "measure" what the command is asked for.
      time_limit: Seconds per crystal, after which the command and everything it started are killed; None for no limit.
      scratch: What becomes of its folders.
      title: What people call it.
      release: Version of the program behind it; another one does not resume a campaign.
      note: What a reader of its numbers must know.
    """

    kind: ClassVar[str] = "command"
    command: str
    known: tuple[str, ...]
    task: str = "measure"
    recipe: Recipe = Recipe()
    time_limit: float | None = 3600.0
    scratch: Scratch = Scratch()
    title: str = ""
    release: str = "1"
    note: str = ""

    def __post_init__(self) -> None:
        """Refuses what is no command, no element, no task, or no time."""
        if not self.command.strip():
            raise ValueError("command is empty; give a shell command")
        check_symbols(self.known)
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; allowed: {', '.join(TASKS)}")
        if isinstance(self.time_limit, float | int) and not self.time_limit > 0:
            raise ValueError(f"time_limit is {self.time_limit} s; it must be positive, or none")

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements it knows."""
        return self.known

    @property
    def name(self) -> str:
        """What people call it."""
        return self.title or f"command {self.command}"

    @property
    def version(self) -> str:
        """Of the program behind it, as the settings say."""
        return self.release

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal; see `Oracle.measure`."""
        return [self._measure_one(crystal, elastic and "elastic" in self.gives, frames and "frames" in self.gives) for crystal in crystals]

    def _measure_one(self, crystal: Crystal, elastic: bool, frames: bool) -> Result:
        start = time.perf_counter()
        if foreign := foreign_elements(self, crystal):
            return failed("programming", foreign)
        deadline = None if self.time_limit is None else time.monotonic() + self.time_limit
        with self.scratch.open(crystal.key) as (folder, told):
            try:
                if self.task == "evaluate":
                    calculator = _Evaluations(self, folder, deadline)
                    result = measure_crystal(crystal, calculator, self.recipe, elastic=elastic, frames=frames, source=self.name)
                else:
                    asked = {"max_force": self.recipe.max_force, "max_stress": self.recipe.max_stress}
                    question = request(crystal, task="measure", elastic=elastic, frames=frames, **asked)
                    result = measurement(crystal, self.ask(crystal, question, folder, deadline), self.name)
            except ValueError as error:
                result = failed("programming", str(error))
            except Exception as error:
                result = failed_by(error)
            told(result.status != "failed")
        return dataclasses.replace(result, cost=time.perf_counter() - start)

    def ask(self, crystal: Crystal, question: dict[str, Any], folder: Path, deadline: float | None) -> dict[str, Any]:
        """The answer to one question.

        Raises:
          OracleFailed: If the command failed, or says that it could not.
          ValueError: If its answer is none.
        """
        asked, answered = folder / "crystal.json", folder / "result.json"
        asked.write_text(json.dumps(question, ensure_ascii=False), encoding="utf-8")
        ase.io.write(folder / "crystal.extxyz", to_ase(crystal))
        answered.unlink(missing_ok=True)
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        outcome = run_command(self.command, folder, stdin=asked, time_limit=left)
        if outcome.code is None:
            wrote = last_words(outcome.stderr or outcome.stdout)
            raise OracleFailed("transient", f"no answer within {self.time_limit:g} s; the command and all it started were ended: {wrote}")
        if outcome.code:
            raise OracleFailed(_class_of(outcome.code), f"the command ended with exit code {outcome.code}: {last_words(outcome.stderr)}")
        answer = read_answer(answered.read_text(encoding="utf-8") if answered.exists() else outcome.stdout)
        if answer.get("status", "failed") == "failed" and (error := told_failure(answer)):
            failure, _, message = error.partition(": ")
            raise OracleFailed(failure, message)
        return answer


class _Evaluations(Calculator):
    """The command as an ASE calculator."""

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, oracle: Command, folder: Path, deadline: float | None) -> None:
        super().__init__()
        self.oracle, self.folder, self.deadline = oracle, folder, deadline

    def calculate(self, atoms: Any = None, properties: Sequence[str] = ("energy",), system_changes: Sequence[str] = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        crystal = from_ase(self.atoms)  # pyright: ignore[reportArgumentType]
        answer = self.oracle.ask(crystal, request(crystal, task="evaluate"), self.folder, self.deadline)
        self.results = evaluation(crystal, answer)
        if "stress" not in self.results:
            raise ValueError("the answer has no stress, which relaxing the volume takes")


def _class_of(code: int) -> str:
    return EXIT_CODES.get(code, "transient" if code > 128 else "numerical")
