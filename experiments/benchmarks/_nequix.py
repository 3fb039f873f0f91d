"""Nequix in the benchmarks, in its own environment: its calculator on one crystal, and its model on batches."""

import importlib.metadata

import ase
import equinox
import jax
import jraph
import numpy as np
from _nequix_crystals import read
from _worker import serve
from nequix.calculator import NequixCalculator
from nequix.data import dict_to_graphstuple, preprocess_graph


class Nequix:
    """The published potential, the crystals, and the jobs that are timed.

    Attributes:
      facts: What it is.
    """

    def __init__(self, settings: dict):
        """Settings: crystals, weights, shape of a batch, n_timed (how many of the last crystals are timed)."""
        self._settings = settings
        self._crystals = read(settings["crystals"])
        self._calculator = NequixCalculator(model_path=settings["weights"], use_kernel=False)
        self._model = equinox.filter_jit(self._calculator.model)
        self._timed = self._crystals[-settings["n_timed"] :]
        self.batched()
        self.single()
        leaves = jax.tree.leaves(equinox.filter(self._calculator.model, equinox.is_array))
        versions = {name: importlib.metadata.version(name) for name in ("nequix", "jax")}
        self.facts = {"parameters": sum(x.size for x in leaves), **versions}

    def batched(self) -> int:
        """Neighbour lists, energies, forces and stress in batches; returns the number of crystals."""
        return len(self._evaluate(self._timed))

    def single(self) -> int:
        """The same by the calculator, one by one; returns the number of crystals."""
        atoms = structure(self._timed[0])
        atoms.calc = self._calculator
        for crystal in self._timed:
            atoms.positions = crystal["positions"]
            atoms.get_stress()
        return len(self._timed)

    def answers(self, path: str) -> None:
        """Writes energies, forces and stress of all crystals."""
        energy, forces, stress = zip(*self._evaluate(self._crystals), strict=True)
        np.savez(path, energy=energy, forces=np.concatenate(forces), stress=stress)

    def _evaluate(self, crystals: list[dict]) -> list[tuple]:
        calculator, found = self._calculator, []
        indices, cutoff = calculator.atom_indices, calculator.cutoff
        graphs = (dict_to_graphstuple(preprocess_graph(structure(c), indices, cutoff, False)) for c in crystals)
        for batch in jraph.dynamically_batch(graphs, *self._settings["shape"]):
            energy, forces, stress = (np.asarray(x) for x in self._model(batch))
            real = np.asarray(jraph.get_graph_padding_mask(batch))
            cuts = np.cumsum(batch.n_node)
            found += [(energy[i], forces[cuts[i] - batch.n_node[i] : cuts[i]], stress[i]) for i in np.flatnonzero(real)]
        return found


def structure(crystal: dict) -> ase.Atoms:
    """A crystal as ASE has it."""
    return ase.Atoms(crystal["numbers"], crystal["positions"], cell=crystal["lattice"], pbc=True)


if __name__ == "__main__":
    serve(Nequix)
