"""Training and inference of the equivariant core against its peers: same data, same batch, same size, same run.

Every model runs in a process of its own, bound to the same core (two with `--threads 2`), and is timed turn by turn with the
others, so that a busy machine slows all alike; figures are medians over the rounds. Time is processor time with one thread and wall
time with two. A ratio is our throughput over theirs, in crystals per second; that of a peer that is absent is null.

Counted: updates of Adam on energies and forces (float32, batches of 16), and energies, forces and stress (jax-md: no stress).
Not counted: reading, neighbour lists, packing, compiling. matjax runs its own training step with one member.

    python experiments/benchmarks/peers.py setup DIR
    python experiments/benchmarks/potential.py --peers DIR --json
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import _alloys
import _crystals
from _nequix_parity import parity
from _worker import Worker, throughput

COMPILED = "compile"
WEIGHTS = Path(__file__).parents[3] / "shared" / "data" / "nequix" / "nequix-oam-1-pft.nqx"
GROUPS = {  # configuration of ours: {name: (environment, file, settings)}
    "l1": {
        "nequip": ("nequip", "_nequip.py", {"config": "l1", "mode": "eager"}),
        "nequip_compiled": ("nequip", "_nequip.py", {"config": "l1", "mode": COMPILED}),
        "jaxmd": ("jaxmd", "_jaxmd.py", {"config": "l1"}),
    },
    "l2": {
        "nequip_l2": ("nequip", "_nequip.py", {"config": "l2", "mode": "eager"}),
        "nequip_l2_compiled": ("nequip", "_nequip.py", {"config": "l2", "mode": COMPILED}),
    },
    "mace": {"mace": ("mace", "_mace.py", {"config": "mace"})},
    "geometry": {"nequip": ("nequip", "_nequip.py", {"config": "l1", "mode": "eager"})},
}
OTHER = ("geometry",)  # another architecture than its peers', with its own number of parameters: its ratios say so in their names


def compare(config: str, peers: dict, given: argparse.Namespace, common: dict) -> tuple[dict, dict]:
    """Ratios and raw figures of one configuration of ours and its peers."""
    key = lambda job, name: f"{job}_{config}_vs_{name}" if config in OTHER else f"{job}_vs_{name}"
    ratios = {key(job, name): None for name in peers for job in ("train", "infer")}
    workers, raw, shared = {}, {}, {"threads": given.threads, "cache": given.cache}
    try:
        workers["ours"] = Worker(sys.executable, "_ours.py", {**common, "config": config}, flags=given.flags, **shared)
        for name, (environment, file, settings) in peers.items():
            python = given.peers / environment / "bin" / "python" if given.peers else None
            if python is None or not python.exists():
                raw[name] = {"absent": "no environment"}
            elif given.quick and settings.get("mode") == COMPILED:
                raw[name] = {"absent": "takes minutes to compile; left out by --quick"}
            else:
                try:
                    workers[name] = Worker(python, file, {**common, **settings}, flags=given.peer_flags, **shared)
                except RuntimeError as error:
                    raw[name] = {"failed": str(error)}
        found = throughput(workers, given.rounds)
        raw |= {name: {**worker.facts, **found[name]} for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.close()
    clock = "cpu" if given.threads == 1 else "wall"
    for name in found.keys() - {"ours"}:
        for job in ("train", "infer"):
            figure = f"{job}_per_{clock}_s"
            ratios[key(job, name)] = round(raw["ours"][figure] / raw[name][figure], 2)
    return ratios, raw


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments, from peers.py")
    parser.add_argument("--data", type=Path, default=_crystals.folder(), help="where the data are, or will be written (%(default)s)")
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--rounds", type=int, default=5, help="turns of every model (%(default)s)")
    parser.add_argument("--only", choices=(*GROUPS, "nequix"), action="append", help="these configurations alone; may be given again")
    parser.add_argument("--flags", default=os.environ.get("XLA_FLAGS", ""), help="XLA_FLAGS of matjax (%(default)r)")
    parser.add_argument("--peer-flags", default="--xla_cpu_experimental_ynn_fusion_type=", help="XLA_FLAGS of the peers (%(default)r)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="Nequix weights (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer batches and turns, programs from the last time, nequip eager only")
    parser.add_argument("--smoke", action="store_true", help="a tiny model of ours, no peers: does it run?")
    parser.add_argument("--json", action="store_true", help="what is printed is JSON anyway")
    given = parser.parse_args()
    given.cache = given.data / "xla" if given.quick or given.smoke else None
    if given.quick or given.smoke:
        given.rounds = min(given.rounds, 3)
    return given


def main() -> None:
    given = parsed()
    _alloys.write(given.data)
    common = {"data": str(given.data), "batch": 16, "n_batch": 1 if given.smoke else 2 if given.quick else 4}
    groups = {"smoke": {}} if given.smoke else {c: g for c, g in GROUPS.items() if not given.only or c in given.only}
    start, load = time.time(), os.getloadavg()
    ratios, raw = {}, {}
    for config, peers in groups.items():
        ours, figures = compare(config, peers, given, common)
        ratios, raw = ratios | ours, raw | {config: figures}
    if not given.smoke and (not given.only or "nequix" in given.only):
        ours, raw["nequix"] = parity(given)
        ratios |= ours
    about = {
        "threads": given.threads,
        "clock": "cpu" if given.threads == 1 else "wall",
        "rounds": given.rounds,
        "compilation_cache": given.cache is not None,
        "flags": {"matjax": given.flags, "peers": given.peer_flags},
        "load": {"before": load, "after": os.getloadavg()},
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "wall_s": round(time.time() - start, 1),
    }
    print(json.dumps({**ratios, "raw": raw, "about": about}))


if __name__ == "__main__":
    main()
