"""How cost and memory grow with the number of atoms: one crystal per batch, from 100 atoms to 20,000.

`exponent` is the slope of log CPU time over log atoms in inference (energies, forces, stress), `train_exponent` that of an update, to
5,000 atoms; `bytes_per_atom` is the largest of what XLA allots in inference over the number of atoms: arguments, results and
temporaries. Rattled fcc alloys, cutoff 5 Å, one core.

    python experiments/benchmarks/scaling.py --json
"""

import argparse
import json
import os
import time

import jax
import numpy as np
from _alloys import NUMBERS
from _ours import CUTOFF, Programs, constants

from matjax.graph import Shape, pack, to_graph
from matjax.types import Crystal

SIZES = {"infer": (3, 6, 11, 17), "train": (3, 6, 11)}  # cubes of so many fcc cells of 4 atoms: 108, 864, 5,324, 19,652
QUICK = {"infer": (3, 6, 11), "train": (3, 6)}
SMOKE = {"infer": (2, 3), "train": (2, 3)}
A = 4.0  # Å


def crystal(n: int, rng: np.random.Generator) -> Crystal:
    """A rattled fcc solid solution of n x n x n cubic cells."""
    corner = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    positions = A * (corner + basis).reshape(-1, 3)
    return Crystal(A * n * np.eye(3), positions + rng.normal(0, 0.05, positions.shape), rng.choice(NUMBERS, len(positions)))


def measure(config: str, n: int, repeats: int, train: bool) -> dict:
    """CPU seconds and memory of one crystal."""
    made = crystal(n, np.random.default_rng(n))
    graph = to_graph(made, cutoff=CUTOFF, energy=0.0, forces=np.random.default_rng(0).normal(size=(len(made), 3)))
    shape = Shape(len(made) + 8, int(graph.n_edge[0]), 2)
    batch = jax.tree.map(jax.numpy.asarray, pack([graph], shape, cutoff=CUTOFF))
    programs = Programs(config, batch, constants([graph]), only=("train" if train else "infer",))
    facts = programs.facts["train" if train else "infer"]

    def once() -> float:
        start = time.process_time()
        if train:
            programs.update(batch)
            programs.wait()
        else:
            jax.block_until_ready(programs.predict(batch))
        return time.process_time() - start

    once()
    seconds = float(np.median([once() for _ in range(repeats)]))
    return {"n_atom": len(made), "n_edge": shape.n_edge, "cpu_s": seconds, "bytes_per_atom": facts["mib"] * 2**20 / len(made), **facts}


def slope(rows: list[dict]) -> float:
    """Of log CPU time over log atoms."""
    return round(float(np.polyfit(*(np.log([r[k] for r in rows]) for k in ("n_atom", "cpu_s")), 1)[0]), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="l1", help="size of the model, as in _ours.py (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="timings of every size (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="to 5,000 atoms, training to 900")
    parser.add_argument("--smoke", action="store_true", help="a tiny model, two sizes: does it run?")
    parser.add_argument("--json", action="store_true", help="what is printed is JSON anyway")
    given = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])  # before the first computation, which counts the cores
    sizes = SMOKE if given.smoke else QUICK if given.quick else SIZES
    config, repeats = ("smoke", 2) if given.smoke else (given.config, 3 if given.quick else given.repeats)
    found = {job: [measure(config, n, repeats, job == "train") for n in cells] for job, cells in sizes.items()}
    headline = {
        "exponent": slope(found["infer"]),
        "train_exponent": slope(found["train"]),
        "bytes_per_atom": round(max(row["bytes_per_atom"] for row in found["infer"])),
        "train_bytes_per_atom": round(max(row["bytes_per_atom"] for row in found["train"])),
    }
    about = {"jax": jax.__version__, "flags": os.environ.get("XLA_FLAGS", ""), "load": os.getloadavg()}
    print(json.dumps({**headline, "raw": found, **about}))


if __name__ == "__main__":
    main()
