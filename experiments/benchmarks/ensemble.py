"""What an ensemble of four costs: its training step against one member's, in processor time and in memory.

`step_cost_4_over_1` is the step of four members, gradients taken one member at a time (`members_per_step=1`, the default), over the
step of a single model; `curve` has the same for two and four at a time. Every variant runs in a process of its own on one core, and
they take turns; figures are medians. Memory is what XLA allots: arguments, results and temporaries.

    python experiments/benchmarks/ensemble.py --json
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path

import _alloys
import _crystals
from _worker import Worker

VARIANTS = {"one": (1, 1), "4 by 1": (4, 1), "4 by 2": (4, 2), "4 by 4": (4, 4)}  # members, members per step


def measure(given: argparse.Namespace) -> dict:
    """CPU milliseconds per step and MiB of every variant."""
    config, n_batch = ("smoke", 1) if given.smoke else (given.config, 2)
    common = {"data": str(given.data), "batch": 16, "n_batch": n_batch, "config": config, "only": ["train"]}
    variants = dict(list(VARIANTS.items())[:2]) if given.smoke else VARIANTS
    workers, times = {}, {name: [] for name in variants}
    try:
        for name, (members, per_step) in variants.items():
            settings = {**common, "members": members, "members_per_step": per_step}
            workers[name] = Worker(sys.executable, "_ours.py", settings, threads=given.threads, flags=given.flags, cache=given.cache)
        for _ in range(given.rounds):
            for name, worker in workers.items():
                times[name].append(worker("train")["cpu"] / n_batch)
    finally:
        for worker in workers.values():
            worker.close()
    facts = {name: worker.facts for name, worker in workers.items()}
    return {name: {"step_cpu_ms": 1e3 * statistics.median(times[name]), **facts[name]["train"]} for name in variants}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=_crystals.folder(), help="where the data are, or will be written (%(default)s)")
    parser.add_argument("--config", default="l1", help="size of the model, as in _ours.py (%(default)s)")
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--rounds", type=int, default=7, help="turns of every variant (%(default)s)")
    parser.add_argument("--flags", default=os.environ.get("XLA_FLAGS", ""), help="XLA_FLAGS (%(default)r)")
    parser.add_argument("--quick", action="store_true", help="fewer turns, programs from the last time")
    parser.add_argument("--smoke", action="store_true", help="a tiny model, one variant: does it run?")
    parser.add_argument("--json", action="store_true", help="what is printed is JSON anyway")
    given = parser.parse_args()
    given.rounds = 3 if given.quick or given.smoke else given.rounds
    given.cache = given.data / "xla" if given.quick or given.smoke else None
    _alloys.write(given.data)
    found = measure(given)
    one = found["one"]
    curve = {
        name: {"cost": round(row["step_cpu_ms"] / one["step_cpu_ms"], 2), "memory": round(row["mib"] / one["mib"], 2)}
        for name, row in found.items()
        if name != "one"
    }
    headline = {"step_cost_4_over_1": curve["4 by 1"]["cost"], "memory_4_over_1": curve["4 by 1"]["memory"]}
    print(json.dumps({**headline, "curve": curve, "raw": found, "threads": given.threads, "load": os.getloadavg()}))


if __name__ == "__main__":
    main()
