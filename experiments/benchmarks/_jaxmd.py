"""jax-md's NequIP in the benchmarks, in its own environment, on packed edge lists like ours; no stress."""

import importlib.metadata

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import optax
import vesin
from _alloys import NUMBERS
from _crystals import read, references
from _worker import serve
from flax.core import FrozenDict
from jax_md._nn.nequip import NequIPEnergyModel

CUTOFF = 5.0
SETTINGS = {
    "graph_net_steps": 2,
    "use_sc": True,
    "nonlinearities": FrozenDict(e="raw_swish", o="tanh"),
    "n_elements": len(NUMBERS),
    "num_basis": 8,
    "r_max": CUTOFF,
    "radial_net_nonlinearity": "raw_swish",
    "radial_net_n_hidden": 64,
    "radial_net_n_layers": 1,
    "shift": 0.0,
    "scale": 1.0,
    "scalar_mlp_std": 4.0,
}
IRREPS = {
    "l1": {"hidden_irreps": "32x0e+32x1o", "sh_irreps": "1x0e+1x1o"},
    "l2": {"hidden_irreps": "32x0e+32x1o+32x2e", "sh_irreps": "1x0e+1x1o+1x2e"},
}


class JaxMd:
    """The model, its batches, and the jobs that are timed.

    Attributes:
      facts: What it is.
    """

    def __init__(self, settings: dict):
        """Settings: config, data, batch, n_batch."""
        above = references(settings["data"])
        data = {part: [graph(c, above) for c in read(settings["data"], part)] for part in ("train", "test")}
        degree = np.mean(np.concatenate([np.bincount(g["receivers"], minlength=len(g["forces"])) for g in data["train"]]))
        self._model = NequIPEnergyModel(**SETTINGS, **IRREPS[settings["config"]], n_neighbors=float(degree))
        orders = {"train": np.random.default_rng(0).permutation(len(data["train"])), "test": np.arange(len(data["test"]))}
        self._batches = {}
        for part, order in orders.items():
            rows = [[data[part][i] for i in order[k : k + settings["batch"]]] for k in range(0, len(order), settings["batch"])]
            rows = rows[: settings["n_batch"]]
            room = lambda name, to, rows=rows: -(-(max(sum(len(g[name]) for g in r) for r in rows) + 1) // to) * to
            self._batches[part] = [packed(r, room("forces", 16), room("senders", 256)) for r in rows]
        first = self._batches["train"][0]
        self._optimizer = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(5e-3))
        self._params = jax.jit(self._model.init)(jax.random.key(0), as_graph(first, first["positions"]))
        self._state = self._optimizer.init(self._params)
        self._step, self._answer = jax.jit(self._update, donate_argnums=(0, 1)), jax.jit(self._energy_and_forces)
        self.train()
        self.infer()
        versions = {name: importlib.metadata.version(name) for name in ("jax-md", "jax")}
        self.facts = {"parameters": sum(x.size for x in jax.tree.leaves(self._params)), **versions}

    def train(self) -> int:
        """Updates on every batch; returns the crystals seen."""
        for batch in self._batches["train"]:
            self._params, self._state = self._step(self._params, self._state, batch)
        jax.block_until_ready(self._params)
        return sum(int(b["mask"].sum()) for b in self._batches["train"])

    def infer(self) -> int:
        """Energies and forces of every batch; returns the crystals seen."""
        jax.block_until_ready([self._answer(self._params, batch) for batch in self._batches["test"]])
        return sum(int(b["mask"].sum()) for b in self._batches["test"])

    def _update(self, params, state, batch):
        change, state = self._optimizer.update(jax.grad(self._loss)(params, batch), state, params)
        return optax.apply_updates(params, change), state

    def _loss(self, params, batch):
        energy, forces = self._energy_and_forces(params, batch)
        per_atom = jnp.where(batch["mask"], (energy - batch["energy"]) / batch["n_node"], 0.0)
        real = jnp.arange(len(forces))[:, None] < batch["n_node"][:-1].sum()
        wrong = jnp.where(real, forces - batch["forces"], 0.0)
        return 10 * jnp.sum(per_atom**2) / batch["mask"].sum() + jnp.sum(wrong**2) / (3 * real.sum())

    def _energy_and_forces(self, params, batch):
        energy = lambda positions: self._model.apply(params, as_graph(batch, positions))[:, 0]
        value, pull = jax.vjp(energy, batch["positions"])
        return value, -pull(jnp.ones_like(value))[0]


def graph(crystal: dict, above: dict[int, float]) -> dict[str, np.ndarray]:
    """A crystal with its neighbours, sorted by receiver; the energy is above the references."""
    search = vesin.NeighborList(cutoff=CUTOFF, full_list=True, sorted=True)
    i, j, shift = search.compute(crystal["positions"], crystal["lattice"], periodic=True, quantities="ijS")
    return {
        "positions": crystal["positions"],
        "species": np.searchsorted(NUMBERS, crystal["numbers"]),
        "senders": np.asarray(j, np.int32),
        "receivers": np.asarray(i, np.int32),
        "shifts": np.asarray(shift) @ crystal["lattice"],
        "energy": crystal["energy"] - sum(above[int(z)] for z in crystal["numbers"]),
        "forces": crystal["forces"],
    }


def packed(rows: list[dict], n_node: int, n_edge: int) -> dict[str, jax.Array]:
    """One batch, padded by a crystal of its own whose edges are longer than the cutoff."""
    nodes, edges = np.array([len(g["forces"]) for g in rows]), np.array([len(g["senders"]) for g in rows])
    start = np.cumsum(nodes) - nodes
    join = lambda name: np.concatenate([g[name] for g in rows])
    fill = lambda x, n, value: np.concatenate([x, np.broadcast_to(value, (n - len(x), *x.shape[1:]))])
    shifted = lambda name: np.concatenate([g[name] + s for g, s in zip(rows, start, strict=True)])
    real = lambda x: jnp.asarray(x, jnp.float32)
    return {
        "positions": real(fill(join("positions"), n_node, 0.0)),
        "species": jax.nn.one_hot(fill(join("species"), n_node, 0), len(NUMBERS)),
        "senders": jnp.asarray(fill(shifted("senders"), n_edge, n_node - 1)),
        "receivers": jnp.asarray(fill(shifted("receivers"), n_edge, n_node - 1)),
        "shifts": real(fill(join("shifts"), n_edge, np.array([CUTOFF + 1, 0.0, 0.0]))),
        "forces": real(fill(join("forces"), n_node, 0.0)),
        "energy": real([*(g["energy"] for g in rows), 0.0]),
        "mask": jnp.arange(len(rows) + 1) < len(rows),
        "n_node": jnp.asarray([*nodes, n_node - nodes.sum()]),
        "n_edge": jnp.asarray([*edges, n_edge - edges.sum()]),
    }


def as_graph(batch: dict, positions: jax.Array) -> jraph.GraphsTuple:
    """The batch as jax-md's model takes it."""
    senders, receivers = batch["senders"], batch["receivers"]
    vectors = positions[senders] - positions[receivers] + batch["shifts"]
    return jraph.GraphsTuple(batch["species"], vectors, receivers, senders, None, batch["n_node"], batch["n_edge"])


if __name__ == "__main__":
    serve(JaxMd)
