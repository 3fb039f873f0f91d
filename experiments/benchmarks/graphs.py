"""Graphs at scale: how fast they are built, how full batches are, how many programs a run and a screening compile.

Prints one JSON object:

- `build_vs_vesin`: processor time of `to_graph` for 1,000 alloys of 8 to 32 atoms, cutoff 5 Å, over that of vesin's full
  neighbour list alone with one reused search object, in one thread and the same run;
- `edge_fill`: share of edges that are not padding at batch 16, the lesser of the alloys and the embedded crystals;
- `compiles_train`: programs that a training run compiled for its step;
- `compiles_screen`, `n_screened`: programs that one predictor compiled for `n_screened` crystals of 2 to 200 atoms (log-uniform),
  asked for ten thousand at a time, with the small network that was trained; `screen_fill` is their share of real edges;
- raw figures: seconds of processor time, and of reading the alloys from a graph cache.

`--quick` screens 2,000 crystals, `--smoke` 200.

    python experiments/benchmarks/graphs.py --json
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np
import vesin
from _alloys import alloy

from matjax.data import load
from matjax.graph import Shape, cached_graphs, climb, plan, shape_for, sizes_of, to_graph, to_graphs
from matjax.nn import Equivariant
from matjax.training import GraphLearner
from matjax.training.predictor import GraphPredictor
from matjax.training.step import predict_step, train_step
from matjax.types import Crystal, Dataset, Visible

CUTOFF = 5.0
METALS = (13, 28, 29, 46, 47, 78, 79)


def alloys(n: int, seed: int = 0) -> list[Crystal]:
    """Rattled, strained fcc and bcc solutions of 8 to 32 atoms."""
    rng = np.random.default_rng(seed)
    return [Crystal(a.cell.array, a.positions, a.numbers) for a in (alloy(rng) for _ in range(n))]


def candidate(rng: np.random.Generator) -> Crystal:
    """A crystal of 2 to 200 atoms (log-uniform) at 11 to 22 Å³ per atom: some sites of a rattled grid in a skewed cell."""
    n = int(np.exp(rng.uniform(np.log(2), np.log(201))))
    side = int(np.ceil(n ** (1 / 3)))
    repeat = np.array([side, side, -(-n // side**2)])
    sites = np.array(list(np.ndindex(*repeat)))[rng.permutation(repeat.prod())[:n]] + rng.normal(0, 0.08, (n, 3))
    lattice = (np.eye(3) + rng.uniform(-0.15, 0.15, (3, 3))) * repeat[:, None]
    lattice *= (n * rng.uniform(11, 22) / abs(np.linalg.det(lattice))) ** (1 / 3)
    return Crystal(lattice, sites / repeat @ lattice, rng.choice(METALS, n))


def build(crystals: list[Crystal], repeats: int = 5) -> dict:
    """Our graphs beside vesin's pairs, turn by turn; the least of each."""
    search = vesin.NeighborList(cutoff=CUTOFF, full_list=True, n_threads=1)
    raw = lambda: [search.compute(c.positions, c.lattice, c.pbc, "ijS") for c in crystals]
    ours, theirs = np.min([[_cpu(lambda: to_graphs(crystals, cutoff=CUTOFF)), _cpu(raw)] for _ in range(repeats)], axis=0)
    per_thousand = 1000 / len(crystals)
    return {
        "build_vs_vesin": round(ours / theirs, 3),
        "build_s_per_1000": round(ours * per_thousand, 4),
        "vesin_s_per_1000": round(theirs * per_thousand, 4),
    }


def cache(crystals: list[Crystal]) -> dict:
    """Writing the alloys to a graph cache, and reading all of them from it."""
    with tempfile.TemporaryDirectory() as folder:
        write = _cpu(lambda: cached_graphs(crystals, CUTOFF, folder))
        graphs = cached_graphs(crystals, CUTOFF, folder)
        first, again = (_cpu(lambda: [graphs[i] for i in range(len(graphs))]) for _ in range(2))
    return {"cache_write_s": round(write, 3), "cache_first_read_s": round(first, 3), "cache_read_s": round(again, 3)}


