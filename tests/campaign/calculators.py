"""ASE calculators that misbehave, for oracles to survive. The behaviour goes by the element, so that one call meets several."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.calculators.emt import EMT


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("holds a function")
        self.function = lambda: None


class WithoutStress(EMT):
    implemented_properties = ["energy", "forces"]

    def calculate(self, *args, **settings) -> None:
        super().calculate(*args, **settings)
        self.results = {name: self.results[name] for name in self.implemented_properties}


class Moody(EMT):
    """Al hangs (and has a child that hangs), Pd dies, Au is not a number, Ag raises, Pt leaves; others are fine."""

    def __init__(self, pids: str = "") -> None:
        super().__init__()
        self.pids = pids

    def calculate(self, atoms=None, *args, **settings) -> None:
        super().calculate(atoms, *args, **settings)
        symbol = self.atoms.get_chemical_symbols()[0]
        if symbol == "Al":
            child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
            partial = Path(self.pids + ".partial")
            partial.write_text(f"{os.getpid()} {child.pid}")
            os.replace(partial, self.pids)
            signal.pause()
        if symbol == "Pd":
            os.kill(os.getpid(), signal.SIGSEGV)
        if symbol == "Au":
            self.results["forces"] = np.full((len(self.atoms), 3), np.nan)
        if symbol == "Ag":
            raise Unpicklable
        if symbol == "Pt":
            sys.exit("no licence")


class Writing(EMT):
    """Writes to its own folder and where it stands, and says where that was."""

    def calculate(self, atoms=None, *args, **settings) -> None:
        super().calculate(atoms, *args, **settings)
        print("loud")
        (Path(self.directory) / "wavefunction").touch()
        Path("scratch").touch()
        raise OSError(5, f"{self.directory}|{os.getcwd()}|{os.environ.get('OMP_NUM_THREADS')}")
