"""Cells relaxed by a network: the same numbers as the predictor's own, per member, and gradients that reach the weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.data.elements import N_ELEMENT
from matjax.graph import Shape
from matjax.nn import Equivariant
from matjax.simulate.cells import cells, element_volumes, solution
from matjax.simulate.prototypes import LATTICES, representative_cell
from matjax.simulate.template import decorate, template
from matjax.thermo import Points, References, landscape, stability
from matjax.training.predictor import GraphPredictor
from matjax.training.step import init_params
from matjax.training.supervision import Supervision
from matjax.value.relaxed import relaxed_energies

ELEMENTS = ("Al", "Cu", "Ni")
MODEL = Equivariant("4x0e+4x1o", n_layer=1, n_basis=4, cutoff=3.6)


@pytest.fixture(scope="module")
def predictor() -> GraphPredictor:
    constants = {"average_degree": jnp.float32(18), "scale": jnp.float32(0.05)}
    spring = template(representative_cell("fcc"), 1.3)
    graph = decorate(spring, jnp.full((1, 32), 29), jnp.array([2.6]), jnp.zeros((1, 32, 3)))
    params = init_params(jax.random.key_data(jax.random.split(jax.random.key(0), 2)), graph, model=MODEL)
    taught = Supervision(
        "energy_per_atom", "eV/atom", ("energy", "forces", "stress"), "unrelaxed", "atoms", "EAM", (13, 28, 29), 1, "", "made here"
    )
    references = References(np.linspace(-4.0, -3.0, N_ELEMENT + 1))
    return GraphPredictor(MODEL, params, constants, references, taught, Shape(64, 4096, 9))


def crystals_of(*counts: dict[str, int]) -> tuple[list[str], list]:
    candidates = [solution(lattice, c) for c in counts for lattice in LATTICES]
    return [c.prototype for c in candidates], [cells(c, 1, element_volumes(ELEMENTS))[0] for c in candidates]


def test_before_any_step_the_energy_is_the_predictors(predictor):
    names, crystals = crystals_of({"Al": 8, "Cu": 6, "Ni": 6}, {"Al": 20})
    found = relaxed_energies(predictor, names, crystals, np.full(len(crystals), 0.8), n_step=1)
    wanted = predictor(crystals)
    np.testing.assert_allclose(found.enthalpy + found.left, wanted.samples, atol=3e-6)
    np.testing.assert_allclose(found.volume, np.tile([c.volume / len(c) for c in crystals], (2, 1)), rtol=1e-5)
    np.testing.assert_allclose(found.features, wanted.features, atol=1e-5)


def test_steps_lower_the_energy_and_members_differ(predictor):
    names, crystals = crystals_of({"Al": 8, "Cu": 6, "Ni": 6})
    bulk = np.full(len(crystals), 0.8)
    found = relaxed_energies(predictor, names, crystals, bulk, n_step=3)
    start = predictor(crystals).samples
    assert (found.enthalpy < start + 1e-6).all()
    assert np.abs(found.enthalpy[0] - found.enthalpy[1]).max() > 1e-4
    alone = np.concatenate(
        [relaxed_energies(predictor, [n], [c], bulk[:1], n_step=3).enthalpy for n, c in zip(names, crystals, strict=True)], 1
    )
    np.testing.assert_allclose(alone, found.enthalpy, atol=5e-6)


def test_what_was_not_taught_is_refused(predictor):
    names, crystals = crystals_of({"Al": 20})
    relaxed_only = dataclasses.replace(predictor, supervision=dataclasses.replace(predictor.supervision, has=("energy",)))
    with pytest.raises(ValueError, match="relaxation refused: it needs training on forces"):
        relaxed_energies(relaxed_only, names, crystals, np.ones(3))
    with pytest.raises(ValueError, match="the list is empty"):
        relaxed_energies(predictor, [], [], np.ones(0))


@pytest.mark.slow
def test_the_slope_of_stability_reaches_the_weights(predictor):
    """d(stability)/d(weights) along a random direction of weights, against finite differences."""
    names, crystals = crystals_of(*({s: 20} for s in ELEMENTS), *({a: 10, b: 10} for a, b in (("Al", "Cu"), ("Al", "Ni"), ("Cu", "Ni"))))
    names, crystals = names[:: len(LATTICES)], crystals[:: len(LATTICES)]  # fcc; the other lattices lie at a fixed height
    spring = template(representative_cell("fcc"), 1.5)
    numbers = jnp.asarray(np.stack([c.numbers for c in crystals]))
    scale = jnp.asarray([(c.volume / spring.volume) ** (1 / 3) for c in crystals], jnp.float32)
    x = np.array([[np.mean(c.numbers == z) for z in (13, 29, 28)] for c in crystals])
    member = jax.tree.map(lambda p: p[0], predictor.params)
    direction = jax.tree.map(lambda p: jax.random.normal(jax.random.key(1), p.shape) * jnp.std(p), member)
    graph = decorate(spring, numbers, scale, jnp.zeros((len(crystals), 32, 3)))

    def value(amount):
        moved = jax.tree.map(lambda p, d: p + amount.astype(jnp.float32) * d, member, direction)
        energy = MODEL.apply({"params": moved, "constants": predictor.constants}, graph).energy.astype(jnp.float64) / 32
        solid = jnp.concatenate([energy, energy[:3] + 0.05, energy[:3] + 0.08])
        lattice = np.r_[np.zeros(6, int), np.ones(3, int), np.full(3, 2)]
        flat = lambda number: jnp.full(12, number)
        points = Points(lattice, np.concatenate([x, x[:3], x[:3]]), solid, flat(12.0), flat(1.0), flat(0.4))
        return stability(landscape(ELEMENTS, np.array([27.0, 63.5, 58.7]), points), 0, np.array([0.4, 0.3, 0.3]), 900.0).value

    with jax.enable_x64(True):
        at = jnp.float64(0.1)
        slope, step = float(jax.grad(value)(at)), 0.02
        differences = (float(value(at + step)) - float(value(at - step))) / (2 * step)
    assert abs(slope) > 1e-4 and slope == pytest.approx(differences, rel=0.03)
