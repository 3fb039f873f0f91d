"""Named potentials on the device: ensembles that share their trunk, and elements that a table does not know."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import Shape, pack, to_graph
from matjax.nn import nequip
from matjax.nn.sharing import repeated
from matjax.simulate import batch_relax, energy_fn, hessian
from matjax.simulate.network import network
from matjax.thermo import References
from matjax.training.predictor import GraphPredictor
from matjax.training.step import init_params
from matjax.training.supervision import Supervision
from matjax.types import Crystal
from matjax.value.relaxed import relaxed_energies

KNOWN = (13, 28, 29)


@pytest.fixture(scope="module")
def shared(morse) -> GraphPredictor:
    """Three last layers on one trunk, and a table of three elements."""
    model, shape = nequip("4x0e+4x1o", 1, cutoff=3.6, radial=(8,), norm=False), Shape(64, 4096, 9)
    graph = pack([to_graph(morse.alloy(0), cutoff=model.cutoff)], shape, cutoff=model.cutoff)
    params = dict(init_params(jax.random.key_data(jax.random.key(0))[None], graph, model=model))
    kernel = params["energy"]["kernel"] * jnp.array([0.5, 1.0, 1.5])[:, None, None]
    params["energy"] = {**params["energy"], "kernel": kernel}
    constants = {"scale": jnp.float32(0.1), "average_degree": jnp.float32(18.0)}
    has = ("energy", "forces", "stress")
    taught = Supervision("energy_per_atom", "eV/atom", has, "unrelaxed", "atoms", "none", KNOWN, 1, "", "")
    return GraphPredictor(model, params, constants, References(np.zeros(119)), taught, shape)


def test_members_that_share_a_trunk_answer_on_the_device_as_full_members_do(shared, morse) -> None:
    assert {leaf.shape[0] for leaf in jax.tree.leaves(shared.params)} == {1, 3}
    full, crystal = dataclasses.replace(shared, params=repeated(shared.params, 3)), morse.alloy(0, (1, 1, 1))
    jax.tree.map(np.testing.assert_array_equal, network(shared).variables, network(full).variables)
    said = shared([crystal], derivatives=("forces",))
    value, slope = jax.value_and_grad(energy_fn(shared, crystal))(crystal.positions)
    np.testing.assert_allclose(value, 4 * said.samples.mean(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(slope, -said.forces.mean(0), atol=1e-5)
    members = hessian(shared, crystal, members=True)
    assert members.shape == (3, 4, 3, 4, 3)
    np.testing.assert_allclose(members[2], 3 * members[0], atol=1e-3 * np.abs(members).max())
    (relaxed,) = batch_relax(shared, [crystal], n_step=2, batch_size=1)
    assert relaxed.labels["energy_per_atom"] == pytest.approx(shared([relaxed.crystal]).samples.mean(), abs=1e-5)
    cell = Crystal(3.7 * np.eye(3), 3.7 * np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]), np.full(4, 29))
    found = relaxed_energies(shared, ["L1_2"], [cell], np.ones(1), n_step=1)
    np.testing.assert_allclose(found.enthalpy + found.left, shared([cell]).samples, atol=1e-5)


def test_elements_that_a_table_does_not_know_are_refused(shared, morse) -> None:
    good = morse.alloy(0, (1, 1, 1))
    strange = Crystal(good.lattice, good.positions, np.array([29, 41, 92, 28]))
    said, fine = batch_relax(shared, [strange, good], n_step=2, batch_size=1)
    assert said.status == "failed" and said.error.startswith("physical: Nb, U not known to this model")
    assert fine.status != "failed"
    for ask in (hessian, energy_fn):
        with pytest.raises(ValueError, match="Nb, U not known to this model"):
            ask(shared, strange)
    with pytest.raises(ValueError, match="has Nb, U, which this model was not trained on"):
        relaxed_energies(shared, ["fcc"], [strange], np.ones(1))
    assert not network(morse.predictor()).strangers(strange), "without a table any element will do"
