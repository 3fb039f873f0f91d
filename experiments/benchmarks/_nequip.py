"""nequip in the benchmarks, in its own environment: the model its tutorials build, eager or compiled."""

import warnings

import numpy as np
import torch
from _crystals import parts, read, references
from _torch import Trainer, degree_and_scale, errors
from _worker import rows_of, serve
from ase.data import chemical_symbols

warnings.filterwarnings("ignore")
from nequip._version import __version__ as nequip_version  # noqa: E402
from nequip.data import AtomicDataDict, compute_neighborlist_  # noqa: E402
from nequip.model import NequIPGNNModel  # noqa: E402
from nequip.utils.global_state import set_global_state  # noqa: E402

CUTOFF = 5.0
L_MAX = {"l1": 1, "l2": 2}


class Nequip:
    """The model, its batches, and the jobs that are timed.

    Attributes:
      facts: What it is.
    """

    def __init__(self, settings: dict):
        """Settings: config, data, batch, n_batch, threads, mode ("eager" or "compile")."""
        torch.set_num_threads(settings["threads"])
        set_global_state()
        self._settings, self._shifts = settings, references(settings["data"])
        self._data = {part: [graph(c, [*self._shifts]) for c in read(settings["data"], part)] for part in parts(settings["data"])}
        self._degree, self._scale = degree_and_scale(*zip(*((d["edge_index"].shape[1], f) for d, _, f in self._data["train"]), strict=True))
        self._model = self._built()
        self._fresh = {name: value.clone() for name, value in self._model.state_dict().items()}
        self.start(n_step=1000)
        rows = np.random.default_rng(0).permutation(len(self._data["train"]))
        cut = lambda rows: [rows[i : i + settings["batch"]] for i in range(0, len(rows), settings["batch"])][: settings["n_batch"]]
        self._train = [collate([self._data["train"][i] for i in r]) for r in cut(rows)]
        self._test = [collate([self._data["test"][i] for i in r]) for r in cut(np.arange(len(self._data["test"])))]
        self.train()
        self.infer()
        self.facts = {
            "parameters": sum(p.numel() for p in self._model.parameters()),
            "nequip": nequip_version,
            "torch": torch.__version__,
            "mode": settings["mode"],
        }

    def start(self, n_step: int, learning_rate: float = 5e-3) -> None:
        """The model as it was new; its learning rate falls over n_step updates."""
        self._model.load_state_dict(self._fresh)
        self._trainer = Trainer(self._model, n_step, learning_rate)

    def train(self) -> int:
        """Updates on every batch; returns the crystals seen."""
        for batch in self._train:
            self._update(batch)
        return sum(len(energy) for _, energy, _ in self._train)

    def infer(self) -> int:
        """Energies, forces and stress of every batch; returns the crystals seen."""
        self._model.eval()
        for batch, *_ in self._test:
            found = self._model(dict(batch))
            assert {"forces", "stress"} <= set(found)
        return sum(len(energy) for _, energy, _ in self._test)

    def learn(self, n_step: int, seed: int) -> None:
        """Updates on random batches, packed as they come."""
        data = self._data["train"]
        for rows in rows_of(len(data), self._settings["batch"], n_step, seed):
            self._update(collate([data[i] for i in rows]))

    def errors(self, part: str = "test") -> dict[str, float]:
        """Of the averaged parameters on a part."""
        self._trainer.swap()
        self._model.eval()
        pairs = []
        for k in range(0, len(self._data[part]), 16):
            batch, energy, forces = collate(self._data[part][k : k + 16])
            found = self._model(dict(batch))
            n_atom = found["num_atoms"].view(-1, 1)
            pairs.append((found["total_energy"] / n_atom, energy / n_atom, found["forces"], forces))
        self._trainer.swap()
        return errors(pairs)

    def _built(self) -> torch.nn.Module:
        return NequIPGNNModel(
            num_layers=2,
            l_max=L_MAX[self._settings["config"]],
            parity=False,
            num_features=32,
            radial_mlp_depth=1,
            radial_mlp_width=64,
            r_max=CUTOFF,
            type_names=[chemical_symbols[z] for z in self._shifts],
            avg_num_neighbors=self._degree,
            per_type_energy_scales=self._scale,
            per_type_energy_shifts={chemical_symbols[z]: shift for z, shift in self._shifts.items()},
            compile_mode=self._settings["mode"],
            seed=0,
            model_dtype="float32",
        )

    def _update(self, batch: tuple) -> None:
        graph, energy, forces = batch
        self._model.train()
        found = self._model(dict(graph))
        per_atom = (found["total_energy"] - energy) / found["num_atoms"].view(-1, 1)
        self._trainer.update(10 * (per_atom**2).mean() + ((found["forces"] - forces) ** 2).mean())


def graph(crystal: dict, elements: list[int]) -> tuple[dict, torch.Tensor, torch.Tensor]:
    """A crystal of these elements in nequip's form, its energy and its forces."""
    real = lambda x: torch.tensor(x, dtype=torch.float32)
    types = np.searchsorted(elements, crystal["numbers"])
    data = {
        "pos": real(crystal["positions"]),
        "cell": real(crystal["lattice"])[None],
        "pbc": torch.ones(1, 3, dtype=torch.bool),
        "atom_types": torch.tensor(types),
        "num_atoms": torch.tensor([len(types)]),
    }
    data = compute_neighborlist_(data, r_max=CUTOFF, backend="matscipy")
    return data, real(crystal["energy"]).view(1, 1), real(crystal["forces"])


def collate(rows: list[tuple]) -> tuple[dict, torch.Tensor, torch.Tensor]:
    """One batch of several crystals."""
    data, energy, forces = zip(*rows, strict=True)
    return AtomicDataDict.batched_from_list([dict(d) for d in data]), torch.cat(energy), torch.cat(forces)


if __name__ == "__main__":
    serve(Nequip)
