"""Order, shares and background work: the same batches on every machine, each crystal once."""

import threading
import time
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from matjax.graph import Shape, batches, epoch_batches, epoch_plan, prefetch, shape_for, sizes_of, to_graph
from matjax.keys import child, generator
from matjax.types import Dataset

CUTOFF = 3.5
KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def graphs(flla: Dataset):
    return [to_graph(c, cutoff=CUTOFF, index=i) for i, c in enumerate(flla.crystals[:50])]


def rows_of(packed) -> list[list[int]]:
    return [b.globals.index[b.globals.mask].tolist() for b in packed]


def test_an_epoch_is_a_permutation_by_key_and_epoch(graphs) -> None:
    shape = shape_for(graphs, 4)
    packed = rows_of(epoch_batches(graphs, shape, 2, cutoff=CUTOFF, key=KEY))
    order = generator(child(KEY, "epoch", 2)).permutation(len(graphs))
    assert packed == rows_of(batches(graphs, shape, cutoff=CUTOFF, order=order))
    assert packed == rows_of(epoch_batches(graphs, shape, 2, cutoff=CUTOFF, key=KEY))
    assert packed != rows_of(epoch_batches(graphs, shape, 3, cutoff=CUTOFF, key=KEY))


def test_a_stopped_epoch_goes_on_at_its_batch(graphs) -> None:
    shape = shape_for(graphs, 4)
    whole = list(epoch_batches(graphs, shape, 0, cutoff=CUTOFF, key=KEY))
    rest = list(epoch_batches(graphs, shape, 0, 5, cutoff=CUTOFF, key=KEY))
    assert 0 < len(rest) == len(whole) - 5
    jax.tree.map(np.testing.assert_array_equal, rest, whole[5:])


@pytest.mark.parametrize("n_host", [1, 2, 3, 7, 50])
def test_hosts_share_an_epoch(graphs, n_host: int) -> None:
    sizes, shape = sizes_of(graphs), shape_for(graphs, 4)
    plans = [epoch_plan(sizes, shape, 1, host, n_host, key=KEY) for host in range(n_host)]
    assert len({len(p) for p in plans}) == 1, "as many batches on every host"
    rows = [i for p in plans for batch in p for i in batch]
    assert sorted(rows) == list(range(len(graphs))), "each crystal on one host, once"
    assert all(batch for p in plans for batch in p)
    shares = [rows_of(epoch_batches(graphs, shape, 1, 0, host, n_host, cutoff=CUTOFF, key=KEY)) for host in range(min(n_host, 3))]
    assert shares == plans[:3]


def test_impossible_shares_are_refused(graphs) -> None:
    sizes, shape = sizes_of(graphs), Shape(200, 5000, 9)
    for host, n_host in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="counted from 0"):
            epoch_plan(sizes, shape, 0, host, n_host, key=KEY)
    with pytest.raises(ValueError, match="50 crystals cannot be shared among 51 hosts"):
        epoch_plan(sizes, shape, 0, 0, 51, key=KEY)


def test_prefetch_keeps_order_and_is_bounded() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for i in range(20):
            made.append(i)
            yield i

    ready = prefetch(source(), ahead=3)
    assert not made, "nothing happens before the first item is asked for"
    taken = []
    for item in ready:
        taken.append(item)
        assert len(made) <= len(taken) + 3
    assert taken == list(range(20))
    with pytest.raises(ValueError, match="ahead is 0"):
        prefetch(source(), ahead=0)


def test_prefetch_works_while_the_taker_does() -> None:
    in_background = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        in_background.set()
        yield 1

    ready = prefetch(source())
    assert next(ready) == 0
    assert in_background.wait(10), "the second item is made before it is asked for"
    assert list(ready) == [1]


def test_an_exception_arrives_in_its_place() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("third")

    taken = []
    with pytest.raises(KeyError, match="third"):
        taken.extend(item for item in prefetch(source(), ahead=2))
    ready = prefetch(source(), ahead=5)
    assert [next(ready), next(ready)] == [1, 2]
    with pytest.raises(KeyError, match="third"):
        next(ready)


def test_the_thread_ends_when_its_taker_stops() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield threading.get_ident()

    def interrupted(ready: Iterator[int]) -> None:
        for _ in ready:
            raise KeyboardInterrupt

    before = threading.active_count()
    ready = prefetch(endless())
    assert next(ready) != threading.get_ident()
    ready.close()
    with pytest.raises(KeyboardInterrupt):
        interrupted(prefetch(endless()))
    until = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= before
