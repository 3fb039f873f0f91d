"""The geometry-tensor model: the contract of models, its sums written out over edges, and what it refuses."""

import functools

import e3nn_jax as e3nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import pack, shape_for, to_graphs
from matjax.nn import ElementEmbedding, evaluate
from matjax.nn.geometry_tensor import GeometryTensor
from matjax.nn.radial import bessel
from matjax.nn.radial_whitening import _SLOPE, whitened_bessel
from matjax.testing import check_model
from matjax.testing.crystals import random_crystal

SMALL = functools.partial(GeometryTensor, n_channel=4, hidden=8, cutoff=4.0, n_basis=4, n_wave=8, width=16)


@pytest.mark.slow
@pytest.mark.parametrize("model", [SMALL(l_max=2, variance=True)], ids=lambda m: f"l_max {m.l_max}")
def test_it_keeps_the_contract_of_models(model: GeometryTensor) -> None:
    check_model(model, key=jax.random.key(0))


def _batch(n_atom: tuple[int, ...] = (3, 5, 2)):
    random = np.random.default_rng(1)
    crystals = [random_crystal(random, tuple(random.choice([8, 22, 26], n))) for n in n_atom]
    graphs = to_graphs(crystals, cutoff=4.0)
    return pack(graphs, shape_for(graphs, 4), cutoff=4.0)


@pytest.mark.parametrize("l_max", [1, 2])
def test_its_energy_is_that_of_sums_over_edges(l_max: int) -> None:
    """Second implementation: edge by edge, atoms in the order of the graph, no pair matrix."""
    with jax.enable_x64(True):
        batch, model = _batch(), SMALL(l_max=l_max)
        batch = batch._replace(edges=batch.edges._replace(vectors=np.asarray(batch.edges.vectors, np.float64)))
        random = np.random.default_rng(0)
        variables = jax.tree.map(lambda x: x + 0.1 * random.normal(size=x.shape), jax.jit(model.init)(jax.random.key(0), batch))
        found = jax.jit(model.apply)(variables, batch).energy
        with jax.numpy_rank_promotion("allow"):
            expected = _over_edges(model, variables, batch)
        real = batch.globals.mask
        np.testing.assert_allclose(found[real], expected[real], rtol=1e-9)
        assert np.abs(np.asarray(expected)[real]).min() > 1e-3


def _over_edges(model: GeometryTensor, variables, batch):
    """The equations of the docstring, in the plain order."""
    p, c = variables["params"], variables["constants"]
    n_node, n_graph = len(batch.nodes.mask), len(batch.n_node)
    element = ElementEmbedding(model.n_element, model.physical, model.learned).apply({"params": p["element"]}, batch.nodes.numbers)
    vectors = batch.edges.vectors
    basis = whitened_bessel(np.linalg.norm(vectors, axis=1), model.cutoff, model.n_basis, model.n_wave).T / np.sqrt(c["average_degree"])
    line = lambda name, x: x @ p[name]["kernel"] + p[name].get("bias", 0.0)
    total = lambda x: jax.ops.segment_sum(x, batch.receivers, n_node)
    kinds = [f"{n}{'eo'[n % 2]}" for n in range(model.l_max + 1)]
    angular = [e3nn.spherical_harmonics(e3nn.Irreps(k), vectors, normalize=True, normalization="component").array for k in kinds]
    density = []
    for n in range(model.l_max + 1):
        weight = line(f"element_radial_{n}", element).reshape(n_node, model.n_basis, -1)[batch.senders]
        summed = total(jnp.einsum("em,ek,ekc->emc", angular[n], basis, weight))
        density.append(summed * (1 + line(f"element_1_{n}", element))[:, None, :])
    squares = [(a**2).mean(1) for a in density[1:]]
    known = jax.nn.silu(line("hidden", jnp.concatenate([density[0][:, 0], *squares, element], -1)))
    gates = line("gates", known).reshape(n_node, model.l_max + 1, -1)
    features = [gates[:, :1], *(line(f"mix_{n}", a) * gates[:, n : n + 1] for n, a in enumerate(density) if n)]
    heard = 0.0
    for n, h in enumerate(features):
        heard += total(jnp.einsum("em,ek,kc,emc->ec", angular[n], basis, p[f"radial_{n}"], h[batch.senders])) / np.sqrt(2 * n + 1)
    heard = heard * (1 + line("element_2", element))
    hidden = jax.nn.silu(line("readout", jnp.concatenate([heard, known, element], -1)))
    atomic = (line("energy", hidden) + line("element_energy", element))[:, 0] * c["scale"]
    owner = np.repeat(np.arange(n_graph), batch.n_node)
    return jax.ops.segment_sum(jnp.where(batch.nodes.mask, atomic, 0.0), owner, n_graph)


def test_a_crystal_without_room_is_no_number() -> None:
    batch, model = _batch(), SMALL(width=4)
    said = jax.jit(model.init_with_output)(jax.random.key(0), batch)[0]
    expected = np.asarray(batch.n_node == 5) & batch.globals.mask
    np.testing.assert_array_equal(np.isnan(said.energy), expected)
    np.testing.assert_array_equal(np.isnan(said.features).all(1), expected)


def test_forces_do_not_depend_on_the_number_of_blocks() -> None:
    batch, few, many = _batch(), SMALL(n_block=1), SMALL(n_block=0)
    variables = jax.jit(few.init)(jax.random.key(0), batch)
    a, b = (jax.jit(functools.partial(evaluate, model))(variables, batch) for model in (few, many))
    np.testing.assert_allclose(a.forces, b.forces, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(a.energy, b.energy, rtol=1e-5, atol=1e-6)


def test_whitened_functions_are_mixtures_of_bessel_functions_of_equal_norm() -> None:
    with jax.enable_x64(True):
        x = np.linspace(2.0, 5.0, 6000, endpoint=False)
        f = np.asarray(whitened_bessel(jnp.asarray(x), 5.0, 8))
        waves = np.asarray(bessel(jnp.asarray(x), 5.0, 16))
        residue = f.T - waves @ np.linalg.lstsq(waves, f.T, rcond=None)[0]
        assert np.abs(residue).max() < 1e-8 * np.abs(f).max()
        density = x**2 / np.sum(x**2)
        slope = np.gradient(f, x, axis=1, edge_order=2)
        overlap = (f * density) @ f.T + _SLOPE * (slope * density) @ slope.T
        np.testing.assert_allclose(overlap, np.eye(8), atol=5e-3)


def test_too_few_waves_are_refused() -> None:
    with pytest.raises(ValueError, match="9 radial functions out of 8 waves"):
        whitened_bessel(jnp.ones(2), 5.0, 9, 8)
