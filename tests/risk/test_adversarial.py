"""Deformations against crystals built anew, first-order labels against an analytic potential, and what they are for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from matjax.graph import Shape, pack, to_graph
from matjax.risk import Adversarial
from matjax.risk.adversarial import deformed
from matjax.testing.crystals import random_crystal

CUTOFF, SHAPE, KEY = 5.0, Shape(12, 1024, 4), jax.random.key(0)
RANDOM = np.random.default_rng(0)
CRYSTALS = [random_crystal(RANDOM, (8, 8, 13)) for _ in range(3)]


def batch_of(crystals):
    return jax.device_put(pack([to_graph(c, cutoff=CUTOFF) for c in crystals], SHAPE, cutoff=CUTOFF))


def functions(graph, centres, width):
    """Gaussians of the distance, summed over the neighbours of each crystal [n_graph, n]; they vanish at the cutoff."""
    length, n = jnp.linalg.norm(graph.edges.vectors, axis=1), graph.n_node.shape[0]
    basis = jnp.exp(-(((length[:, None] - centres[None, :]) / width) ** 2)) * jnp.maximum(1 - length / CUTOFF, 0)[:, None] ** 3
    owner = jnp.repeat(jnp.arange(n), graph.n_edge, total_repeat_length=len(length))
    return jnp.where(graph.globals.mask[:, None], jax.ops.segment_sum(basis, owner, n), 0.0)


TRUE = jnp.array([8.0, 2.0, -3.0, -2.0, -1.0, 0.5])
energy = jax.jit(lambda graph, weights=TRUE: functions(graph, jnp.linspace(1.5, 4.0, 6), 1.0) @ weights)
loss = lambda graph, weights=0.7 * TRUE: (energy(graph, weights) - graph.globals.energy) ** 2


def still(graph):
    return jnp.zeros(graph.nodes.forces.shape), jnp.zeros(graph.globals.stress.shape)


@jax.jit
def labelled(graph):
    """The batch with energies, forces and stress of the potential."""
    by_place, by_strain = jax.grad(lambda d, e: energy(deformed(graph, d, e)).sum(), (0, 1))(*still(graph))
    g, ones = graph.globals, graph.globals.mask.astype(jnp.float32)
    stress = by_strain / g.volume[:, None, None]
    nodes = graph.nodes._replace(forces=-by_place)
    return graph._replace(
        nodes=nodes, globals=g._replace(energy=energy(graph), stress=stress, has_energy=ones, has_forces=ones, has_stress=ones)
    )


GRAPH = labelled(batch_of(CRYSTALS))
apply = jax.jit(lambda augment, graph=GRAPH: augment.apply(KEY, graph, loss))


def test_deformed_is_the_crystal_built_anew():
    moves, strain = 0.02 * RANDOM.normal(size=(3, 3, 3)), 0.01 * RANDOM.normal(size=(3, 3, 3))
    strain += strain.transpose(0, 2, 1)
    bend = np.eye(3) + strain
    anew = [
        dataclasses.replace(c, lattice=c.lattice @ b, positions=(c.positions + d) @ b)
        for c, d, b in zip(CRYSTALS, moves, bend, strict=True)
    ]
    pad = lambda x, n: np.concatenate([x, np.zeros((n - len(x), *x.shape[1:]))]).astype(np.float32)
    found = jax.jit(deformed)(GRAPH, jnp.asarray(pad(moves.reshape(-1, 3), SHAPE.n_node)), jnp.asarray(pad(strain, SHAPE.n_graph)))
    expected = batch_of(anew)
    np.testing.assert_allclose(energy(found), energy(expected), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.globals.volume[:3], expected.globals.volume[:3], rtol=1e-5)


@pytest.mark.parametrize(("displacement", "strain"), [(0.04, 0.0), (0.0, 0.02), (0.04, 0.02)])
def test_the_label_is_right_to_first_order(displacement, strain):
    """Half the step leaves a quarter of the error, which is far below the change of the energy."""

    def error(factor):
        moved = apply(Adversarial(factor * displacement, factor * strain, share=1.0))
        return np.abs(energy(moved) - moved.globals.energy)[:3], np.abs(energy(moved) - GRAPH.globals.energy)[:3]

    (whole, change), (half, _) = error(1.0), error(0.5)
    assert (whole < 0.35 * change).all()
    assert half.sum() / whole.sum() == pytest.approx(0.25, abs=0.06)


def test_steps_have_their_length_and_raise_the_loss():
    moved = apply(Adversarial(0.03, 0.0, share=1.0))
    shift = (moved.edges.vectors - GRAPH.edges.vectors)[: int(GRAPH.n_edge[:3].sum())]
    kept = GRAPH.globals._replace(energy=GRAPH.globals.energy)
    assert (loss(moved._replace(globals=kept))[:3] > 1.01 * loss(GRAPH)[:3]).all()
    assert 0.03 < np.sqrt((np.asarray(shift) ** 2).sum(1).mean()) < 0.03 * 2
    by_volume = np.asarray(apply(Adversarial(0.0, 0.01, share=1.0)).globals.volume / GRAPH.globals.volume)[:3]
    assert (np.abs(by_volume - 1) < 0.01 * np.sqrt(3) * 1.02).all() and (by_volume != 1).all()


def test_labels_that_no_longer_hold_are_left_out():
    half = apply(Adversarial(share=0.5))
    moved = np.asarray(half.globals.energy != GRAPH.globals.energy)
    assert moved[:3].any() and not moved[:3].all() and not moved[3]
    np.testing.assert_array_equal(half.globals.has_forces, GRAPH.globals.has_forces * ~moved)
    np.testing.assert_array_equal(half.globals.has_stress, GRAPH.globals.has_stress * ~moved)
    still_there = np.repeat(~moved[:3], np.asarray(GRAPH.n_edge)[:3])
    n_edge = int(GRAPH.n_edge[:3].sum())
    np.testing.assert_allclose(half.edges.vectors[:n_edge][still_there], GRAPH.edges.vectors[:n_edge][still_there])


def test_without_forces_energies_stay_and_without_stress_there_is_no_strain():
    zero = jnp.zeros_like(GRAPH.globals.has_forces)
    bare = apply(Adversarial(share=1.0), GRAPH._replace(globals=GRAPH.globals._replace(has_forces=zero, has_stress=zero)))
    np.testing.assert_array_equal(bare.globals.energy, GRAPH.globals.energy)
    assert (bare.globals.volume != GRAPH.globals.volume)[:3].all()
    unstrained = apply(Adversarial(share=1.0), GRAPH._replace(globals=GRAPH.globals._replace(has_stress=zero)))
    np.testing.assert_array_equal(unstrained.globals.volume, GRAPH.globals.volume)


@pytest.mark.parametrize("augment", [Adversarial(share=0.0), Adversarial(0.0, 0.0, share=1.0)])
def test_no_share_or_no_step_changes_nothing_that_is_learned(augment):
    found = apply(augment)
    np.testing.assert_allclose(found.edges.vectors, GRAPH.edges.vectors)
    np.testing.assert_allclose(found.globals.energy, GRAPH.globals.energy)


def test_a_perfect_model_and_an_empty_crystal_are_left_in_peace():
    found = jax.jit(lambda graph: Adversarial(share=1.0).apply(KEY, graph, lambda g: loss(g, TRUE)))(GRAPH)
    assert all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(found))
    np.testing.assert_allclose(found.edges.vectors, GRAPH.edges.vectors, atol=0.2)


@pytest.mark.slow
def test_what_must_hold_for_moved_atoms_too_is_learned():
    """Relaxed crystals with a smooth law, seen through smooth and sharp functions: ERM leans on the sharp ones, which do not carry over."""
    random, n, shape, smooth = np.random.default_rng(3), 24, Shape(52, 2048, 26), jnp.array([2.0, 3.0, 4.0])
    batch = lambda crystals: jax.device_put(pack([to_graph(c, cutoff=CUTOFF) for c in crystals], shape, cutoff=CUTOFF))
    draw = lambda: [random_crystal(random, (8, 13)) for _ in range(n)]
    law = lambda graph: functions(graph, smooth, 1.0) @ jnp.array([1.0, -0.6, 0.4])
    seen = lambda graph: jnp.concatenate([0.3 * functions(graph, smooth, 1.0), functions(graph, jnp.linspace(1.6, 4.6, 20), 0.08)], 1)
    crystals = draw()
    shaken = [dataclasses.replace(c, positions=c.positions + 0.05 * random.normal(size=c.positions.shape)) for c in crystals]
    train, unseen, target = batch(draw()), batch(shaken), law(batch(crystals))
    level, centre = law(train)[:n].mean(), seen(train)[:n].mean(0)
    train = train._replace(globals=train.globals._replace(energy=(law(train) - level) * train.globals.mask))
    predict = lambda graph, weights: (seen(graph) - centre[None, :]) @ weights

    def fit(augment):
        optimizer = optax.adam(0.03)

        def step(carry, key):
            weights, state = carry
            square = lambda graph, w=weights: (predict(graph, w) - graph.globals.energy) ** 2
            graph = augment.apply(key, train, square)
            slope = jax.grad(lambda w: jnp.where(graph.globals.mask, square(graph, w), 0.0).mean())(weights)
            change, state = optimizer.update(slope, state)
            return (optax.apply_updates(weights, change), state), None

        start = jnp.zeros(23)
        (weights, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), jax.random.split(KEY, 600))
        return jnp.sqrt(((predict(unseen, weights) - target + level)[:n] ** 2).mean())

    fit = jax.jit(fit)
    assert fit(Adversarial(0.05, 0.0, share=0.8)) < 0.65 * fit(Adversarial(share=0.0))


def test_bad_settings_are_refused():
    for bad in ({"displacement": -0.1}, {"displacement": 1.0}, {"strain": 0.5}, {"share": 1.5}):
        with pytest.raises(ValueError, match="must lie in"):
            Adversarial(**bad)
