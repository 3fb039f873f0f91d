"""Nequix's weights in matjax: the same jobs as `_nequix.py`, by the predictor and the calculator that users have."""

import ase
import jax
import numpy as np
from _nequix_crystals import read
from _worker import serve

from matjax.simulate.calculator import EnsembleCalculator
from matjax.training.nequix import load_nequix
from matjax.types import Crystal

DERIVATIVES = ("forces", "stress")


class OursNequix:
    """The potential, the crystals, and the jobs that are timed.

    Attributes:
      facts: What it is.
    """

    def __init__(self, settings: dict):
        """Settings: crystals, weights, n_timed (how many of the last crystals are timed)."""
        self._crystals = [Crystal(c["lattice"], c["positions"], c["numbers"]) for c in read(settings["crystals"])]
        self._timed = self._crystals[-settings["n_timed"] :]
        self._predictor = load_nequix(settings["weights"])
        self._calculator = EnsembleCalculator(self._predictor)
        self.batched()
        self.single()
        size = sum(x.size for x in jax.tree.leaves(self._predictor.params))
        self.facts = {"parameters": size, "jax": jax.__version__, "shape": list(self._predictor.shape)}

    def batched(self) -> int:
        """Neighbour lists, energies, forces and stress in batches; returns the number of crystals."""
        return len(self._predictor(self._timed, derivatives=DERIVATIVES))

    def single(self) -> int:
        """The same by the calculator, one by one; returns the number of crystals."""
        first = self._timed[0]
        atoms = ase.Atoms(first.numbers, first.positions, cell=first.lattice, pbc=True, calculator=self._calculator)
        for crystal in self._timed:
            atoms.positions = crystal.positions
            atoms.get_stress()
        return len(self._timed)

    def answers(self, path: str) -> None:
        """Writes energies, forces and stress of all crystals."""
        said = self._predictor(self._crystals, derivatives=DERIVATIVES)
        np.savez(path, energy=said.mean * said.n_atom, forces=said.forces[0], stress=said.stress[0], n_atom=said.n_atom)


if __name__ == "__main__":
    serve(OursNequix)
