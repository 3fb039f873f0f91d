"""Learning curves at equal cost: test errors of energy and forces against CPU seconds, of matjax, nequip and mace.

Every model trains on the same crystals with batches of 4, Adam, gradients clipped, one schedule (warm-up, then half a cosine
over the budget) and running averages of its parameters, which are what is tested; energies are above the same references. The
number of updates that a budget pays for is measured before the run. CPU seconds count updates with their packing, on one core;
compiling and testing are not counted.

`--set emt` (256 alloys, see `_alloys.py`), or `nbmotaw` (1,024 frames of density functional theory, see `_nbmotaw.py`), where the
trained model also meets the four-element alloy, of which it saw elements and binaries.

Models want different learning rates (weights of nequip and mace are of order one, ours smaller), so each is tried with several; its
best row counts. Every curve is a row of RESULT (JSON lines) as soon as it is there; rows that are there are not measured again.

    python experiments/benchmarks/learning.py --peers DIR --minutes 5 --result learning.jsonl
    python experiments/benchmarks/learning.py --peers DIR --minutes 5 --result learning.jsonl --set nbmotaw
"""

import argparse
import itertools
import json
import os
import sys
from pathlib import Path

import _alloys
import _crystals
import _nbmotaw
from _worker import Worker

MODELS = {  # name: (environment, file, settings); matjax runs in the environment of this script
    "matjax_l1": ("", "_ours.py", {"config": "l1"}),
    "nequip_l1": ("nequip", "_nequip.py", {"config": "l1", "mode": "eager"}),
    "nequip_l1_compiled": ("nequip", "_nequip.py", {"config": "l1", "mode": "compile"}),
    "matjax_l2": ("", "_ours.py", {"config": "l2"}),
    "nequip_l2": ("nequip", "_nequip.py", {"config": "l2", "mode": "eager"}),
    "matjax_mace": ("", "_ours.py", {"config": "mace"}),
    "mace": ("mace", "_mace.py", {"config": "mace"}),
    "geometry": ("", "_ours.py", {"config": "geometry"}),
}
N_POINT = 8  # tests along a curve


def curve(worker: Worker, seconds: float, rate: float, seed: int, others: tuple[str, ...]) -> dict:
    """Trains for so many CPU seconds; errors in meV/atom and meV/Å along the way, and in the end on the other parts of the set."""
    worker("start", n_step=1000, learning_rate=rate)
    worker("learn", n_step=8, seed=seed)
    trial = worker("learn", n_step=16, seed=seed)
    n_step = max(N_POINT, int(16 * seconds / trial["cpu"]))
    worker("start", n_step=n_step, learning_rate=rate)
    points, done, spent = [], 0, 0.0
    for k in range(1, N_POINT + 1):
        here = n_step * k // N_POINT
        spent += worker("learn", n_step=here - done, seed=seed * 1000 + k)["cpu"]
        done = here
        points.append({"cpu_s": round(spent, 1), "n_step": done, **worker("errors")["value"]})
    last = {k: points[-1][k] for k in ("energy_meV_per_atom", "forces_meV_per_A")}
    return {"n_step": n_step, "points": points, **last, **{part: worker("errors", part=part)["value"] for part in others}}


def measure(name: str, rate: float, given: argparse.Namespace) -> dict:
    """One row: a model, a budget, a learning rate, a seed."""
    environment, file, settings = MODELS[name]
    python = given.peers / environment / "bin" / "python" if environment else Path(sys.executable)
    common = {"data": str(given.data), "batch": given.batch, "n_batch": 1}
    worker = Worker(python, file, {**common, **settings}, flags="" if environment else given.flags, cache=given.data / "xla")
    try:
        others = tuple(part for part in _crystals.parts(given.data) if part not in ("train", "test"))
        found = curve(worker, 60 * given.minutes, rate, given.seed, others)
    finally:
        worker.close()
    return {**asked(name, rate, given), **found, "facts": worker.facts, "load": os.getloadavg()}


def asked(name: str, rate: float, given: argparse.Namespace) -> dict:
    """What tells one row from another."""
    return {"model": name, "set": given.set, "minutes": given.minutes, "batch": given.batch, "rate": rate, "seed": given.seed}


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments, from peers.py; those absent are left out")
    parser.add_argument("--set", choices=("emt", "nbmotaw"), default="emt", help="which crystals (%(default)s)")
    parser.add_argument("--data", type=Path, help="where the data are, or will be written (the cache; a folder for each set)")
    parser.add_argument("--source", type=Path, default=_nbmotaw.SOURCE, help="extended XYZ file of nbmotaw (%(default)s)")
    parser.add_argument("--result", type=Path, default=Path("learning.jsonl"), help="rows, one per model (%(default)s)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS], help="which (all)")
    parser.add_argument("--minutes", type=float, default=5.0, help="CPU minutes of every model (%(default)s)")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-3, 2e-2], help="peak learning rates, a row for each (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flags", default=os.environ.get("XLA_FLAGS", ""), help="XLA_FLAGS of matjax (%(default)r)")
    parser.add_argument("--smoke", action="store_true", help="a second of a tiny model, nothing is kept: does it run?")
    parser.add_argument("--json", action="store_true", help="what is printed is JSON anyway")
    given = parser.parse_args()
    given.data = given.data or _crystals.folder() / {"emt": "", "nbmotaw": "nbmotaw"}[given.set]
    return given


def main() -> None:
    given = parsed()
    if given.set == "emt":
        _alloys.write(given.data)
    else:
        _nbmotaw.write(given.data, given.source)
    if given.smoke:
        MODELS["smoke"] = ("", "_ours.py", {"config": "smoke"})
        given.minutes = 1 / 60
        print(json.dumps(measure("smoke", 5e-3, given)))
        return
    for name, rate in itertools.product(given.models, given.rates):
        environment, wanted = MODELS[name][0], asked(name, rate, given)
        rows = [json.loads(line) for line in given.result.read_text().splitlines()] if given.result.exists() else []
        row = next((r for r in rows if wanted.items() <= r.items()), None)
        if environment and not (given.peers and (given.peers / environment / "bin" / "python").exists()):
            row = {**wanted, "absent": "no environment"}
        elif row is None:
            row = measure(name, rate, given)
            with given.result.open("a") as file:
                print(json.dumps(row), file=file, flush=True)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
