"""A stream of crystals of any size: nothing lost, few shapes, full batches."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest

from matjax.graph import Shape, batches, climb, rung, sizes_of, to_graph
from matjax.types import Crystal, Graph

CUTOFF = 1.5
FIRST = Shape(64, 256, 33)


def line(n: int) -> Crystal:
    """A chain of n atoms, 2 (n - 1) edges."""
    return Crystal(np.eye(3), np.arange(n)[:, None] * np.array([[1.0, 0, 0]]), np.full(n, 6), np.zeros(3, bool))


LINES = {n: to_graph(line(n), cutoff=CUTOFF) for n in range(2, 201)}


def stream(sizes: np.ndarray) -> Iterator[Graph]:
    for i, n in enumerate(sizes):
        graph = LINES[int(n)]
        yield graph._replace(globals=graph.globals._replace(index=np.array([i], np.int32)))


def shape_of(batch: Graph) -> Shape:
    return Shape(len(batch.nodes.mask), len(batch.senders), len(batch.n_node))


def test_a_stream_of_mixed_sizes_is_packed_whole_into_few_full_shapes() -> None:
    sizes = np.random.default_rng(0).integers(2, 201, 1500)
    packed = list(climb(stream(sizes), FIRST, cutoff=CUTOFF, announce=[].append))
    index = np.concatenate([b.globals.index[b.globals.mask] for b in packed])
    np.testing.assert_array_equal(np.sort(index), np.arange(len(sizes)))
    n_node = np.concatenate([b.n_node[b.globals.mask] for b in packed])
    np.testing.assert_array_equal(n_node, sizes[index])
    assert len({shape_of(b) for b in packed}) <= 6
    assert sizes.sum() / sum(len(b.nodes.mask) for b in packed) > 0.85
    again = climb(stream(sizes), FIRST, cutoff=CUTOFF, announce=[].append)
    assert index.tolist() == [i for b in again for i in b.globals.index[b.globals.mask]], "the same stream, the same batches"


def test_with_one_open_batch_what_fits_is_packed_first_in_first_out() -> None:
    graphs = list(stream(np.random.default_rng(1).integers(2, 40, 60)))
    for one, other in zip(climb(graphs, FIRST, cutoff=CUTOFF, n_open=1), batches(graphs, FIRST, cutoff=CUTOFF), strict=True):
        np.testing.assert_array_equal(one.globals.index, other.globals.index)
        assert shape_of(one) == FIRST


def test_small_crystals_fill_the_batch_of_a_large_one() -> None:
    packed = list(climb(stream(np.array([150, 10, 20])), FIRST, cutoff=CUTOFF, announce=[].append))
    assert len(packed) == 1 and packed[0].globals.mask.sum() == 3


def test_a_rung_is_the_lowest_that_holds_a_crystal() -> None:
    assert rung(FIRST, 63, 256) == FIRST
    for n_node, n_edge in ((64, 10), (10, 257), (500, 3), (5000, 90000)):
        shape, below = rung(FIRST, n_node, n_edge), rung(FIRST, n_node // 2, n_edge // 2)
        assert n_node <= shape.n_node - 1 and n_edge <= shape.n_edge and below < shape
        assert shape.n_node % 16 == 0 and shape.n_edge % 256 == 0
    reached = {rung(FIRST, n, 2 * n) for n in range(2, 201)}
    assert len(reached) == 5, "63 atoms times the square root of two, four times"
    with pytest.raises(ValueError, match="must grow"):
        rung(FIRST, 100, 10, growth=1.0)
    with pytest.raises(ValueError, match="n_open is 0"):
        next(climb(stream(np.array([3])), FIRST, cutoff=CUTOFF, n_open=0))


def test_a_new_rung_is_announced_once(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []
    list(climb(stream(np.array([10, 150, 12, 150, 150])), FIRST, cutoff=CUTOFF, announce=heard.append))
    assert len(heard) == 1 and "larger than a batch of 63 atoms and 256 edges" in heard[0]
    with caplog.at_level(logging.WARNING, "matjax"):
        for _ in range(2):
            list(climb(stream(np.array([101])), FIRST, cutoff=CUTOFF))
    assert [r.message for r in caplog.records if "program" in r.message] == [heard[0].replace("191", "127").replace("768", "512")]


def test_more_open_batches_are_fuller() -> None:
    sizes = np.random.default_rng(2).integers(2, 60, 600)
    n_batch = [sum(1 for _ in climb(stream(sizes), FIRST, cutoff=CUTOFF, n_open=n)) for n in (1, 2, 8)]
    assert n_batch[0] > n_batch[1] > n_batch[2]


def test_a_stream_is_not_read_ahead() -> None:
    read = []

    def watched() -> Iterator[Graph]:
        for graph in stream(np.full(1000, 30)):
            read.append(graph)
            yield graph

    next(climb(watched(), FIRST, cutoff=CUTOFF, n_open=4))
    assert len(read) == 9, "two fill a batch, four batches may be open"
    assert sizes_of(read).tolist() == [[30, 58]] * 9
