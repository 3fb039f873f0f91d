"""Many devices do what one does, and nothing crosses between them that need not."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from matjax.graph import Shape, batches, pack
from matjax.nn import Equivariant
from matjax.training.mesh import check_members, make_mesh, mesh_of
from matjax.training.placement import Placement
from matjax.training.shards import collect, deal, shard_shape
from matjax.types import Output

CUTOFF = Equivariant().cutoff
WIDE = Shape(80, 1536, 17)


@pytest.fixture(scope="module")
def batch(bench):
    return next(batches(bench.graphs, WIDE, cutoff=CUTOFF))


def crystals_of(graph) -> dict[int, tuple]:
    """What identifies each real crystal of a packed batch, by its row in the data set."""
    node, edge = np.cumsum(graph.n_node) - graph.n_node, np.cumsum(graph.n_edge) - graph.n_edge
    found = {}
    for i in np.flatnonzero(graph.globals.mask):
        atoms, edges = slice(node[i], node[i] + graph.n_node[i]), slice(edge[i], edge[i] + graph.n_edge[i])
        half = slice(edge[i] // 2, (edge[i] + graph.n_edge[i]) // 2)
        ends = [graph.senders[edges] - node[i], graph.receivers[edges] - node[i]]
        pairs = [graph.edges.pair[edges] - edge[i] // 2, graph.edges.first[half] - edge[i]]
        columns = [graph.nodes.numbers[atoms], graph.edges.vectors[edges], *ends, *pairs, graph.globals.energy[i], graph.globals.domain[i]]
        found[int(graph.globals.index[i])] = tuple(np.asarray(c).tobytes() for c in columns)
    return found


@pytest.mark.parametrize("n_shard", [1, 3, 8, 40])
def test_a_batch_is_dealt_whole_and_comes_back_in_order(batch, n_shard) -> None:
    largest = Shape(int(batch.n_node[batch.globals.mask].max()), int(batch.n_edge[batch.globals.mask].max()), 1)
    shards = deal(batch, n_shard, shard_shape(WIDE, n_shard, largest), cutoff=CUTOFF)
    parts = [crystals_of(jax.tree.map(lambda x, s=s: x[s], shards.graph)) for s in range(n_shard)]
    assert sum(map(len, parts)) == batch.globals.mask.sum() and {k: v for part in parts for k, v in part.items()} == crystals_of(batch)
    said = Output(shards.graph.globals.energy[None], None, shards.graph.globals.index[None, :, :, None], shards.graph.nodes.numbers[None])
    back = collect(said, shards, batch)
    real = batch.globals.mask
    np.testing.assert_array_equal(back.energy[0, real], batch.globals.energy[real])
    np.testing.assert_array_equal(back.features[0, real, 0], batch.globals.index[real])
    np.testing.assert_array_equal(back.forces[0, batch.nodes.mask], batch.nodes.numbers[batch.nodes.mask])


def test_a_shard_without_a_crystal_is_all_padding(batch) -> None:
    shards = deal(batch, 40, shard_shape(WIDE, 40, WIDE), cutoff=CUTOFF)
    empty = np.flatnonzero((shards.crystals < 0).all(1))
    assert len(empty) == 40 - batch.globals.mask.sum()
    g = shards.graph.globals
    assert not g.mask[empty].any() and not shards.graph.nodes.mask[empty].any() and not g.weight[empty].any()
    assert (g.index[empty] == -1).all() and (g.volume[empty] == 1).all()


def test_what_does_not_fit_gets_more_room(batch) -> None:
    tight = Shape(9, 256, 9)
    shards = deal(batch, 2, tight, cutoff=CUTOFF)
    assert shards.shape.n_node > tight.n_node and (shards.crystals >= 0).sum() == batch.globals.mask.sum()


def test_a_process_reads_the_crystals_of_its_own_devices(bench, monkeypatch) -> None:
    """Two processes with two devices each: what their shards hold is what one process would have put there."""
    devices = np.array([SimpleNamespace(process_index=i // 2) for i in range(4)])[None]
    mesh = cast(Mesh, SimpleNamespace(devices=devices, shape={"member": 1, "data": 4}))
    place, rows = Placement.of(mesh, WIDE, bench.graphs, CUTOFF), list(range(9))
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    packed = lambda graphs: deal(pack(graphs, WIDE, cutoff=CUTOFF), 4, place.shape, cutoff=CUTOFF)
    whole, seen = packed([bench.graphs[i] for i in rows]), []
    for process in (0, 1):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        read = place.read(bench.graphs, rows)
        seen.append({i for i in rows if read[i] is bench.graphs[i]})
        shards = packed(read)
        for mine in (2 * process, 2 * process + 1):
            jax.tree.map(lambda a, b, s=mine: np.testing.assert_array_equal(a[s], b[s]), shards.graph, whole.graph)
    assert seen[0] | seen[1] == set(rows) and not seen[0] & seen[1] and all(seen)


def test_work_is_even(batch) -> None:
    edges = deal(batch, 4, WIDE, cutoff=CUTOFF).graph.n_edge
    mask = deal(batch, 4, WIDE, cutoff=CUTOFF).graph.globals.mask
    each = np.where(mask, edges, 0).sum(1)
    assert each.max() - each.min() <= np.where(mask, edges, 0).max(), "shards differ by at most a crystal"


def test_a_mesh_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a mesh of 2 x 4 \(member x data\) needs 8 devices; there are 1"):
        make_mesh(2, 4)
    with pytest.raises(ValueError, match="at most one of them 0"):
        make_mesh(0, 0)
    with pytest.raises(ValueError, match="such as .1, 0."):
        mesh_of((1, 2, 3), 2)
    pair = Mesh(np.array(jax.devices() * 2).reshape(2, 1), ("member", "data"))
    with pytest.raises(ValueError, match="3 members cannot be cut along a member axis of 2; train 4"):
        check_members(3, pair)


def test_one_device_needs_no_mesh() -> None:
    assert mesh_of((), 3) is None and mesh_of((1, 0), 3) is None and mesh_of((0, 1), 3) is None


@pytest.mark.slow
def test_eight_devices_are_one(tmp_path) -> None:
    """Updates and predictions, uneven and empty shards, a risk that is no mean, no collective along members, resumed fits."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.eight_devices", str(tmp_path)], capture_output=True, text=True, env=environment, cwd=root
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