def fill(sizes: np.ndarray, n_epoch: int = 5) -> float:
    """Share of real edges at batch 16, over shuffled epochs."""
    shape = shape_for(sizes, 16)
    orders = [np.random.default_rng(epoch).permutation(len(sizes)) for epoch in range(n_epoch)]
    return float(np.mean([sizes[:, 1].sum() / (len(list(plan(sizes, shape, order))) * shape.n_edge) for order in orders]))


def train(crystals: list[Crystal]) -> tuple[GraphPredictor, int]:
    """A small network after two epochs, and the programs that its step compiled."""
    energy = np.random.default_rng(0).normal(size=len(crystals))
    data = Dataset(tuple(crystals), tuple(map(str, range(len(crystals)))), {"energy": energy}, {"group": np.array(["a"] * len(crystals))})
    part = data.select(range(16))
    before = train_step._cache_size()
    learner = GraphLearner(Equivariant("4x0e+4x1o", n_layer=1, cutoff=CUTOFF), members=1, n_epoch=2, batch_size=16, domain="group")
    predictor = learner(Visible(data, part, part, part), jax.random.key(0))
    return predictor, train_step._cache_size() - before


def screen(predictor: GraphPredictor, n: int, chunk: int = 10_000) -> dict:
    """Energies of n crystals, ten thousand at a time; how many programs were compiled, and how full the batches were."""
    predict_step.clear_cache()  # validation had compiled some
    start, clock = time.process_time(), time.perf_counter()
    done, made = 0, 0.0
    rng = np.random.default_rng(1)
    while done < n:
        at = time.process_time()
        crystals = [candidate(rng) for _ in range(min(chunk, n - done))]
        made += time.process_time() - at
        tell = lambda now, before=done: print(f"\r{before + now} of {n}", end="", file=sys.stderr, flush=True)
        done += int(np.isfinite(predictor(crystals, report=tell).mean).sum())
    print(file=sys.stderr)
    graphs = (to_graph(c, cutoff=CUTOFF) for c in crystals)
    packed = [(int(b.n_edge[b.globals.mask].sum()), len(b.senders)) for b in climb(graphs, predictor.shape, cutoff=CUTOFF)]
    real, room = np.sum(packed, 0)
    return {
        "compiles_screen": predict_step._cache_size(),
        "n_screened": done,
        "screen_fill": round(float(real / room), 3),
        "screen_s": round(time.process_time() - start - made, 1),
        "screen_wall_s": round(time.perf_counter() - clock, 1),
    }


def _cpu(function: Callable[[], object]) -> float:
    start = time.process_time()
    kept = function()
    spent = time.process_time() - start
    del kept
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="screen 2,000 crystals instead of 100,000")
    parser.add_argument("--smoke", action="store_true", help="screen 200 and build 100: does it run?")
    parser.add_argument("--json", action="store_true", help="what is printed is JSON anyway")
    given = parser.parse_args()
    crystals = alloys(100 if given.smoke else 1000)
    sizes = {"alloys": sizes_of(to_graphs(crystals, cutoff=CUTOFF)), "embedded": sizes_of(to_graphs(load("flla").crystals, cutoff=CUTOFF))}
    filled = {name: round(fill(s), 3) for name, s in sizes.items()}
    predictor, compiles = train(crystals[:64])
    found = {
        **build(crystals),
        "edge_fill": min(filled.values()),
        "compiles_train": compiles,
        **screen(predictor, 200 if given.smoke else 2000 if given.quick else 100_000),
        "edge_fill_of": filled,
        "training_shape": Shape(*predictor.shape)._asdict(),
        **cache(crystals),
        "jax": jax.__version__,
        "vesin": vesin.__version__,
        "backend": jax.default_backend(),
        "python": platform.python_version(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
