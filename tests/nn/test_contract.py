"""The contracts of layers and models, over what ships and what a user may bring."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import pack, shape_for, to_graphs
from matjax.nn import Convolution, Equivariant, Interaction, Linear, evaluate, nequip
from matjax.testing import check_layer, check_model
from matjax.testing.crystals import random_crystal, to_double_graph
from matjax.types import Crystal, Output


class Neighbourly(nn.Module):
    """A layer of a user's own: scalars hear the scalars of neighbours, vectors point to them."""

    @nn.compact
    def __call__(self, features, edges, nodes):
        n_node = len(nodes.mask)
        weight = nn.Dense(features["0e"].shape[-1], use_bias=False)(edges.basis)
        message = features["0e"][edges.senders] * weight[:, None, :]
        heard = jax.ops.segment_sum(message, edges.receivers, n_node) / nodes.average_degree
        pointing = jax.ops.segment_sum(message * edges.harmonics["1o"][:, :, None], edges.receivers, n_node)
        return {**features, "0e": features["0e"] + heard, "1o": Linear(f"{features['1o'].shape[-1]}x1o")({"1o": pointing})["1o"]}


def test_the_shipped_layer_keeps_the_contract() -> None:
    check_layer(Interaction("4x0e+4x1o"), irreps_in="8x0e+8x1o", key=jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "irreps_in"),
    [
        (Interaction("8x0e", radial=(8,)), "8x0e"),
        (Interaction("8x0e+4x1o+4x2e", radial=(8, 8)), "8x0e+4x1o+4x2e"),
        (Interaction("8x0e+4x0o+4x1o+4x1e"), "8x0e+4x0o+4x1o+4x1e"),
        (Interaction("8x0e+8x1o"), "4x0e"),
        (Convolution("4x0e+3x1o+2x2e", (6,)), "4x0e+4x1o"),
        (Convolution("4x0e+2x0o+2x1e", (6,), norm=False, skip="element"), "4x0e+3x1o"),
        (Neighbourly(), "8x0e+4x1o"),
    ],
)
def test_layers_keep_the_contract(layer: nn.Module, irreps_in: str) -> None:
    check_layer(layer, irreps_in=irreps_in, key=jax.random.key(1))


class Pointing(nn.Module):
    """Prefers a direction of space."""

    def __call__(self, features, edges, nodes):
        return {**features, "1o": features["1o"] + jnp.ones_like(features["1o"])}


class Crowd(nn.Module):
    """Looks at all atoms of the batch."""

    def __call__(self, features, edges, nodes):
        return {**features, "0e": features["0e"] - jnp.mean(features["0e"], axis=0, keepdims=True)}


class Abrupt(nn.Module):
    """Hears neighbours until they are suddenly gone."""

    def __call__(self, features, edges, nodes):
        near = (edges.lengths < 4.0).astype(edges.lengths.dtype)[:, None, None]
        return {"0e": jax.ops.segment_sum(near * features["0e"][edges.senders], edges.receivers, len(nodes.mask))}


class Farsighted(nn.Module):
    """Hears padding edges."""

    def __call__(self, features, edges, nodes):
        far = jnp.exp(-edges.lengths)[:, None, None]
        return {"0e": jax.ops.segment_sum(far * features["0e"][edges.senders], edges.receivers, len(nodes.mask))}


class Sharp(nn.Module):
    """Has no slope at zero."""

    def __call__(self, features, edges, nodes):
        length = jnp.sqrt(jnp.sum(features["1o"] ** 2, axis=1, keepdims=True))
        return {**features, "0e": features["0e"] + length}


class Numbered(nn.Module):
    """Tells the first atom from the last."""

    def __call__(self, features, edges, nodes):
        place = jnp.arange(len(nodes.mask), dtype=nodes.embedding.dtype)
        return {**features, "0e": features["0e"] * place[:, None, None]}


