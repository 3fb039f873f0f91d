"""The edge operation against e3nn's tensor product and scatter, and against loops."""

import e3nn_jax as e3nn
import jax
import jax.numpy as jnp
import numpy as np

from matjax.nn.edge_operation import convolve, paths
from matjax.nn.features import degree

INPUTS, HARMONICS, OUTPUTS = ("0e", "1o", "1e"), ("0e", "1o", "2e"), ("0e", "0o", "1o", "1e", "2e")
N_NODE, N_EDGE, N_CHANNEL = 5, 11, 2


def scene(seed: int = 0):
    random = np.random.default_rng(seed)
    features = {ir: random.normal(size=(N_NODE, 2 * degree(ir) + 1, N_CHANNEL)) for ir in INPUTS}
    vectors = random.normal(size=(N_EDGE, 3))
    harmonics = {ir: e3nn.spherical_harmonics(ir, jnp.asarray(vectors), True, normalization="component").array for ir in HARMONICS}
    routes = paths(INPUTS, HARMONICS, OUTPUTS)
    weights = {p: random.normal(size=(N_EDGE, N_CHANNEL)) for p in routes}
    return features, harmonics, weights, random.integers(0, N_NODE, N_EDGE), np.sort(random.integers(0, N_NODE, N_EDGE))


def test_paths_obey_the_selection_rules() -> None:
    found = paths(INPUTS, HARMONICS, OUTPUTS)
    for a, y, b in ((a, y, b) for a in INPUTS for y in HARMONICS for b in OUTPUTS):
        triangle = abs(degree(a) - degree(y)) <= degree(b) <= degree(a) + degree(y)
        parity = (a[1] == "o") ^ (y[1] == "o") == (b[1] == "o")
        assert ((a, y, b) in found) == (triangle and parity), (a, y, b)


def test_agrees_with_e3nn_path_by_path() -> None:
    with jax.enable_x64(True):
        features, harmonics, weights, senders, receivers = scene()
        found = convolve({ir: jnp.asarray(x) for ir, x in features.items()}, harmonics, weights, senders, receivers)
        for (a, y, b), ours in found.items():
            for c in range(N_CHANNEL):
                sent = e3nn.IrrepsArray(a, jnp.asarray(features[a][senders, :, c]))
                product = e3nn.tensor_product(sent, e3nn.IrrepsArray(y, harmonics[y]), irrep_normalization="component").filter(b)
                message = product.array * weights[a, y, b][:, c][:, None]
                summed = np.zeros((N_NODE, 2 * degree(b) + 1))
                np.add.at(summed, receivers, np.asarray(message))
                np.testing.assert_allclose(ours[:, :, c], summed, rtol=1e-6, atol=1e-6, err_msg=str((a, y, b)))


def test_is_its_formula_and_keeps_unit_variance() -> None:
    with jax.enable_x64(True):
        features, harmonics, weights, senders, receivers = scene(1)
        path = ("1o", "1o", "1e")
        found = convolve({"1o": jnp.asarray(features["1o"])}, harmonics, {path: weights[path]}, senders, receivers)[path]
    expected = np.zeros((N_NODE, 3, N_CHANNEL))
    for e, (j, i) in enumerate(zip(senders, receivers, strict=True)):
        for c in range(N_CHANNEL):
            cross = np.cross(features["1o"][j, :, c], harmonics["1o"][e]) / np.sqrt(2)  # one over root two: C is normalised
            expected[i, :, c] += cross * weights[path][e, c]
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-6)


def test_a_node_without_neighbours_gets_nothing() -> None:
    with jax.enable_x64(True):
        features, harmonics, weights, _, _ = scene()
        some = {p: w for p, w in weights.items() if p[0] == "1o"}
        out = convolve({"1o": jnp.asarray(features["1o"])}, harmonics, some, np.zeros(N_EDGE, int), np.full(N_EDGE, 2))
        assert all(not np.asarray(x)[[0, 1, 3, 4]].any() and np.asarray(x)[2].any() for x in out.values())
