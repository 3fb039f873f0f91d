"""matjax in the benchmarks: the training step and the prediction that users run, as an ensemble of one (or more)."""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
from _crystals import parts, read, references
from _worker import serve

from matjax.graph import Shape, batches, pack, shape_for, sizes_of, to_graph
from matjax.nn import Convolution, Equivariant, GeometryTensor, nequip
from matjax.nn.layout import planned, with_room
from matjax.nn.many_body import ManyBody
from matjax.risk import Risk, RiskShape
from matjax.training.labelling import N_DOMAIN
from matjax.training.loss import Loss
from matjax.training.optimizer import AdamW
from matjax.training.step import Plan, init_members, predict_step, train_step
from matjax.types import Crystal, Graph

CUTOFF = 5.0
SAME = {"cutoff": CUTOFF, "radial": (64,), "norm": False, "skip": "element"}  # nequip's own architecture


def many_body() -> Equivariant:
    """MACE's size: two convolutions with harmonics up to l = 2, each followed by products of two.

    The radial networks have one hidden layer fewer than mace's three, which pays for gates that mace has not.
    """
    edges, hidden = "32x0e+32x1o+32x2e", "32x0e+32x1o"
    convolution = lambda: Convolution(edges, radial=(64, 64), norm=False)
    layers = (convolution(), ManyBody(hidden, 2), convolution(), ManyBody("32x0e", 2))
    return Equivariant(edges, n_layer=0, cutoff=CUTOFF, layers=layers, embedding="table", readout="linear")


MODELS = {
    "l1": lambda: nequip("32x0e+32x1o", **SAME),
    "l2": lambda: nequip("32x0e+32x1o+32x2e", **SAME),
    "mace": many_body,
    "geometry": lambda: GeometryTensor(l_max=1, n_channel=32, cutoff=CUTOFF),
    "smoke": lambda: nequip("4x0e+4x1o", n_layer=1, **SAME),
}


class Programs:
    """The training step and the prediction of an ensemble, compiled for one shape.

    Attributes:
      model: The network.
      facts: Parameters of a member, and for each program its CPU seconds to compile, GFLOP and GB as XLA counts them, and MiB.
    """

    def __init__(
        self,
        config: str,
        first: Graph,
        constants: dict,
        *,
        sizes: np.ndarray | None = None,
        members: int = 1,
        members_per_step: int = 1,
        only: tuple = ("train", "infer"),
    ):
        """Compiles for batches like `first`, which are made of crystals of these sizes."""
        shape = Shape(len(first.nodes.mask), len(first.senders), len(first.n_node))
        self.model = with_room(MODELS[config](), first) if sizes is None else planned(MODELS[config](), sizes, shape)
        self._constants, self._n_member, self._first, self._together = constants, members, first, members_per_step
        self.start(n_step=1000)
        size = sum(x.size for x in jax.tree.leaves(self._members.params)) // members
        self.facts = {"parameters": size, "jax": jax.__version__}
        self._programs = {}
        for job in only:
            self._programs[job, self.model, shape], self.facts[job] = compiled(self._lowered(job, self.model, first))

    def start(self, n_step: int, learning_rate: float = 5e-3) -> None:
        """A fresh ensemble whose learning rate falls over n_step updates."""
        loss = Loss(energy=10.0, forces=1.0, stress=0.0, shape="mse")
        self._plan = Plan(loss, Risk(), AdamW(learning_rate, weight_decay=0.0), float(n_step))
        keys = jax.random.key_data(jax.random.split(jax.random.key(0), self._n_member))
        self._members = init_members(keys, self._first, self._plan, model=self.model, risk_shape=RiskShape(N_DOMAIN, 1))

    def update(self, batch: Graph) -> None:
        """One update of every member."""
        self._members, _ = self._program("train", batch)(self._members, self._constants, batch, self._plan)

    def predict(self, batch: Graph):
        """Energies, forces and stress by the averaged parameters, with a leading member axis."""
        return self._program("infer", batch)(self._members.average, self._constants, batch)

    def _program(self, job: str, batch: Graph):
        """The program for a batch, compiled where its shape is another, or it needs more blocks than the plan."""
        known = job, with_room(self.model, batch), Shape(len(batch.nodes.mask), len(batch.senders), len(batch.n_node))
        if known not in self._programs:
            self._programs[known], _ = compiled(self._lowered(job, known[1], batch))
        return self._programs[known]

    def _lowered(self, job: str, model, batch: Graph):
        shared = {"model": model, "members_per_step": self._together}
        if job == "train":
            return train_step.lower(self._members, self._constants, batch, self._plan, derivatives=("forces",), **shared)
        return predict_step.lower(self._members.average, self._constants, batch, model=model, derivatives=("forces", "stress"))

    def wait(self) -> None:
        """Until every update is done."""
        jax.block_until_ready(self._members)


