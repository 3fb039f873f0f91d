"""The many-body product against e3nn's tensor product written out, and against environments that lower body orders confuse."""

import functools
from typing import Any

import e3nn_jax as e3nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import to_graph
from matjax.nn import Equivariant
from matjax.nn.edge_operation import convolve
from matjax.nn.features import NodeFeatures, channels, degree
from matjax.nn.many_body import ManyBody, products
from matjax.nn.model import edge_features
from matjax.testing import check_layer, check_model
from matjax.types import Crystal, Graph

CUTOFF = 4.0
KINDS = ("0e", "1o", "2e")


@pytest.mark.parametrize("correlation", [2, 3])
def test_it_keeps_the_contract(correlation: int) -> None:
    check_layer(ManyBody("4x0e+2x1o", correlation), irreps_in="3x0e+2x1o", key=jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("irreps", "irreps_in", "correlation"),
    [("4x0e+4x1o+2x2e", "4x0e+4x1o+4x2e", 3), ("4x0e+2x0o+2x1o+2x1e", "3x0e+3x1o", 2)],
)
def test_it_keeps_the_contract_in_any_irreps(irreps: str, irreps_in: str, correlation: int) -> None:
    check_layer(ManyBody(irreps, correlation), irreps_in=irreps_in, key=jax.random.key(0))


@pytest.mark.slow
def test_a_model_with_it_keeps_the_contract() -> None:
    model = Equivariant("8x0e+4x1o", n_layer=1, n_basis=4, layers=(ManyBody("8x0e+4x1o", 3),))
    check_model(model, key=jax.random.key(0))


def random_case(irreps_in: str, irreps: str, correlation: int):
    random = np.random.default_rng(0)
    features = {ir: jnp.asarray(random.normal(size=(4, 2 * degree(ir) + 1, c))) for ir, c in channels(irreps_in).items()}
    nodes: NodeFeatures = NodeFeatures(jnp.asarray(random.normal(size=(4, 5))), jnp.ones(4, bool), jnp.ones(()))
    layer = ManyBody(irreps, correlation)
    variables = layer.init(jax.random.key(0), features, None, nodes)
    return layer, variables, features, nodes


@functools.partial(jax.jit, static_argnames="route")
def e3nn_product(left: np.ndarray, right: np.ndarray, route: tuple[str, str, str]) -> jax.Array:
    """Products [n_node, 2l+1, n_channel] of two such arrays, by e3nn."""
    a, b = (e3nn.IrrepsArray(f"1x{ir}", jnp.swapaxes(x, 1, 2)) for ir, x in zip(route[:2], (left, right), strict=True))
    product = e3nn.tensor_product(a, b, filter_ir_out=[e3nn.Irrep(route[2])], irrep_normalization="component")
    return jnp.swapaxes(product.array, 1, 2)


@pytest.mark.parametrize(("irreps", "irreps_in"), [("3x0e+3x1o+2x2e", "2x0e+3x1o+1x2e"), ("2x0e+2x0o+2x1o+2x1e", "2x0e+2x0o+2x1o+2x1e")])
def test_it_is_the_products_of_e3nn_written_out(irreps: str, irreps_in: str) -> None:
    """Path by path, weighted and summed outside."""
    with jax.enable_x64(True):
        layer, variables, features, nodes = random_case(irreps_in, irreps, 3)
        found: Any = layer.apply(variables, features, None, nodes)
        params = variables["params"]
        wanted = channels(irreps)
        n_channel, kinds = max(wanted.values()), sorted(features)
        x = {ir: np.asarray(v) @ np.asarray(params["up"][f"linear_{ir}"]["kernel"]) for ir, v in features.items()}
        kept = sorted({*kinds, *wanted})
        total, power = {ir: v.copy() for ir, v in x.items()}, x
        for order in (2, 3):
            dense = params[f"weights_{order}"]
            routes = products(tuple(sorted(power)), tuple(kinds), tuple(kept), square=order == 2)
            weights = (np.asarray(nodes.embedding) @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])).reshape(
                4, len(routes), n_channel
            )
            product = {ir: np.zeros((4, 2 * degree(ir) + 1, n_channel)) for ir in {c for _, _, c in routes}}
            for number, (a, b, c) in enumerate(routes):
                product[c] += weights[:, number, None, :] * e3nn_product(power[a], x[b], (a, b, c))
            power = {ir: v / np.sqrt(sum(c == ir for _, _, c in routes)) for ir, v in product.items()}
            for ir, v in power.items():
                total[ir] = total.get(ir, 0) + v
        for ir in wanted:
            expected = total[ir] @ np.asarray(params["mix"][f"linear_{ir}"]["kernel"])
            expected += np.asarray(features[ir]) @ np.asarray(params["skip"][f"linear_{ir}"]["kernel"])
            np.testing.assert_allclose(found[ir], expected, rtol=1e-10, atol=1e-10)