class Coarse(nn.Module):
    """Works in single precision whatever comes in."""

    def __call__(self, features, edges, nodes):
        return {ir: x.astype(jnp.float32) for ir, x in features.items()}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Pointing(), "not equivariant under rotation"),
        (Crowd(), "padding shows"),
        (Abrupt(), "jump or a kink"),
        (Farsighted(), "beyond the cutoff is felt"),
        (Sharp(), "not finite"),
        (Numbered(), "order of atoms shows"),
        (Coarse(), "not equivariant|float32"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, nn.Module) else None,
)
def test_contract_of_layers_can_fail(layer: nn.Module, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_layer(layer, irreps_in="4x0e+4x1o", key=jax.random.key(2))


def test_the_shipped_model_keeps_the_contract() -> None:
    check_model(Equivariant("8x0e+8x1o", n_layer=1, n_basis=4, variance=True), key=jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        Equivariant("8x0e+4x1o+4x2e", n_layer=1, n_basis=4, radial=(8,), physical=False),
        Equivariant("8x0e+4x0o+4x1o+4x1e", n_layer=2, n_basis=4, learned=False, layers=(Neighbourly(),)),
        nequip("4x0e+3x1o+2x2e", 2, n_basis=4, radial=(8,), skip="element", norm=False, wall=True),
    ],
    ids=lambda m: f"{m.irreps}-{m.n_layer}-{len(m.layers)}",
)
def test_models_keep_the_contract(model: Equivariant) -> None:
    check_model(model, key=jax.random.key(1))


class Field(nn.Module):
    """Edges have an energy in a field along z: breaks rotation."""

    cutoff: float = 4.0

    @nn.compact
    def __call__(self, graph):
        strength = self.param("strength", nn.initializers.ones, ())
        owner = jnp.repeat(jnp.arange(len(graph.n_node)), graph.n_edge, total_repeat_length=len(graph.senders))
        energy = jax.ops.segment_sum(strength * graph.edges.vectors[:, 2] ** 2, owner, len(graph.n_node))
        return Output(energy, None, energy[:, None])


def test_contract_of_models_can_fail() -> None:
    with pytest.raises(AssertionError, match="rotation"):
        check_model(Field(), key=jax.random.key(0))


@pytest.mark.parametrize(("irreps", "n_layer"), [("4x0e", 1), ("4x0e+2x1o+2x2e", 2), ("4x0e+2x0o+2x1o+2x1e", 3)])
def test_models_of_any_irreps_answer_alike_from_every_side(irreps: str, n_layer: int) -> None:
    """The contract in short (in full it is slow): a crystal and its turned mirror image in one batch, all irreps in use."""
    model = Equivariant(irreps, n_layer=n_layer, n_basis=3)
    random = np.random.default_rng(0)
    crystal, (turn, _) = random_crystal(random, (8, 22, 26)), np.linalg.qr(random.normal(size=(3, 3)))
    pair = to_graphs([crystal, Crystal(crystal.lattice @ -turn.T, crystal.positions @ -turn.T, crystal.numbers)], cutoff=model.cutoff)
    batch = pack(pair, shape_for(pair, 2), cutoff=model.cutoff)
    said, variables = jax.jit(model.init_with_output)(jax.random.key(0), batch)
    np.testing.assert_allclose(said.energy[1], said.energy[0], rtol=1e-4, atol=1e-5)
    assert abs(float(said.energy[0])) > 1e-3
    last = variables["params"][f"interaction_{n_layer - 1}"]["norm"]
    assert {f"gain_{part.split('x')[1]}" for part in irreps.split("+")} == set(last), "an irrep that was asked for is missing"


def test_an_unknown_derivative_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown derivative.*magmoms.*allowed: forces, stress"):
        evaluate(Equivariant(), {}, to_double_graph(random_crystal(np.random.default_rng(0), (8,)), 4.0), derivatives=("magmoms",))
