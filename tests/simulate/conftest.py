"""A model whose energy is known in closed form, shared by the tests of this room: it compiles in a moment."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import Shape
from matjax.nn.radial import envelope
from matjax.thermo import References
from matjax.training.predictor import GraphPredictor
from matjax.training.supervision import Supervision
from matjax.types import Crystal, Output


@dataclasses.dataclass(frozen=True)
class Morse:
    """A Morse bond between all pairs, by element, switched off at the cutoff.

    energy = 1/2 sum over edges of depth ((1 - exp(-1.8 (r - r_0)))^2 - 1) envelope; r_0 grows with the atomic numbers.
    """

    cutoff: float = 5.0

    def init(self, rngs, graph):
        return {"params": {"depth": jnp.float32(0.35)}, "constants": {}}

    def apply(self, variables, graph):
        r = jnp.sqrt(jnp.square(graph.edges.vectors).sum(-1))
        z = graph.nodes.numbers.astype(r.dtype)
        rest = 2.45 + 0.006 * (z[graph.senders] + z[graph.receivers])
        bond = (jnp.square(1 - jnp.exp(-1.8 * (r - rest))) - 1) * envelope(r / self.cutoff)
        atomic = 0.5 * variables["params"]["depth"] * jax.ops.segment_sum(bond, graph.receivers, z.shape[0], indices_are_sorted=True)
        n_graph = graph.n_node.shape[0]
        owner = jnp.repeat(jnp.arange(n_graph), graph.n_node, total_repeat_length=z.shape[0])
        return Output(jax.ops.segment_sum(atomic, owner, n_graph), None, jnp.zeros((n_graph, 1)))


DEPTHS = (0.30, 0.35, 0.42)
ELEMENTS = (13, 28, 29)


def predictor() -> GraphPredictor:
    """Three members that differ in depth."""
    taught = Supervision("energy_per_atom", "eV/atom", ("energy", "forces", "stress"), "unrelaxed", "atoms", "none", ELEMENTS, 1, "", "")
    references = References(-np.arange(119) / 10)
    constants = {"scale": jnp.float32(1)}
    return GraphPredictor(Morse(), {"depth": jnp.asarray(DEPTHS, jnp.float32)}, constants, references, taught, Shape(64, 8192, 9))


def alloy(seed: int, repeat=(2, 1, 1), rattle: float = 0.08, strain: float = 0.04) -> Crystal:
    """A shaken fcc alloy of aluminium, nickel and copper in a strained cell."""
    draw = np.random.default_rng(seed)
    cell = 3.7 * np.diag(repeat)
    shifts = np.stack(np.meshgrid(*map(range, repeat), indexing="ij"), -1).reshape(-1, 3)
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    frac = (sites[None] + shifts[:, None]).reshape(-1, 3) / repeat
    lattice = cell @ (np.eye(3) + strain * draw.uniform(-1, 1, (3, 3)))
    positions = frac @ lattice + rattle * draw.normal(size=frac.shape)
    return Crystal(lattice, positions, draw.choice(ELEMENTS, len(frac)))


@pytest.fixture(scope="session")
def morse():
    """The model, its three members as a predictor, and crystals that they hold together."""
    return SimpleNamespace(Morse=Morse, predictor=predictor, alloy=alloy, DEPTHS=DEPTHS)
