"""The contract of an equivariant layer: (features, edges, nodes) -> features."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import e3nn_jax as e3nn
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from matjax.graph import Shape, pack
from matjax.keys import child, generator
from matjax.nn.features import Features, NodeFeatures, channels, degree
from matjax.nn.model import edge_features
from matjax.testing.compare import as_double, as_dtype, assert_close, assert_dtype, assert_finite
from matjax.testing.crystals import random_crystal, random_rotation, to_double_graph
from matjax.types import Graph

CUTOFF = 4.0
N_BASIS = 5
N_EMBEDDING = 6
N_PAD = 3
SMALL = 1e-6
_EXACT = {"rtol": 1e-8, "atol": 1e-9}


class Scene(NamedTuple):
    """What a layer is shown: features {irrep: [n_node, 2l+1, n_channel]}, embedding [n_node, n_channel], a packed crystal."""

    features: dict[str, Any]
    embedding: Any
    graph: Graph


def check_layer(layer: nn.Module, *, irreps_in: str, key: jax.Array) -> None:
    """Holds a layer against the contract that `Equivariant(layers=...)` relies on.

    In double precision, with jittered parameters: rotation and inversion of the crystal turn the features and nothing else;
    the order of atoms does not matter; padding may hold anything finite; a neighbour that leaves through the cutoff fades out
    with its slope, and beyond it is not felt, so that forces have no jump; jit equals eager, and a member of a vmapped ensemble
    that member alone; first and second derivatives are finite, also where all features are zero, and the second
    the slope of the first; float32 stays float32 and
    float64 float64.

    Args:
      layer: A flax module called with (features, edges, nodes); edges carry harmonics up to the largest l of its
        input and of its attribute `irreps`, if it has one, and l = 1 at least.
      irreps_in: Features that come in, such as "8x0e+8x1o".
      key: For parameters, crystal and features.

    Raises:
      AssertionError: If it breaks the contract; the message says where.
    """
    random = generator(child(key, "scene"))
    with jax.enable_x64(True):
        scene = _scene(random, irreps_in)
        n_real = int(scene.graph.nodes.mask.sum())
        irreps = (*channels(irreps_in), *channels(getattr(layer, "irreps", irreps_in)), "1o")
        variables = as_double(_init(child(key, "init"), scene, layer=layer, irreps=irreps), random)
        run = functools.partial(_apply, layer=layer, irreps=irreps)
        real = lambda scene: {ir: np.asarray(x)[:n_real] for ir, x in run(variables, scene).items()}
        expected = real(scene)
        for ir, x in expected.items():
            assert x.ndim == 3 and x.shape[1] == 2 * degree(ir) + 1, (
                f"{ir} of the output has shape {x.shape}; it must be [n_node, 2l+1, n_channel]"
            )
        assert_finite(expected, "the output")
        turn = random_rotation(random)
        for name, matrix in (("rotation", turn), ("inversion", -np.eye(3)), ("rotation and inversion", -turn)):
            assert_close(_turned(expected, matrix), real(_turned_scene(scene, matrix)), f"not equivariant under {name}", **_EXACT)
        order = random.permutation(n_real)
        assert_close({ir: x[order] for ir, x in expected.items()}, real(_permuted(scene, order)), "the order of atoms shows", **_EXACT)
        assert_close(expected, real(_with_garbage(scene, random)), "the padding shows", **_EXACT)
        _check_cutoff(real, scene)
        eager: Any = layer.apply(variables, *_inputs(scene, irreps))
        assert_close(expected, {ir: x[:n_real] for ir, x in eager.items()}, "jit and eager differ", **_EXACT)
        zero = scene._replace(features=jax.tree.map(np.zeros_like, scene.features))
        for name, place in (("the features", scene), ("features that are all zero", zero)):
            slopes, bent = _slopes(variables, place, 0.0, layer=layer, irreps=irreps)
            assert_finite(slopes, f"gradients at {name}")
            assert_finite(bent, f"second derivatives at {name}")
        _check_curvature(functools.partial(_slopes, variables, scene, layer=layer, irreps=irreps))
        _check_members(variables, scene, layer, irreps)
        for dtype in (np.float32, np.float64):
            said = jax.eval_shape(run, as_dtype(variables, dtype), as_dtype(scene, dtype))
            assert_dtype(said, dtype, "the output")


@functools.partial(jax.jit, static_argnames=("layer", "irreps"))
def _init(key: jax.Array, scene: Scene, *, layer: nn.Module, irreps: tuple[str, ...]) -> Any:
    return layer.init(key, *_inputs(scene, irreps))


@functools.partial(jax.jit, static_argnames=("layer", "irreps"))
def _apply(variables: Any, scene: Scene, *, layer: nn.Module, irreps: tuple[str, ...]) -> Features:
    return layer.apply(variables, *_inputs(scene, irreps))  # type: ignore[return-value]


@functools.partial(jax.jit, static_argnames=("layer", "irreps"))
def _slopes(variables: Any, scene: Scene, step: float, *, layer: nn.Module, irreps: tuple[str, ...]) -> Any:
    """Gradients of the sum of squares with respect to parameters, features and edge vectors, and its Hessian times all ones.

    Taken `step` away, along all ones.
    """

    def total(place: tuple[Any, Features, jax.Array]) -> jax.Array:
        variables, features, vectors = place
        graph = scene.graph._replace(edges=scene.graph.edges._replace(vectors=vectors))
        out = _apply(variables, scene._replace(features=features, graph=graph), layer=layer, irreps=irreps)
        return sum((jnp.sum(x**2) for x in out.values()), jnp.zeros(()))

    place = jax.tree.map(lambda x: jnp.asarray(x) + step, (variables, scene.features, scene.graph.edges.vectors))
    return jax.jvp(jax.grad(total), (place,), (jax.tree.map(jnp.ones_like, place),))


def _check_curvature(slopes_at: Any) -> None:
    """Second derivatives are the change of the first: what training on forces relies on."""
    bent = slopes_at(0.0)[1]
    found = jax.tree.map(lambda a, b: (a - b) / (2 * SMALL), slopes_at(SMALL)[0], slopes_at(-SMALL)[0])
    near = {"rtol": 1e-5, "atol": 1e-6 * max(float(np.abs(x).max()) for x in jax.tree.leaves(bent))}
    assert_close(found, bent, "second derivatives are not the slope of the first", **near)


def _check_members(variables: Any, scene: Scene, layer: nn.Module, irreps: tuple[str, ...]) -> None:
    """Two members under vmap answer as each alone."""
    members = [variables, jax.tree.map(lambda x: 1.1 * x, variables)]
    scenes = [scene, scene._replace(features=jax.tree.map(lambda x: 0.9 * x, scene.features))]
    features = jax.tree.map(lambda *x: np.stack(x), *(s.features for s in scenes))
    together = _apply_members(jax.tree.map(lambda *x: np.stack(x), *members), features, scene, layer=layer, irreps=irreps)
    for i in range(2):
        alone, found = _apply(members[i], scenes[i], layer=layer, irreps=irreps), jax.tree.map(lambda x, i=i: x[i], together)
        assert_close(alone, found, "a member of a vmapped ensemble differs from that member alone", **_EXACT)


@functools.partial(jax.jit, static_argnames=("layer", "irreps"))
def _apply_members(variables: Any, features: Any, scene: Scene, *, layer: nn.Module, irreps: tuple[str, ...]) -> Any:
    run = lambda member, x: _apply(member, scene._replace(features=x), layer=layer, irreps=irreps)
    return jax.vmap(run)(variables, features)


def _inputs(scene: Scene, irreps: tuple[str, ...]) -> tuple[Any, ...]:
    edges = edge_features(scene.graph, irreps, CUTOFF, N_BASIS)
    return scene.features, edges, NodeFeatures(scene.embedding, scene.graph.nodes.mask, jnp.asarray(12.0, edges.vectors.dtype))


def _scene(random: np.random.Generator, irreps_in: str) -> Scene:
    graph = to_double_graph(random_crystal(random, (8, 22, 26, 16, 3)), CUTOFF)
    n_atom, n_edge = len(graph.nodes.mask), len(graph.senders)
    n_node = n_atom + N_PAD
    packed = pack([graph], Shape(n_node, n_edge + 2 * N_PAD, 2), cutoff=CUTOFF)
    features = {ir: random.normal(size=(n_node, 2 * degree(ir) + 1, c)) for ir, c in channels(irreps_in).items()}
    return Scene(features, random.normal(size=(n_node, N_EMBEDDING)), packed)


def _turned(features: dict[str, Any], matrix: np.ndarray) -> dict[str, Any]:
    turn = {ir: np.asarray(e3nn.Irrep(ir).D_from_matrix(jnp.asarray(matrix))) for ir in features}  # type: ignore[arg-type]
    return {ir: np.einsum("ij,njc->nic", turn[ir], x) for ir, x in features.items()}


def _turned_scene(scene: Scene, matrix: np.ndarray) -> Scene:
    return _with_vectors(scene, scene.graph.edges.vectors @ matrix.T)._replace(features=_turned(scene.features, matrix))


def _permuted(scene: Scene, order: np.ndarray) -> Scene:
    """The scene with its atoms in another order (padding stays last), edges sorted by receiver again."""
    order = np.concatenate([order, np.arange(len(order), len(scene.embedding))])
    place = np.argsort(order).astype(np.int32)
    senders, receivers = place[scene.graph.senders], place[scene.graph.receivers]
    graph = _sorted(scene.graph._replace(senders=senders, receivers=receivers))
    return Scene({ir: x[order] for ir, x in scene.features.items()}, scene.embedding[order], graph)


def _sorted(graph: Graph) -> Graph:
    """The graph with its edges in the order of their receivers."""
    sort = np.argsort(graph.receivers, kind="stable")
    edges: Any = graph.edges
    edges = edges._replace(vectors=edges.vectors[sort], pair=edges.pair[sort], first=np.argsort(sort).astype(np.int32)[edges.first])
    return graph._replace(senders=graph.senders[sort], receivers=graph.receivers[sort], edges=edges)


def _without(scene: Scene, edge: np.ndarray) -> Scene:
    """The scene where these edges are padding."""
    last = np.int32(len(scene.embedding) - 1)
    graph = scene.graph
    edges = graph.edges._replace(vectors=np.where(edge[:, None], 2 * CUTOFF, graph.edges.vectors))
    senders, receivers = (np.where(edge, last, x) for x in (graph.senders, graph.receivers))
    n_edge = graph.n_edge + np.array([-1, 1]) * edge.sum()
    return scene._replace(graph=_sorted(graph._replace(senders=senders, receivers=receivers, edges=edges, n_edge=n_edge)))


def _with_garbage(scene: Scene, random: np.random.Generator) -> Scene:
    """The scene with random numbers wherever there is padding; its edges now lie within the cutoff."""
    node, edge = ~scene.graph.nodes.mask, np.arange(len(scene.graph.senders)) >= scene.graph.n_edge[0]
    fill = lambda x, rows: np.where(rows.reshape(-1, *(1,) * (x.ndim - 1)), random.normal(size=x.shape), x)
    dirty = scene._replace(features={ir: fill(x, node) for ir, x in scene.features.items()}, embedding=fill(scene.embedding, node))
    return _with_vectors(dirty, fill(scene.graph.edges.vectors, edge))


def _check_cutoff(real: Any, scene: Scene) -> None:
    """The output as a function of the length of one pair: beyond the cutoff as if it were not there, of zero slope at it."""
    vectors = scene.graph.edges.vectors
    pair = np.asarray(scene.graph.edges.pair)
    edge = pair == pair[0]  # both directions
    direction = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    at = lambda share: real(_with_vectors(scene, np.where(edge[:, None], share * (1 + 1e-12) * CUTOFF * direction, vectors)))
    absent = real(_without(scene, edge))
    for share in (2.0, 1.0):
        assert_close(absent, at(share), "a neighbour beyond the cutoff is felt", **_EXACT)
    small = 1e-4
    change = lambda share: max(np.abs(a - b).max() for a, b in zip(at(share).values(), at(share - small).values(), strict=True))
    inside, leaving = change(0.7), change(1.0)
    assert leaving <= 1e-3 * inside + 1e-12, (
        f"a neighbour leaves the cutoff with a jump or a kink: {leaving / small:.1e} per cutoff, {inside / small:.1e} inside"
    )


def _with_vectors(scene: Scene, vectors: Any) -> Scene:
    return scene._replace(graph=scene.graph._replace(edges=scene.graph.edges._replace(vectors=vectors)))
