"""Packing: nothing lost, everything of one shape, padding that cannot be felt."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matjax.graph import Shape, batches, pack, plan, shape_for, sizes_of, to_graph
from matjax.types import Crystal, Dataset

CUTOFF = 3.5


@pytest.fixture(scope="module")
def graphs(flla: Dataset):
    return [to_graph(c, cutoff=CUTOFF, energy=float(i), index=i) for i, c in enumerate(flla.crystals[:40])]


def shape_of(batch) -> Shape:
    return Shape(len(batch.nodes.mask), len(batch.senders), len(batch.n_node))


def test_nothing_is_lost_and_every_batch_has_the_shape(graphs) -> None:
    shape = shape_for(graphs, 8)
    order = np.random.default_rng(0).permutation(len(graphs))
    packed = list(batches(graphs, shape, cutoff=CUTOFF, order=order))
    assert {shape_of(b) for b in packed} == {shape}
    seen = np.concatenate([b.globals.index[b.globals.mask] for b in packed])
    np.testing.assert_array_equal(seen, order)
    atoms = np.concatenate([b.nodes.numbers[b.nodes.mask] for b in packed])
    np.testing.assert_array_equal(atoms, np.concatenate([graphs[i].nodes.numbers for i in order]))
    assert sum(int(b.n_edge[b.globals.mask].sum()) for b in packed) == sum(int(g.n_edge[0]) for g in graphs)


def test_a_batch_unpacks_to_what_went_in(graphs) -> None:
    batch = pack(graphs[:3], shape_for(graphs, 8), cutoff=CUTOFF)
    node = edge = 0
    for i, graph in enumerate(graphs[:3]):
        n, e = int(graph.n_node[0]), int(graph.n_edge[0])
        np.testing.assert_array_equal(batch.senders[edge : edge + e], graph.senders + node)
        np.testing.assert_array_equal(batch.receivers[edge : edge + e], graph.receivers + node)
        np.testing.assert_array_equal(batch.edges.vectors[edge : edge + e], graph.edges.vectors)
        np.testing.assert_array_equal(batch.nodes.numbers[node : node + n], graph.nodes.numbers)
        assert (batch.n_node[i], batch.n_edge[i], batch.globals.energy[i]) == (n, e, i)
        node, edge = node + n, edge + e


def test_padding_is_safe(graphs) -> None:
    shape = shape_for(graphs, 8)
    batch = pack(graphs[:2], shape, cutoff=CUTOFF)
    n_node, n_edge = (int(sum(n)) for n in (batch.n_node[:2], batch.n_edge[:2]))
    assert batch.n_node.sum() == shape.n_node and batch.n_edge.sum() == shape.n_edge
    assert (batch.senders[n_edge:] == shape.n_node - 1).all() and (batch.receivers[n_edge:] == shape.n_node - 1).all()
    assert (np.diff(batch.receivers) >= 0).all(), "receivers stay sorted"
    np.testing.assert_allclose(np.linalg.norm(batch.edges.vectors[n_edge:], axis=1), 2 * CUTOFF)
    assert not batch.nodes.mask[n_node:].any() and batch.nodes.mask[:n_node].all()
    g = batch.globals
    assert g.mask.tolist() == [True] * 2 + [False] * (shape.n_graph - 2)
    for name in ("energy", "has_energy", "has_forces", "has_stress", "stress", "weight", "domain", "held_from"):
        assert not getattr(g, name)[2:].any(), f"{name} of the padding is not zero"
    assert (g.volume[2:] == 1).all() and (g.index[2:] == -1).all()


def test_what_does_not_fit_is_refused(graphs) -> None:
    largest = max(graphs, key=lambda g: int(g.n_node[0]))
    n, e = int(largest.n_node[0]), int(largest.n_edge[0])
    pack([largest], Shape(n + 1, e, 2), cutoff=CUTOFF)
    for shape in (Shape(n, e, 2), Shape(n + 1, e - 1, 2), Shape(n + 1, e, 1)):
        with pytest.raises(ValueError, match="do not fit"):
            pack([largest], shape, cutoff=CUTOFF)
        with pytest.raises(ValueError, match="do not fit"):
            list(batches([largest], shape, cutoff=CUTOFF))
    with pytest.raises(ValueError, match="no crystals to pack"):
        shape_for([], 4)


def test_batches_are_full_and_the_cap_on_crystals_holds(graphs) -> None:
    packed = list(batches(graphs, shape_for(graphs, 8), cutoff=CUTOFF))
    fill = sum(int(b.n_edge[b.globals.mask].sum()) for b in packed[:-1]) / sum(len(b.senders) for b in packed[:-1])
    assert fill > 0.6
    small = [min(graphs, key=lambda g: int(g.n_edge[0]))] * 30
    roomy = Shape(1000, 20000, 5)
    assert [int(b.globals.mask.sum()) for b in batches(small, roomy, cutoff=CUTOFF)] == [4] * 7 + [2]


def test_a_batch_of_sixteen_is_nearly_full(flla: Dataset) -> None:
    sizes = sizes_of([to_graph(c, cutoff=5.0) for c in flla.crystals[::8]])
    shape = shape_for(sizes, 16)
    assert shape.n_graph == 33
    plans = [list(plan(sizes, shape, np.random.default_rng(seed).permutation(len(sizes)))) for seed in range(5)]
    fill = [sizes[:, 1].sum() / (len(rows) * shape.n_edge) for rows in plans]
    assert np.mean(fill) >= 0.88


def test_a_plan_says_what_is_packed(graphs) -> None:
    shape, order = shape_for(graphs, 4), np.random.default_rng(1).permutation(len(graphs))
    planned = list(plan(sizes_of(graphs), shape, order))
    packed = [b.globals.index[b.globals.mask].tolist() for b in batches(graphs, shape, cutoff=CUTOFF, order=order)]
    assert planned == packed
    assert shape_for(sizes_of(graphs), 4) == shape


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 6))
def test_the_shape_of_a_run_holds_every_crystal(sizes: list[int], batch_size: int) -> None:
    line = lambda n: Crystal(np.eye(3), np.arange(n)[:, None] * np.array([[1.0, 0, 0]]), np.full(n, 6), np.zeros(3, bool))
    graphs = [to_graph(line(n), cutoff=1.5, index=i) for i, n in enumerate(sizes)]
    packed = list(batches(graphs, shape_for(graphs, batch_size), cutoff=1.5))
    assert np.concatenate([b.globals.index[b.globals.mask] for b in packed]).tolist() == list(range(len(sizes)))


def test_one_compile_inside_a_shape_and_one_more_beyond(graphs) -> None:
    count = jax.jit(lambda batch: batch.nodes.mask.sum())
    shape = shape_for(graphs, 8)
    total = sum(int(count(b)) for b in batches(graphs, shape, cutoff=CUTOFF))
    assert total == sum(int(g.n_node[0]) for g in graphs)
    assert count._cache_size() == 1
    count(pack(graphs[:1], Shape(2 * shape.n_node, shape.n_edge, shape.n_graph), cutoff=CUTOFF))
    assert count._cache_size() == 2
