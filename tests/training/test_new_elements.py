import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import Shape, pack, to_graph
from matjax.nn import Equivariant, nequip
from matjax.thermo import References
from matjax.training.new_elements import add_elements
from matjax.training.predictor import GraphPredictor
from matjax.training.step import init_params
from matjax.training.supervision import Supervision
from matjax.types import Crystal

SHAPE = Shape(32, 512, 9)


def predictor(model: Equivariant) -> GraphPredictor:
    """An untrained network that knows three elements."""
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), 2))
    params = init_params(keys, pack([to_graph(crystal(52), cutoff=model.cutoff)], SHAPE, cutoff=model.cutoff), model=model)
    taught = Supervision("energy_per_atom", "eV/atom", ("energy", "forces"), "relaxed", "atoms", "PBE", (8, 29, 52), 0, "", "")
    constants = {"scale": jnp.float32(1.0), "average_degree": jnp.float32(12.0)}
    return GraphPredictor(model, params, constants, References(np.arange(119.0)), taught, SHAPE)


def crystal(number: int) -> Crystal:
    return Crystal(3.2 * np.eye(3), np.array([[0.0, 0, 0], [1.5, 1.6, 1.7]]), np.array([8, number]))


@pytest.fixture(scope="module")
def known():
    return predictor(nequip("4x0e+4x1o", 2, cutoff=3.5, radial=(8,)))


def test_polonium_starts_as_tellurium(known):
    with pytest.raises(ValueError, match=r"crystal 0 has Po"):
        known([crystal(84)])
    taught = add_elements(known, ["Po"])
    a, b = known([crystal(52)]), taught([crystal(84)])
    np.testing.assert_allclose(a.samples, b.samples, atol=1e-6)
    assert taught.supervision.elements == (8, 29, 52, 84)
    np.testing.assert_array_equal(taught([crystal(52)]).samples, a.samples)


def test_the_relative_can_be_named(known):
    taught = add_elements(known, ["Po"], like={"Po": "Cu"})
    np.testing.assert_allclose(taught([crystal(84)]).samples, known([crystal(29)]).samples, atol=1e-6)


@pytest.mark.parametrize(
    ("elements", "like", "words"),
    [(["Te"], None, "Te: known"), (["Po"], {"Po": "Se"}, "does not know"), (["Xx"], None, "no element symbol")],
)
def test_what_makes_no_sense_is_refused(known, elements, like, words):
    with pytest.raises(ValueError, match=words):
        add_elements(known, elements, like=like)


def test_a_network_on_descriptors_needs_none():
    with pytest.raises(ValueError, match="as it is"):
        add_elements(predictor(Equivariant("4x0e+4x1o", 1, cutoff=3.5)), ["Po"])