def compiled(lowered) -> tuple:
    """An executable, and what it took and takes."""
    start = time.process_time()
    program = lowered.compile()
    seconds = time.process_time() - start
    cost, memory = program.cost_analysis(), program.memory_analysis()
    used = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    facts = {"compile_cpu_s": seconds, "gflop": cost["flops"] / 1e9, "gbyte": cost["bytes accessed"] / 1e9, "mib": used / 2**20}
    return program, {name: round(value, 2) for name, value in facts.items()}


class Ours:
    """An ensemble, its batches, and the jobs that are timed.

    Attributes:
      facts: What it is.
    """

    def __init__(self, settings: dict):
        """Settings: config, data, batch, n_batch, only ("train" or "infer"); members and members_per_step, where there are more."""
        self._data = {part: graphs(settings["data"], part) for part in parts(settings["data"])}
        self._shape = shape_for(self._data["train"], settings["batch"])
        first = pack(self._data["train"][:1], self._shape, cutoff=CUTOFF)
        several = {name: settings[name] for name in ("members", "members_per_step", "only") if name in settings}
        sizes = sizes_of(self._data["train"] + self._data["test"])
        self._programs = Programs(settings["config"], first, constants(self._data["train"]), sizes=sizes, **several)
        self._train = self._full("train", settings["n_batch"])
        self._test = self._full("test", settings["n_batch"])
        for job in settings.get("only", ("train", "infer")):
            getattr(self, job)()
        fill = np.mean([b.n_edge[b.globals.mask].sum() for b in self._train]) / self._shape.n_edge
        self.facts = {**self._programs.facts, "shape": list(self._shape), "edge_fill": round(float(fill), 3)}

    def train(self) -> int:
        """Updates on every batch; returns the crystals seen."""
        for batch in self._train:
            self._programs.update(batch)
        self._programs.wait()
        return sum(int(b.globals.mask.sum()) for b in self._train)

    def infer(self) -> int:
        """Energies, forces and stress of every batch; returns the crystals seen."""
        jax.block_until_ready([self._programs.predict(batch) for batch in self._test])
        return sum(int(b.globals.mask.sum()) for b in self._test)

    def start(self, n_step: int, learning_rate: float) -> None:
        """A fresh ensemble whose learning rate falls over n_step updates."""
        self._programs.start(n_step, learning_rate)

    def learn(self, n_step: int, seed: int) -> None:
        """Updates on random batches, packed as they come."""
        rng = np.random.default_rng(seed)
        while n_step:
            order = rng.permutation(len(self._data["train"]))
            for batch in itertools.islice(batches(self._data["train"], self._shape, cutoff=CUTOFF, order=order), n_step):
                self._programs.update(batch)
                n_step -= 1
        self._programs.wait()

    def errors(self, part: str = "test") -> dict[str, float]:
        """Mean absolute errors of the averaged parameters on a part, in meV/atom and meV/Å."""
        energy, forces = [], []
        shape = self._shape if part == "test" else shape_for(self._data[part], 1)
        for batch in batches(self._data[part], shape, cutoff=CUTOFF):
            found, real = self._programs.predict(batch), batch.globals.mask
            energy.append((np.abs(found.energy.mean(0) - batch.globals.energy) / np.maximum(batch.n_node, 1))[real])
            forces.append(np.abs(found.forces.mean(0) - batch.nodes.forces)[batch.nodes.mask])
        mean = lambda rows: round(1e3 * float(np.concatenate(rows).mean()), 2)
        return {"energy_meV_per_atom": mean(energy), "forces_meV_per_A": mean(forces)}

    def _full(self, part: str, n_batch: int) -> list[Graph]:
        """The first batches of an epoch, as training packs them; the last of an epoch, which is not full, is left out."""
        data = self._data[part]
        order = np.random.default_rng(0).permutation(len(data)) if part == "train" else None
        packed = list(batches(data, self._shape, cutoff=CUTOFF, order=order))
        return [jax.tree.map(jnp.asarray, b) for b in (packed[:-1] or packed)[:n_batch]]


def graphs(folder: str, part: str) -> list[Graph]:
    """Labelled graphs; energies are above the references of the training set."""
    above = references(folder)
    return [
        to_graph(
            Crystal(c["lattice"], c["positions"], c["numbers"]),
            cutoff=CUTOFF,
            energy=float(c["energy"]) - sum(above[int(z)] for z in c["numbers"]),
            forces=c["forces"],
            index=i,
        )
        for i, c in enumerate(read(folder, part))
    ]


def constants(train: list[Graph]) -> dict[str, jax.Array]:
    """Average degree, and the root mean square force as the scale of the network's output."""
    degree = sum(int(g.n_edge[0]) for g in train) / sum(int(g.n_node[0]) for g in train)
    scale = np.sqrt(np.mean(np.concatenate([g.nodes.forces for g in train]) ** 2))
    return {"average_degree": jnp.float32(degree), "scale": jnp.float32(scale)}


if __name__ == "__main__":
    serve(Ours)