def test_a_square_has_every_coupling_once_and_none_that_is_zero() -> None:
    kinds = ("0e", "0o", "1e", "1o", "2e")
    square, general = (products(kinds, kinds, kinds, square=s) for s in (True, False))
    x = {ir: jax.random.normal(jax.random.key(i), (2 * degree(ir) + 1,)) for i, ir in enumerate(kinds)}
    value = lambda a, b, c: (
        e3nn.tensor_product(e3nn.IrrepsArray(f"1x{a}", x[a]), e3nn.IrrepsArray(f"1x{b}", x[b]), filter_ir_out=[e3nn.Irrep(c)]).array
    )
    for route in general:
        kept = route in square or (route[1], route[0], route[2]) in square
        assert kept == bool(np.abs(value(*route)).max() > 1e-5), route
    assert all((b, a, c) not in square for a, b, c in square if a != b)


def test_an_unknown_correlation_is_refused() -> None:
    with pytest.raises(ValueError, match="correlation is 4; allowed: 2 .* or 3"):
        random_case("2x0e", "2x0e", 4)


# ---------------------------------------------------------------------------------------------------------------------
# Body order


def centre(*angles: float) -> Crystal:
    """An iron atom with carbon atoms around it in a plane, all at 1.8 Å, at these angles in degrees."""
    turn = np.deg2rad(angles)
    around = 1.8 * np.stack([np.cos(turn), np.sin(turn), np.zeros(len(turn))], -1)
    numbers = np.array([26] + [6] * len(turn))
    return Crystal(20 * np.eye(3), np.concatenate([np.zeros((1, 3)), around]), numbers, np.zeros(3, bool))


@functools.partial(jax.jit, static_argnames="correlation")
def scalars(graph: Graph, correlation: int | None) -> jax.Array:
    """Scalars of the central atom: its neighbours summed once over every harmonic, then multiplied with themselves."""
    edges = edge_features(graph, KINDS, CUTOFF, 3)
    n_node = len(graph.nodes.mask)
    paths = {("0e", kind, kind): edges.basis for kind in KINDS}
    summed = convolve({"0e": jnp.ones((n_node, 1, 3))}, edges.harmonics, paths, edges.senders, edges.receivers)
    features = {path[2]: x for path, x in summed.items()}
    if correlation is None:
        return features["0e"][0]
    nodes = NodeFeatures(jnp.ones((n_node, 2)), graph.nodes.mask, jnp.ones(()))
    said, _ = ManyBody("8x0e+8x1o+8x2e", correlation).init_with_output(jax.random.key(0), features, edges, nodes)
    return said["0e"][0]


def difference(one: Crystal, two: Crystal, correlation: int | None) -> float:
    a, b = (np.asarray(scalars(to_graph(crystal, cutoff=CUTOFF), correlation)) for crystal in (one, two))
    return float(np.abs(a - b).max() / np.abs(a).max())


def test_a_square_tells_angles_apart_that_sums_over_neighbours_cannot() -> None:
    bent, straight = centre(0, 90), centre(0, 180)
    assert difference(bent, straight, None) < 1e-6
    assert difference(bent, straight, 2) > 1e-2


def test_a_cube_tells_homometric_environments_apart_that_distances_and_angles_cannot() -> None:
    """Neighbours at {0, 1, 3, 4} and {0, 1, 2, 5} eighths of a circle have the same distances and angles, and are not congruent.

    Source: the homometric pair of Patterson (1944), Phys. Rev. 65, 195, as environments that a three-body description cannot
    tell apart: Pozdnyakov et al. (2020), Phys. Rev. Lett. 125, 166001.
    """
    one, two = ((0, 1, 3, 4), (0, 1, 2, 5))
    gaps = lambda places: sorted(min((a - b) % 8, (b - a) % 8) for i, a in enumerate(places) for b in places[:i])
    assert gaps(one) == gaps(two)
    first, second = (centre(*(45 * p for p in places)) for places in (one, two))
    assert difference(first, second, None) < 1e-6
    assert difference(first, second, 2) < 1e-5
    assert difference(first, second, 3) > 1e-2
