"""mace-torch in the benchmarks, in its own environment: two interactions, l up to 2 on edges, products of two."""

import os

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # its release of e3nn loads constants as torch before 2.6 did

import importlib.metadata  # noqa: E402
from collections.abc import Iterable  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from _crystals import parts, read, references  # noqa: E402
from _torch import Trainer, degree_and_scale, errors  # noqa: E402
from _worker import rows_of, serve  # noqa: E402
from e3nn.o3 import Irreps  # noqa: E402
from mace.data import AtomicData, Configuration  # noqa: E402
from mace.modules import ScaleShiftMACE, interaction_classes  # noqa: E402
from mace.tools import AtomicNumberTable  # noqa: E402
from mace.tools.torch_geometric.batch import Batch  # noqa: E402

CUTOFF = 5.0


class Mace:
    """The model, its batches, and the jobs that are timed.

    Attributes:
      facts: What it is.
    """

    def __init__(self, settings: dict):
        """Settings: data, batch, n_batch, threads."""
        torch.set_num_threads(settings["threads"])
        self._settings, self._above = settings, references(settings["data"])
        self._data = {part: [graph(c, [*self._above]) for c in read(settings["data"], part)] for part in parts(settings["data"])}
        self._degree, self._scale = degree_and_scale(*zip(*((d.edge_index.shape[1], d.forces) for d in self._data["train"]), strict=True))
        self.start(n_step=1000)
        cut = lambda rows: [rows[i : i + settings["batch"]] for i in range(0, len(rows), settings["batch"])][: settings["n_batch"]]
        rows = np.random.default_rng(0).permutation(len(self._data["train"]))
        self._train = [self._collate("train", r) for r in cut(rows)]
        self._test = [self._collate("test", r) for r in cut(np.arange(len(self._data["test"])))]
        self.train()
        self.infer()
        versions = {name: importlib.metadata.version(name) for name in ("mace-torch", "torch")}
        self.facts = {"parameters": sum(p.numel() for p in self._model.parameters()), **versions}

    def start(self, n_step: int, learning_rate: float = 5e-3) -> None:
        """A fresh model whose learning rate falls over n_step updates."""
        torch.manual_seed(0)
        self._model = ScaleShiftMACE(
            r_max=CUTOFF,
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=2,
            interaction_cls=interaction_classes["RealAgnosticResidualInteractionBlock"],
            interaction_cls_first=interaction_classes["RealAgnosticInteractionBlock"],
            num_interactions=2,
            num_elements=len(self._above),
            hidden_irreps=Irreps("32x0e+32x1o"),
            MLP_irreps=Irreps("16x0e"),
            atomic_energies=np.array([*self._above.values()]),
            avg_num_neighbors=self._degree,
            atomic_numbers=[*self._above],
            correlation=2,
            gate=torch.nn.functional.silu,
            radial_MLP=[64, 64, 64],
            atomic_inter_scale=self._scale,
            atomic_inter_shift=0.0,
        )
        self._trainer = Trainer(self._model, n_step, learning_rate)

    def train(self) -> int:
        """Updates on every batch; returns the crystals seen."""
        for batch in self._train:
            self._update(batch)
        return sum(b.num_graphs for b in self._train)

    def infer(self) -> int:
        """Energies, forces and stress of every batch; returns the crystals seen."""
        for batch in self._test:
            self._model(batch.to_dict(), training=False, compute_force=True, compute_stress=True)
        return sum(b.num_graphs for b in self._test)

    def learn(self, n_step: int, seed: int) -> None:
        """Updates on random batches, packed as they come."""
        for rows in rows_of(len(self._data["train"]), self._settings["batch"], n_step, seed):
            self._update(self._collate("train", rows))

    def errors(self, part: str = "test") -> dict[str, float]:
        """Of the averaged parameters on a part."""
        self._trainer.swap()
        pairs = []
        for k in range(0, len(self._data[part]), 16):
            batch = self._collate(part, range(k, min(k + 16, len(self._data[part]))))
            found = self._model(batch.to_dict(), training=False, compute_force=True)
            n_atom = batch.ptr[1:] - batch.ptr[:-1]
            pairs.append((found["energy"] / n_atom, batch.energy / n_atom, found["forces"], batch.forces))
        self._trainer.swap()
        return errors(pairs)

    def _update(self, batch: Batch) -> None:
        found = self._model(batch.to_dict(), training=True, compute_force=True)
        per_atom = (found["energy"] - batch.energy) / (batch.ptr[1:] - batch.ptr[:-1])
        self._trainer.update(10 * (per_atom**2).mean() + ((found["forces"] - batch.forces) ** 2).mean())

    def _collate(self, part: str, rows: Iterable[int]) -> Batch:
        return Batch.from_data_list([self._data[part][i] for i in rows])


def graph(crystal: dict, elements: list[int]) -> AtomicData:
    """A crystal of these elements in mace's form."""
    configuration = Configuration(
        atomic_numbers=crystal["numbers"],
        positions=crystal["positions"],
        cell=crystal["lattice"],
        pbc=(True, True, True),
        properties={"energy": float(crystal["energy"]), "forces": crystal["forces"]},
        property_weights={"energy": 1.0, "forces": 1.0},
    )
    return AtomicData.from_config(configuration, z_table=AtomicNumberTable(elements), cutoff=CUTOFF)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float32)
    serve(Mace)
