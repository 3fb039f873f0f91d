"""Matrix products of fewer bits: what they change, and what they leave."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import Shape, pack, to_graph
from matjax.nn import Equivariant, evaluate
from matjax.training.economy import Economical, economical
from matjax.types import Crystal

MODEL = Equivariant("8x0e+8x1o", n_layer=3, n_basis=4)
CONSTANTS = {"average_degree": jnp.float32(20), "scale": jnp.float32(0.5)}


@pytest.fixture(scope="module")
def graph():
    random = np.random.default_rng(0)
    crystal = Crystal(6 * np.eye(3), random.uniform(0, 6, (16, 3)), np.full(16, 26))
    single = to_graph(crystal, cutoff=MODEL.cutoff, energy=1.0, forces=np.zeros((16, 3)))
    return pack([single], Shape(24, int(single.n_edge[0]) + 8 - int(single.n_edge[0]) % 2, 2), cutoff=MODEL.cutoff)


@pytest.fixture(scope="module")
def params(graph):
    return MODEL.init(jax.random.key(0), graph)["params"]


def slope(model, params, graph, derivatives=("forces",)):
    """The gradient of a loss on energies and forces, as training takes it."""

    def loss(params):
        output = evaluate(model, {"params": params, "constants": CONSTANTS}, graph, derivatives=derivatives)
        forces = 0.0 if output.forces is None else jnp.sum(output.forces**2)
        return jnp.sum(output.energy**2, where=graph.globals.mask) + forces

    return jax.grad(loss)(params)


def test_nothing_changes_by_default() -> None:
    assert economical(MODEL, "default") is MODEL


def test_the_wrapper_is_known_by_its_network(graph) -> None:
    wrapped = Economical(MODEL, "float32")
    assert wrapped.cutoff == MODEL.cutoff and wrapped.irreps == MODEL.irreps and hash(wrapped) == hash(Economical(MODEL, "float32"))
    with pytest.raises(AttributeError):
        wrapped.nothing_of_the_kind  # noqa: B018


@pytest.mark.parametrize(("matmul", "bits"), [("bfloat16", "bf16"), ("tensorfloat32", "tf32")])
def test_every_matrix_product_has_the_precision_and_results_stay_float32(graph, params, matmul, bits) -> None:
    """Lowered for a GPU: this machine's CPU need not know the product."""
    function = functools.partial(slope, Economical(MODEL, matmul), derivatives=())
    text = jax.jit(function).trace(params, graph).lower(lowering_platforms=("cuda",)).as_text()
    products, rounded = (
        text.count("stablehlo.dot_general"),
        len(re.findall(rf"lhs_precision_type = {bits}, rhs_precision_type = {bits}", text)),
    )
    assert products == rounded > 10
    plain = jax.jit(functools.partial(slope, MODEL, derivatives=())).trace(params, graph).lower(lowering_platforms=("cuda",)).as_text()
    assert "precision_type" not in plain and plain.count("stablehlo.dot_general") == products
    assert "bf16>" not in text, "no array is stored in fewer bits"


def test_the_strict_setting_asks_for_all_bits(graph, params) -> None:
    function = functools.partial(slope, Economical(MODEL, "float32"), derivatives=())
    text = jax.jit(function).trace(params, graph).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("precision = [HIGHEST, HIGHEST]") == text.count("stablehlo.dot_general") > 10


def test_refusals() -> None:
    with pytest.raises(ValueError, match="matmul is 'fp8'; allowed: default, float32, tensorfloat32, bfloat16"):
        economical(MODEL, "fp8")
    if jax.default_backend() == "cpu":
        with pytest.raises(ValueError, match="'bfloat16' needs a GPU or TPU"):
            economical(MODEL, "bfloat16")
