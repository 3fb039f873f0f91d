"""Graphs on disk are the graphs: whatever happened to the files, and whoever else writes them."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest

from matjax.graph import batches, cache, cached_graphs, shape_for, sizes_of, to_graph
from matjax.types import Crystal, Dataset

CUTOFF = 3.5


@pytest.fixture(scope="module")
def crystals(flla: Dataset):
    alone = Crystal(20 * np.eye(3), np.zeros((1, 3)), np.array([18]))
    return [*flla.crystals[:30], alone, flla.crystals[3]]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "ATOMS_PER_SHARD", 100)


def shards(folder: Path) -> list[Path]:
    return sorted(p.parent for p in folder.glob("*/*/index.npy"))


def check(found, crystals) -> None:
    assert len(found) == len(crystals)
    for i, crystal in enumerate(crystals):
        wanted = to_graph(crystal, cutoff=CUTOFF, index=i)
        assert jax.tree.structure(found[i]) == jax.tree.structure(wanted)
        jax.tree.map(np.testing.assert_array_equal, found[i], wanted)
        assert [x.dtype for x in jax.tree.leaves(found[i])] == [x.dtype for x in jax.tree.leaves(wanted)]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Crystal]:
    """Crystals whose neighbours were looked for."""
    seen, real = [], cache.neighbours
    monkeypatch.setattr(cache, "neighbours", lambda crystal, *rest: (seen.append(crystal), real(crystal, *rest))[1])
    return seen


def test_graphs_come_back_and_are_built_once(tmp_path: Path, crystals, small_shards, built) -> None:
    done: list[int] = []
    check(cached_graphs(crystals, CUTOFF, tmp_path, report=done.append), crystals)
    assert len(built) == 31, "a crystal that occurs twice is built once"
    assert len(shards(tmp_path)) == len(done) > 2 and done[-1] == 31
    built.clear()
    check(cached_graphs(crystals[::-1], CUTOFF, tmp_path), crystals[::-1])
    assert not built, "another order is the same content"
    more = [*crystals[4:9], Crystal(4 * np.eye(3), np.zeros((1, 3)), np.array([3])), *crystals[:2]]
    check(cached_graphs(more, CUTOFF, tmp_path), more)
    assert len(built) == 1, "only what is new is built"
    cached_graphs(crystals[:3], CUTOFF + 0.1, tmp_path)
    assert len(built) == 4, "another cutoff has neighbours of its own"


def test_it_is_a_sequence_that_packs_like_a_list(tmp_path: Path, crystals) -> None:
    found = cached_graphs(crystals, CUTOFF, tmp_path, label=lambda row: {"energy": float(row), "domain": row % 3})
    graphs = [to_graph(c, cutoff=CUTOFF, energy=float(i), domain=i % 3, index=i) for i, c in enumerate(crystals)]
    np.testing.assert_array_equal(sizes_of(found), sizes_of(graphs))
    assert shape_for(found, 8) == shape_for(graphs, 8)
    both = (list(batches(g, shape_for(graphs, 8), cutoff=CUTOFF)) for g in (found, graphs))
    jax.tree.map(np.testing.assert_array_equal, *both)
    part = found[20:4:-3]
    assert [int(g.globals.index[0]) for g in part] == list(range(20, 4, -3)) and len(part) == 6
    np.testing.assert_array_equal(part[1:].sizes, sizes_of(graphs[17:4:-3]))
    assert found[-1].globals.energy[0] == len(crystals) - 1
    sum_ = found[:3] + cached_graphs(crystals[5:7], CUTOFF, tmp_path)
    assert [int(g.globals.index[0]) for g in sum_] == [0, 1, 2, 0, 1] and sum_[4].globals.energy[0] == 0
    np.testing.assert_array_equal(sum_.sizes, sizes_of(graphs)[[0, 1, 2, 5, 6]])
    with pytest.raises(ValueError, match="cannot be one set"):
        _ = found + cached_graphs(crystals[:1], CUTOFF + 1, tmp_path)
    for row in (len(crystals), -len(crystals) - 1):
        with pytest.raises(IndexError):
            found[row]


def test_graphs_are_views_of_the_files(tmp_path: Path, crystals) -> None:
    vectors = cached_graphs(crystals, CUTOFF, tmp_path)[5].edges.vectors
    assert not vectors.flags.owndata and not vectors.flags.writeable


DAMAGES = {
    "truncated": lambda shard: os.truncate(shard / "vectors.npy", (shard / "vectors.npy").stat().st_size - 7),
    "empty": lambda shard: os.truncate(shard / "senders.npy", 0),
    "index truncated": lambda shard: os.truncate(shard / "index.npy", 150),
    "a file is gone": lambda shard: (shard / "pair.npy").unlink(),
    "of another length": lambda shard: np.save(shard / "first.npy", np.zeros(3, np.int32)),
    "not a number file": lambda shard: (shard / "receivers.npy").write_bytes(b"hello" * 100),
    "index changed": lambda shard: _flip(shard / "index.npy", -1),
    "edges changed": lambda shard: _flip(shard / "vectors.npy", -1),
}


def _flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_announced_and_built_again(tmp_path: Path, crystals, small_shards, caplog, damage) -> None:
    cached_graphs(crystals, CUTOFF, tmp_path)
    damage(shards(tmp_path)[1])
    check(cached_graphs(crystals, CUTOFF, tmp_path), crystals)
    assert "is damaged" in caplog.text and "built again" in caplog.text
    caplog.clear()
    check(cached_graphs(crystals, CUTOFF, tmp_path), crystals)
    assert not caplog.records, "and is sound from then on"


def test_a_full_disk_says_so_and_keeps_what_is_complete(tmp_path: Path, crystals, small_shards, built, monkeypatch) -> None:
    real, written = np.save, []

    def full(file, array) -> None:
        written.append(file)
        if len(written) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file, array)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="cannot write the graph cache: No space left.*free space or choose another folder"):
        cached_graphs(crystals, CUTOFF, tmp_path)
    monkeypatch.setattr(np, "save", real)
    assert len(shards(tmp_path)) == 1 and not list(tmp_path.glob("*/.draft-*"))
    n = len(built)
    check(cached_graphs(crystals, CUTOFF, tmp_path), crystals)
    assert 0 < len(built) - n < 31


def test_a_draft_that_was_left_behind_is_not_read_and_goes_in_time(tmp_path: Path, crystals) -> None:
    cached_graphs(crystals[:2], CUTOFF, tmp_path)
    place = shards(tmp_path)[0].parent
    for name, age in ((".draft-old", 2 * 86400), (".draft-new", 60)):
        (place / name).mkdir()
        (place / name / "index.npy").write_bytes(b"half")
        os.utime(place / name, (time.time() - age,) * 2)
    check(cached_graphs(crystals[:2], CUTOFF, tmp_path), crystals[:2])
    assert [p.name for p in place.glob(".draft-*")] == [".draft-new"], "another process may be at the new one"


def test_many_writers_agree(tmp_path: Path, crystals, small_shards) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cached_graphs(crystals, CUTOFF, tmp_path), range(4)))
    for graphs in found:
        check(graphs, crystals)


def test_a_crystal_that_moved_is_another_crystal(tmp_path: Path, crystals) -> None:
    cached_graphs(crystals[:3], CUTOFF, tmp_path)
    moved = dataclasses.replace(crystals[2], positions=crystals[2].positions + np.array([[0, 0, 1e-9]]) * np.eye(1, len(crystals[2])).T)
    check(cached_graphs([moved], CUTOFF, tmp_path), [moved])
    assert len(shards(tmp_path)) == 2


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan])
def test_a_cutoff_that_is_not_positive_is_refused(tmp_path: Path, crystals, cutoff: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        cached_graphs(crystals, cutoff, tmp_path)


KILLED = """
import sys
from matjax.data import load
from matjax.graph import cache
cache.ATOMS_PER_SHARD = 50
cache.cached_graphs(load("flla").crystals, 5.0, sys.argv[1], report=lambda done: print(done, flush=True))
"""


@pytest.mark.slow
def test_a_killed_build_goes_on_where_it_was(tmp_path: Path, flla: Dataset, built) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    crystals = flla.crystals[:200]
    found = cached_graphs(crystals, 5.0, tmp_path)
    assert len(built) < 200, "what was complete is used"
    for i in range(0, 200, 20):
        jax.tree.map(np.testing.assert_array_equal, found[i], to_graph(crystals[i], cutoff=5.0, index=i))
