"""The contract of models catches what it says: a pair potential that breaks one law and no other is refused, with the law's name."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.nn.head import Head
from matjax.testing import check_model
from matjax.testing.crystals import random_rotation
from matjax.testing.heads import turned
from matjax.types import Output

CUTOFF = 3.5


def smooth(u):
    """Of the distance inside the cutoff."""
    return u**3


def vectors_of(graph, owner, n):
    """Per crystal: squares of edge vectors, component by component. Turns with nothing."""
    return jax.ops.segment_sum(graph.edges.vectors**2 * fade(graph), owner, n)


def tensor_of(graph, owner, n):
    """Per crystal: a symmetric tensor, the sum of v v^T over edges."""
    v = graph.edges.vectors
    return jax.ops.segment_sum(v[:, :, None] * v[:, None, :] * fade(graph)[..., None], owner, n)


def pull_of(graph, owner, n):
    """Per atom: the sum of the vectors to its neighbours."""
    return jax.ops.segment_sum(graph.edges.vectors * fade(graph), graph.receivers, len(graph.nodes.mask))


def fade(graph):
    lengths = jnp.sqrt(jnp.sum(graph.edges.vectors**2, -1, keepdims=True))
    return jnp.maximum(CUTOFF - lengths, 0) ** 3


class Pairs(nn.Module):
    """A pair potential; `answers` makes one head of what it is given."""

    potential: Callable = smooth
    answers: Callable | None = None
    heads: tuple[Head, ...] = ()
    cutoff: float = CUTOFF

    @nn.compact
    def __call__(self, graph):
        strength = self.param("strength", nn.initializers.ones, ())
        n_graph = len(graph.n_node)
        owner = jnp.repeat(jnp.arange(n_graph), graph.n_edge, total_repeat_length=len(graph.senders))
        lengths = jnp.sqrt(jnp.sum(graph.edges.vectors**2, -1))
        inside = jnp.maximum(self.cutoff - lengths, 0)
        z = graph.nodes.numbers.astype(lengths.dtype)
        pair = z[graph.senders] * z[graph.receivers] * self.potential(inside)
        energy = strength * jax.ops.segment_sum(pair, owner, n_graph)
        heads = {} if self.answers is None else {"answer": self.answers(graph, owner, n_graph)}
        return Output(energy, None, (energy / jnp.maximum(graph.n_node, 1))[:, None], heads=heads)


@jax.custom_jvp
def stiff(u):
    return u**3


@stiff.defjvp
def _(primals, tangents):
    return stiff(*primals), jax.lax.stop_gradient(3 * primals[0] ** 2) * tangents[0]


@jax.custom_batching.custom_vmap
def company(x):
    return jnp.zeros_like(x)


@company.def_vmap
def _(axis_size, in_batched, x):
    return jnp.ones_like(x), True


def core(u):
    """A hard core below 1 Å that ends like (1 - r)^1.5, where no atoms are."""
    return u**3 + jnp.maximum(1.0 - (CUTOFF - u), 0) ** 1.5


@pytest.mark.parametrize(
    "model",
    [
        Pairs(),
        Pairs(answers=tensor_of),
        Pairs(answers=tensor_of, heads=(Head("answer", "0e+2e", reduce="sum"),)),
        Pairs(answers=pull_of, heads=(Head("answer", "1o", per="atom"),)),
    ],
    ids=("no head", "head without a description", "tensor", "vector per atom"),
)
def test_the_sound_ones_pass(model: Pairs) -> None:
    check_model(model, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Pairs(lambda u: (u > 0).astype(u.dtype) * (1 + u)), "enters the cutoff with a jump of the energy"),
        (Pairs(lambda u: u), "enters the cutoff with a jump of the forces"),
        (Pairs(core), "second derivatives: .*not finite"),
        (Pairs(stiff), "second derivatives are not the slope of the first"),
        (Pairs(answers=vectors_of), "rotation: the answer"),
        (Pairs(answers=tensor_of, heads=(Head("answer", "0e+2e"),)), "supercell: the answer"),
        (Pairs(answers=pull_of, heads=(Head("answer", "1e", per="atom"),)), "inversion: the answer"),
    ],
    ids=("energy jumps", "forces jump", "infinite curvature", "wrong curvature", "no vector", "not intensive", "no pseudo-vector"),
)
def test_a_broken_model_is_caught(model: Pairs, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_model(model, key=jax.random.key(0))


class Together(nn.Module):
    """Knows that it is one of several members."""

    cutoff: float = CUTOFF

    @nn.compact
    def __call__(self, graph):
        said = Pairs(name="pairs")(graph)
        return said._replace(energy=said.energy + company(jax.lax.stop_gradient(said.energy)))


def test_members_that_know_of_each_other_are_caught() -> None:
    with pytest.raises(AssertionError, match="a member of a vmapped ensemble differs"):
        check_model(Together(), key=jax.random.key(0))


def test_a_described_head_turns_as_its_cartesian_tensor_does() -> None:
    """Irreps and axes say the same of polar vectors and of symmetric tensors; a pseudo-vector and a pseudo-scalar know inversion."""
    random = np.random.default_rng(0)
    matrix, vector, tensor = random_rotation(random), random.normal(size=(2, 3)), random.normal(size=(1, 3, 3))
    tensor = tensor + np.swapaxes(tensor, 1, 2)
    heads = {"vector": vector, "tensor": tensor}
    known = {"vector": Head("vector", "1o", per="atom"), "tensor": Head("tensor", "0e+2e")}
    for turn in (matrix, -matrix):
        by_axes, by_irreps = turned(heads, {}, turn), turned(heads, known, turn)
        np.testing.assert_allclose(by_axes["vector"], vector @ turn.T, atol=1e-6)
        np.testing.assert_allclose(by_axes["tensor"][0], turn @ tensor[0] @ turn.T, atol=1e-6)
        for name in heads:
            np.testing.assert_allclose(by_irreps[name], by_axes[name], atol=1e-5)
    pseudo = {"axis": Head("axis", "1e"), "handedness": Head("handedness", "0o")}
    values = {"axis": vector[:1], "handedness": np.ones(1)}
    mirrored = turned(values, pseudo, -np.eye(3))
    np.testing.assert_allclose(mirrored["axis"], vector[:1], atol=1e-6)
    np.testing.assert_allclose(mirrored["handedness"], -1, atol=1e-6)
