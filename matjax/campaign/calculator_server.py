"""Any ASE calculator in an interpreter of its own. A program that needs ASE alone there: it imports nothing of matjax.

Called as `calculator_server.py SPEC` with {"maker", "settings", "moments"} as JSON. Every line of its input is a crystal
{"symbols", "positions", "lattice", "pbc"}; every line of its output is {"energy", "forces", "stress", "magmom"} in eV and Å,
or {"error": "class: message"}. What the calculator prints goes to the errors.
"""

import importlib
import json
import os
import sys
from typing import Any

from ase import Atoms


def build(spec: dict[str, Any]) -> Any:
    """The calculator."""
    module, _, maker = spec["maker"].rpartition(".")
    return getattr(importlib.import_module(module), maker)(**spec["settings"])


def evaluate(atoms: Atoms) -> dict[str, Any]:
    """Energy, forces and, where the calculator has them, stress and magnetic moment of atoms as they are."""
    calculator: Any = atoms.calc
    has = calculator.implemented_properties
    found = {"energy": float(atoms.get_potential_energy()), "forces": atoms.get_forces().tolist()}
    if "stress" in has:
        found["stress"] = atoms.get_stress().tolist()
    if "magmom" in has and atoms.get_initial_magnetic_moments().any():
        found["magmom"] = float(atoms.get_magnetic_moment())
    return found


def class_of(error: Exception) -> str:
    """Whose fault an exception is: of the machine, of the method, or else of the program."""
    if isinstance(error, OSError | MemoryError) and not isinstance(error, FileNotFoundError):
        return "transient"
    told = f"{type(error).__name__} {error}".lower()
    return "numerical" if isinstance(error, ArithmeticError) or "converge" in told or "linalgerror" in told else "programming"


class Server:
    """Keeps a calculator as long as it serves."""

    def __init__(self, spec: dict[str, Any]) -> None:
        """Takes what to build and the initial moments by element."""
        self.spec, self.moments, self.atoms = spec, dict(spec["moments"]), Atoms()

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """About one crystal; a calculator that fails after others (a broken symmetry, say) is built anew once."""
        used = self.atoms.calc if self.atoms.get_chemical_symbols() == asked["symbols"] else None
        try:
            return self.with_calculator(asked, used or build(self.spec))
        except Exception:
            if used is None:
                raise
            return self.with_calculator(asked, build(self.spec))

    def with_calculator(self, asked: dict[str, Any], calculator: Any) -> dict[str, Any]:
        """The answer of this calculator."""
        self.atoms = Atoms(asked["symbols"], asked["positions"], cell=asked["lattice"], pbc=asked["pbc"])
        if self.moments:
            self.atoms.set_initial_magnetic_moments([self.moments.get(symbol, 0.0) for symbol in asked["symbols"]])
        self.atoms.calc = calculator
        return evaluate(self.atoms)


def main(spec: str) -> None:
    """Serves until the input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server(json.loads(spec))
    for line in sys.stdin:
        try:
            said = server.answer(json.loads(line))
        except Exception as error:
            said = {"error": f"{class_of(error)}: {type(error).__name__}: {error}"}
        print(json.dumps(said), file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
