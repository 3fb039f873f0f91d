"""An ASE calculator that lives in another interpreter, for packages that cannot be installed beside matjax."""

from __future__ import annotations

import contextlib
import functools
import json
import select
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from matjax.campaign import calculator_server
from matjax.campaign.contract import request
from matjax.campaign.oracle import OracleFailed
from matjax.campaign.process import guarded, last_words
from matjax.data.convert import from_ase


class RemoteCalculator(Calculator):
    """Energies, forces and stress from a calculator server."""

    def __init__(self, process: subprocess.Popen[str], log: Path, properties: Sequence[str], deadline: float | None) -> None:
        """Takes a running server; use `remote_calculator`."""
        super().__init__()
        self.process, self.log, self.deadline = process, log, deadline
        self.implemented_properties = list(properties)

    def calculate(self, atoms: Any = None, properties: Sequence[str] = ("energy",), system_changes: Sequence[str] = all_changes) -> None:
        """Asks the server; called by ASE.

        Raises:
          OracleFailed: If it does not answer in time, ends, or says that it failed.
        """
        super().calculate(atoms, properties, system_changes)
        said = self._ask(request(from_ase(self.atoms)))  # pyright: ignore[reportArgumentType]
        if "error" in said:
            failure, _, message = said["error"].partition(": ")
            raise OracleFailed(failure, message)
        self.results = {name: np.asarray(v) if isinstance(v, list) else v for name, v in said.items()} | {"free_energy": said["energy"]}

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        left = None if self.deadline is None else max(self.deadline - time.monotonic(), 0.0)
        if not select.select([self.process.stdout], [], [], left)[0]:
            raise OracleFailed(
                "transient", f"no answer within the time limit; the calculator and all it started were ended: {self._words()}"
            )
        if not (line := self.process.stdout.readline()):
            code = self.process.wait()
            raise OracleFailed("transient" if code > 128 else "programming", f"the calculator ended with exit code {code}: {self._words()}")
        return json.loads(line)

    def _words(self) -> str:
        return last_words(self.log.read_text(errors="replace"), 2)


@functools.cache
def release_elsewhere(python: str, package: str) -> str:
    """Version of a package in another interpreter.

    Raises:
      ValueError: If there is no such interpreter, or the package is not installed in it.
    """
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    try:
        asked = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=60)
    except OSError as error:
        raise ValueError(f"python is {python!r}, which cannot be started: {error}") from None
    if asked.returncode:
        raise ValueError(f"{package} is not installed in {python}: {last_words(asked.stderr, 1)}")
    return asked.stdout.strip()


@contextlib.contextmanager
def remote_calculator(
    python: str,
    maker: str,
    settings: Mapping[str, Any],
    moments: Mapping[str, float],
    folder: Path,
    *,
    has_stress: bool = True,
    deadline: float | None = None,
) -> Iterator[RemoteCalculator]:
    """A calculator in another interpreter, which ends with the context.

    Args:
      python: The interpreter; ASE and the calculator's package are installed there.
      maker: Import path of what makes the calculator.
      settings: What it is made with; values that JSON holds.
      moments: Initial magnetic moments by symbol, Bohr magnetons.
      folder: Where it stands and writes; its words are in `log` there.
      has_stress: Whether it knows the stress.
      deadline: `time.monotonic()` at which it is ended.
    """
    told = json.dumps({"maker": maker, "settings": dict(settings), "moments": dict(moments)})
    command = " ".join(["exec", shlex.quote(python), "-I", shlex.quote(calculator_server.__file__), shlex.quote(told)])
    properties = ["energy", "free_energy", "forces", *(["stress"] if has_stress else [])]
    with open(folder / "log", "w") as log, guarded(command, folder, subprocess.PIPE, subprocess.PIPE, log) as process:
        yield RemoteCalculator(process, folder / "log", properties, deadline)
