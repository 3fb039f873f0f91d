"""Features, linear maps, norm and element embedding."""

import e3nn_jax as e3nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.data.elements import physical_features
from matjax.nn import ElementEmbedding, Equivariant, Linear, RMSNorm, from_irreps_array, to_irreps_array
from matjax.nn.features import channels

IRREPS = {"0e": 4, "1o": 3, "2e": 2}


@pytest.fixture(name="features")
def features_fixture():
    random = np.random.default_rng(0)
    return {ir: jnp.asarray(random.normal(size=(5, e3nn.Irrep(ir).dim, n)), jnp.float32) for ir, n in IRREPS.items()}


def test_features_go_to_e3nn_and_back(features) -> None:
    array = to_irreps_array(features)
    assert str(array.irreps) == "4x0e+3x1o+2x2e" and array.shape == (5, 4 + 9 + 10)
    np.testing.assert_array_equal(array.array[:, 4:7], features["1o"][:, :, 0])
    back = from_irreps_array(array)
    assert list(back) == list(features)
    jax.tree.map(np.testing.assert_array_equal, back, features)


def test_equal_irreps_are_joined_on_the_way_back() -> None:
    array = e3nn.IrrepsArray("1x1o+2x0e+1x1o", jnp.arange(8.0)[None])
    back = from_irreps_array(array)
    np.testing.assert_array_equal(back["1o"][0].T, [[0, 1, 2], [5, 6, 7]])
    np.testing.assert_array_equal(back["0e"][0, 0], [3, 4])


@pytest.mark.parametrize("text", ["32x0e+", "five", "8x0z"])
def test_what_is_no_sum_of_irreps_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="irreps"):
        channels(text)


def test_linear_mixes_channels_and_never_components(features) -> None:
    out, variables = Linear("2x0e+5x1o+1x3o").init_with_output(jax.random.key(0), features)
    assert {ir: x.shape for ir, x in out.items()} == {"0e": (5, 1, 2), "1o": (5, 3, 5)}
    kernel = variables["params"]["linear_1o"]["kernel"]
    np.testing.assert_allclose(out["1o"], np.asarray(features["1o"]) @ np.asarray(kernel), rtol=2e-5, atol=1e-6)


def test_norm_is_its_formula_whatever_the_scale(features) -> None:
    norm = RMSNorm()
    out, variables = norm.init_with_output(jax.random.key(0), features)
    for i in range(5):
        square = np.mean([np.mean(np.square(x[i])) for x in features.values()])
        for ir, x in features.items():
            np.testing.assert_allclose(out[ir][i], x[i] / np.sqrt(square + 1e-5), rtol=1e-5)
    larger = norm.apply(variables, {ir: 100.0 * x for ir, x in features.items()})
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), out, larger)
    zero = norm.apply(variables, jax.tree.map(jnp.zeros_like, features))
    assert all(not x.any() for x in jax.tree.leaves(zero))


def test_an_unseen_element_is_placed_by_its_physics() -> None:
    module = ElementEmbedding(6)
    numbers = jnp.asarray([26, 27, 8])
    out, variables = module.init_with_output(jax.random.key(0), numbers)
    assert not variables["params"]["learned"]["embedding"].any(), "the learned part starts at zero"
    slope = jax.grad(lambda p: module.apply({"params": p}, jnp.asarray([26, 8])).sum())(variables["params"])["learned"]["embedding"]
    assert sorted(np.flatnonzero(np.abs(slope).sum(1))) == [8, 26], "training moves only the elements it sees"
    near, far = np.linalg.norm(out[0] - out[1]), np.linalg.norm(out[0] - out[2])
    assert 0 < near < far, "cobalt stands nearer to iron than oxygen does"
    table = physical_features()
    assert table.dtype == np.float32 and np.isfinite(table).all()


def test_without_physics_elements_are_learned_alone() -> None:
    _, variables = ElementEmbedding(6, physical=False).init_with_output(jax.random.key(0), jnp.asarray([26]))
    assert set(variables["params"]) == {"learned", "mix"} and variables["params"]["learned"]["embedding"].any()


def test_models_compare_and_hash_by_their_settings() -> None:
    assert Equivariant() == Equivariant() and hash(Equivariant(layers=(Linear("4x0e"),))) == hash(Equivariant(layers=(Linear("4x0e"),)))
    assert Equivariant(cutoff=4.0) != Equivariant(cutoff=5.0)
