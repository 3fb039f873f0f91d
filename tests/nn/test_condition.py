"""A condition starts as no condition, and charge is felt per atom."""

import jax
import jax.numpy as jnp
import numpy as np

from matjax.graph import Shape, pack, to_graph
from matjax.nn.condition import Condition
from matjax.types import Crystal

CRYSTAL = Crystal(4 * np.eye(3), np.array([[0, 0, 0], [2.0, 2, 2]]), np.array([11, 17]))
CONDITION = Condition(6, ("PBE", "HSE", "experiment"), charge=True)


def batch(*fidelities_and_charges):
    graphs = [to_graph(CRYSTAL, cutoff=3.0, fidelity=f, charge=q) for f, q in fidelities_and_charges]
    return pack(graphs, Shape(32, 512, 9), cutoff=3.0)


def random_params():
    start = CONDITION.init(jax.random.key(0), batch((0, 0.0)))
    random = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape), x.dtype), start)


def test_nothing_is_added_before_training() -> None:
    graph = batch((0, 0.0), (1, 1.0), (2, -2.0))
    said = CONDITION.apply(CONDITION.init(jax.random.key(0), graph), graph)
    np.testing.assert_array_equal(said, np.zeros((32, 6)))
    slope = jax.grad(lambda p: jnp.sum(CONDITION.apply(p, graph)))(CONDITION.init(jax.random.key(0), graph))["params"]
    assert np.abs(slope["fidelity"]["embedding"]).min() > 0 and np.abs(slope["charge"]["kernel"]).min() > 0, "it can be learned from there"


def test_every_atom_of_a_crystal_hears_its_own_condition() -> None:
    params = random_params()
    together = np.asarray(CONDITION.apply(params, batch((0, 0.0), (2, 0.0), (1, 0.5))))
    table = params["params"]["fidelity"]["embedding"]
    np.testing.assert_allclose(together[:4], np.asarray(table)[[0, 0, 2, 2]], rtol=1e-6)
    alone = np.asarray(CONDITION.apply(params, batch((1, 0.5))))
    np.testing.assert_allclose(together[4:6], alone[:2], rtol=1e-6)
    assert np.abs(alone[0] - np.asarray(table)[1]).max() > 0.01


def test_charge_is_smooth_at_zero() -> None:
    params = random_params()
    shift = lambda q: np.asarray(CONDITION.apply(params, batch((0, q))))[0] - np.asarray(CONDITION.apply(params, batch((0, 0.0))))[0]
    np.testing.assert_allclose(shift(0.02), -shift(-0.02), atol=1e-3)
    np.testing.assert_allclose(2 * shift(0.01), shift(0.02), atol=1e-3)
    assert np.abs(shift(0.02)).max() > 5e-3
