"""Batches of an epoch, in an order that depends on (key, epoch) alone, made while the device works.

Batches are planned from sizes before a graph is touched. So the plan is the same on every host and in every run, a run that
was stopped goes on at batch k exactly, and hosts get disjoint shares of equal length. With `cached_graphs` the graphs lie on
disk and are memory-mapped: a random read costs a page fault, which leaves nothing for a loading library to do (an order by
record files, worker processes, state of iterators), and none is needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import jax
import numpy as np

from matjax.graph.pack import Shape, pack, plan, sizes_of
from matjax.keys import child, generator
from matjax.types import Graph

T = TypeVar("T")


def epoch_plan(sizes: np.ndarray, shape: Shape, epoch: int, host: int = 0, n_host: int = 1, *, key: jax.Array) -> list[list[int]]:
    """Rows of every batch of an epoch on one host.

    All hosts have the same number of batches, and each graph is in one batch of one host. Where batches do not divide by the
    hosts, the one with most graphs is split in two until they do.

    Args:
      sizes: Atoms and edges of each graph [n, 2].
      shape: Room of a batch.
      epoch: Number of the epoch.
      host: Which host this is, from 0.
      n_host: How many there are.
      key: Of the order; the same on every host.

    Raises:
      ValueError: If there is no such host, or fewer graphs than hosts.
    """
    if not 0 <= host < n_host:
        raise ValueError(f"host {host} of {n_host}: hosts are counted from 0")
    if len(sizes) < n_host:
        raise ValueError(f"{len(sizes)} crystals cannot be shared among {n_host} hosts; each needs at least one")
    batches = list(plan(sizes, shape, generator(child(key, "epoch", epoch)).permutation(len(sizes))))
    while len(batches) % n_host:
        k = int(np.argmax([len(rows) for rows in batches]))
        rows, half = batches[k], len(batches[k]) // 2
        batches[k : k + 1] = [rows[:half], rows[half:]]
    return batches[host::n_host]


def epoch_batches(
    graphs: Sequence[Graph],
    shape: Shape,
    epoch: int,
    start: int = 0,
    host: int = 0,
    n_host: int = 1,
    *,
    cutoff: float,
    key: jax.Array,
    read: Callable[[Sequence[Graph], Sequence[int]], list[Graph]] | None = None,
) -> Iterator[Graph]:
    """Packed batches of an epoch on one host, from batch `start` on, packed in the background.

    Args:
      graphs: A list, or cached graphs.
      shape: Shape of every batch.
      epoch: Number of the epoch.
      start: Batches that were used already.
      host: Which host this is, from 0.
      n_host: How many there are.
      cutoff: In Å.
      key: Of the order; the same on every host.
      read: Gets the graphs of some rows; None: all of them.
    """
    todo = epoch_plan(sizes_of(graphs), shape, epoch, host, n_host, key=key)[start:]
    read = read or (lambda graphs, rows: [graphs[i] for i in rows])
    return prefetch(pack(read(graphs, rows), shape, cutoff=cutoff) for rows in todo)


def prefetch(items: Iterable[T], ahead: int = 2) -> Iterator[T]:
    """The same items in the same order, made by a background thread that is at most `ahead` items early.

    An exception of the iterable is raised where its item would have come. The thread ends with the iterator: at its end, when
    it is closed or dropped, and on ctrl-C.

    Args:
      items: Anything that takes time to iterate over; nobody else may touch it meanwhile.
      ahead: Items that wait to be taken.

    Raises:
      ValueError: If `ahead` is not positive.
    """
    if ahead < 1:
        raise ValueError(f"ahead is {ahead}; at least one item must be on its way")
    return _prefetched(iter(items), ahead)


def _prefetched(source: Iterator[T], ahead: int) -> Iterator[T]:
    end = object()
    pool = ThreadPoolExecutor(1, "prefetch")
    try:
        waiting = deque(pool.submit(next, source, end) for _ in range(ahead))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, source, end))
            yield item  # type: ignore[misc]  # it is not the end
    finally:
        pool.shutdown(cancel_futures=True)
