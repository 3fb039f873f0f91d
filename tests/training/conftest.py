"""One tiny ensemble on real crystals, shared by the tests of this room: compile time rules them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import Shape, batches, to_graph
from matjax.nn import Equivariant
from matjax.risk import Risk, RiskShape
from matjax.training import AdamW, GraphLearner, Loss
from matjax.training.step import Plan, init_members, train_step
from matjax.types import Dataset, Visible

MODEL = Equivariant("4x0e+4x1o", n_layer=1, n_basis=4)
SHAPE = Shape(32, 512, 9)
CONSTANTS = {"average_degree": jnp.float32(20), "scale": jnp.float32(0.5)}


@pytest.fixture(scope="session")
def small(flla: Dataset) -> Dataset:
    """Forty real crystals of two to six atoms, oxides and fluorides and nitrides."""
    rows = [i for i, c in enumerate(flla.crystals) if 2 <= len(c) <= 6 and {7, 8, 9} & set(c.numbers.tolist())]
    return flla.select(rows[:40])


@pytest.fixture(scope="session")
def visible(small: Dataset) -> Visible:
    return Visible(small.select(range(24)), small.select(range(24, 30)), small.select(range(30, 34)), small.select(range(34, 40)))


@pytest.fixture(scope="session")
def learner() -> GraphLearner:
    shape = tuple(SHAPE)
    return GraphLearner(
        MODEL, optimizer=AdamW(1e-2), members=2, n_epoch=20, batch_size=6, ema=0.5, shape=shape, label="formation_energy_per_atom"
    )


@pytest.fixture(scope="session")
def predictor(learner: GraphLearner, visible: Visible):
    return learner(visible, jax.random.key(0))


class Bench:
    """Members and batches for tests of a single update."""

    def __init__(self, small: Dataset) -> None:
        label = small.labels["formation_energy_per_atom"]
        self.graphs = [
            to_graph(c, cutoff=MODEL.cutoff, energy=float(label[i]) * len(c), index=i, domain=i % 3)
            for i, c in enumerate(small.crystals[:20])
        ]
        self.plan = Plan(Loss(), Risk(), AdamW(1e-2), 50.0)

    def batch(self, n: int = 5, **columns):
        """The first n crystals in one batch; columns replace per-crystal arrays of the globals."""
        (batch,) = batches(self.graphs[:n], SHAPE, cutoff=MODEL.cutoff)
        fill = lambda name, values: np.concatenate([values, getattr(batch.globals, name)[n:]]).astype(getattr(batch.globals, name).dtype)
        return batch._replace(globals=batch.globals._replace(**{k: fill(k, v) for k, v in columns.items()}))

    def members(self, numbers=(0, 1), plan=None):
        """Members after one update, which starts the schedule (its first step is zero)."""
        keys = jax.random.key_data(jax.random.split(jax.random.key(1), 2))[np.array(numbers)]
        fresh = init_members(keys, self.batch(), plan or self.plan, model=MODEL, risk_shape=RiskShape(8, 4))
        changes = {"risk": plan.risk} if plan else {}
        return self.step(fresh._replace(number=jnp.asarray(numbers, jnp.int32)), self.batch(), **changes)[0]

    def step(self, members, batch, members_per_step=1, **changes):
        """A step that leaves its argument usable (the real one donates it)."""
        plan = dataclasses.replace(self.plan, **changes)
        members = jax.tree.map(jnp.copy, members)
        return train_step(members, CONSTANTS, batch, plan, model=MODEL, derivatives=(), members_per_step=members_per_step)


@pytest.fixture(scope="session")
def bench(small: Dataset) -> Bench:
    return Bench(small)
