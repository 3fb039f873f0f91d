"""A posterior over the last layer: closed forms, sharing, and what it buys on real crystals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.data import load
from matjax.graph import Shape, pack, to_graph
from matjax.keys import generator
from matjax.nn import Equivariant, nequip
from matjax.nn.sharing import over_members
from matjax.thermo import References
from matjax.training import GraphPredictor
from matjax.training.step import init_params
from matjax.training.supervision import Supervision
from matjax.uncertainty import LastLayer
from matjax.uncertainty.last_layer import _posterior

KEY = jax.random.key(3)
SHAPE = Shape(128, 4096, 33)


def fresh(model: Equivariant) -> GraphPredictor:
    """An untrained network as a predictor: random features are features."""
    flla = load("flla")
    graph = pack([to_graph(flla.crystals[0], cutoff=model.cutoff)], SHAPE, cutoff=model.cutoff)
    params = init_params(jax.random.key_data(KEY)[None], graph, model=model)
    has, every = ("energy", "forces", "stress"), tuple(range(1, 119))
    taught = Supervision("energy_per_atom", "eV/atom", has, "relaxed", "elements", "PBE", every, 0, "", "")
    constants = {"scale": jnp.float32(0.8), "average_degree": jnp.float32(30.0)}
    return GraphPredictor(model, params, constants, References(np.zeros(119)), taught, SHAPE)


@pytest.fixture(scope="module")
def predictor():
    return fresh(nequip("16x0e+8x1o", 2, cutoff=4.0, radial=(16,)))


@pytest.fixture(scope="module")
def flla():
    data = load("flla")
    return data.select(generator(KEY).permutation(len(data))[:400])


@pytest.fixture(scope="module")
def ensemble(predictor, flla):
    return LastLayer(update=True).fit(predictor, flla.select(range(250)), KEY, label="formation_energy_per_atom")


def test_samples_have_the_posterior_of_bayesian_linear_regression():
    random = np.random.default_rng(0)
    features, noise = random.normal(size=(300, 4)), 0.3
    residual = features @ np.array([0.5, -1.0, 0.2, 0.0]) + noise * random.normal(size=300)
    draws = _posterior(features, residual, 4000, True, random)
    np.testing.assert_allclose(draws.mean(0), np.linalg.lstsq(features, residual, rcond=None)[0], atol=0.01)
    covariance = np.linalg.inv(features.T @ features)  # the prior is wide here; its scale is that of the errors
    np.testing.assert_allclose(np.cov(draws.T) / np.trace(np.cov(draws.T)), covariance / np.trace(covariance), atol=0.05)
    spread = (features @ (draws - draws.mean(0)).T).std(1)
    error = residual - features @ draws.mean(0)
    np.testing.assert_allclose(np.mean((error / spread) ** 2), 1.0, rtol=0.1)


def test_without_an_update_the_answer_stays(predictor, flla):
    train = flla.select(range(60))
    kept = LastLayer(references=False).fit(predictor, train, KEY, label="formation_energy_per_atom")
    np.testing.assert_allclose(kept(train.crystals[:5]).mean, predictor(train.crystals[:5]).mean, atol=1e-5)


@pytest.mark.parametrize("n_sample", [2, 8])
def test_the_variance_of_few_samples_is_right_on_average(n_sample):
    random = np.random.default_rng(1)
    features, residual = random.normal(size=(200, 3)), random.normal(size=200)
    draws = np.stack([_posterior(features, residual, n_sample, False, random) for _ in range(3000)])
    np.testing.assert_allclose(draws.mean(1), 0.0, atol=1e-12)
    variance = (features @ draws.swapaxes(1, 2)).var(-1, ddof=1).mean(0)
    np.testing.assert_allclose(np.mean(residual**2 / variance), 1.0, rtol=0.05)


def test_samples_come_in_pairs():
    with pytest.raises(ValueError, match="pairs"):
        LastLayer(n_sample=3)


def test_labels_are_fitted_better_and_the_spread_is_of_the_size_of_the_errors(ensemble, predictor, flla):
    test = flla.select(range(250, 400))
    truth = test.labels["formation_energy_per_atom"]
    before, after = predictor(test.crystals), ensemble(test.crystals)
    error = after.mean - truth
    assert np.abs(error).mean() < 0.5 * np.abs(before.mean - truth).mean()
    assert 0.5 < np.sqrt(np.mean((error / after.std) ** 2)) < 2


def test_far_features_are_less_certain(predictor, flla):
    oxides = np.array([8 in c.numbers for c in flla.crystals])
    assert 50 < oxides.sum() < 350
    ensemble = LastLayer(n_sample=32).fit(predictor, flla.select(oxides), KEY, label="formation_energy_per_atom")
    assert np.median(ensemble(flla.select(~oxides).crystals).std) > np.median(ensemble(flla.select(oxides).crystals).std)


def test_members_share_the_trunk_and_answer_as_full_members_do(ensemble, flla):
    sizes = {leaf.shape[0] for leaf in jax.tree.leaves(ensemble.params)}
    assert sizes == {1, 8}
    full = dataclasses.replace(ensemble, params=jax.tree.map(lambda x: jnp.broadcast_to(x, (8, *x.shape[1:])), ensemble.params))
    crystals = flla.crystals[:5]
    a, b = (p(crystals, derivatives=("forces", "stress")) for p in (ensemble, full))
    np.testing.assert_allclose(a.samples, b.samples, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(a.forces, b.forces, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(a.stress, b.stress, rtol=1e-4, atol=1e-5)


def test_what_is_shared_is_worked_out_once():
    calls = jax.make_jaxpr(lambda p: over_members(lambda q: jnp.sum(jnp.sin(q["trunk"])) * q["head"], p))
    program = str(calls({"trunk": jnp.ones((1, 7)), "head": jnp.ones((5,))}))
    assert "sin" in program and "f32[5,7]" not in program


def test_a_network_that_is_not_linear_in_its_features_is_refused(flla):
    with pytest.raises(ValueError, match="not linear"):
        LastLayer().fit(fresh(Equivariant("4x0e+4x1o", 1)), flla, KEY, label="formation_energy_per_atom")


def test_an_ensemble_and_few_labels_are_refused(ensemble, predictor, flla):
    with pytest.raises(ValueError, match="8 members"):
        LastLayer().fit(ensemble, flla, KEY, label="formation_energy_per_atom")
    with pytest.raises(ValueError, match="at least 10"):
        LastLayer().fit(predictor, flla.select(range(4)), KEY, label="formation_energy_per_atom")
