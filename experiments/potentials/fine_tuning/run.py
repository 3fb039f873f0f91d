"""What do a few labelled cells buy a universal potential, fine-tuned whole or with a frozen body?

Nequix on Nb-Mo-Ta-W cells labelled by PBE: as it came, and fine-tuned on N cells of the elements (in motion) and of random binaries;
tested on ordered binaries and on the four-element alloy at high temperature, which is never trained on. Energies and forces. Rows
are kept as they come: a run that is stopped goes on with the next.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matjax.data.read import read
from matjax.keys import child, generator
from matjax.training import AdamW, GraphLearner, GraphPredictor
from matjax.training.pretrained import potential
from matjax.training.supervision import target_per_atom
from matjax.types import Dataset, Visible

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[3] / "shared" / "data"
DATA, WEIGHTS = SHARED / "nbmotaw" / "nbmotaw_pbe.extxyz.gz", SHARED / "nequix"
BODY = ("element", "layers_0", "layers_1", "layers_2")
METHODS = {"full": (), "frozen body": BODY}  # name: parameters that keep their values
BATCH = 4
N_EPOCH = {10: 10, 100: 3}  # cells: passes over them
N_CHOOSE = 6  # more cells, which choose the epoch


def split(data: Dataset, n_train: int, n_test: int, key: jax.Array) -> tuple[Dataset, Dataset, dict[str, Dataset]]:
    """Cells to train on, cells that choose the epoch, and {part: cells to test on}."""
    group = data.domains["group"].astype(str)
    ends = lambda *tails: np.flatnonzero([g.endswith(tails) for g in group])
    pairs = np.array([len(set(c.numbers.tolist())) == 2 for c in data.crystals])
    shuffled = lambda rows, name: generator(child(key, name)).permutation(rows)
    known = shuffled(ends("_SS", "_AIMD"), "train")
    ordered = [i for i in shuffled(ends("_Test"), "test") if pairs[i]][:n_test]
    alloy = np.flatnonzero(group == "Multinary_Test")[: n_test * 16 // 100]
    tests = {"binary": data.select(ordered), "quaternary": data.select(alloy)}
    tests = {part: test for part, test in tests.items() if len(test)}
    return data.select(known[N_CHOOSE:][:n_train]), data.select(known[:N_CHOOSE]), tests


def judge(predictor: GraphPredictor, tests: dict[str, Dataset]) -> dict[str, float]:
    """Mean absolute errors in meV/atom and meV/Å."""
    found = {}
    for part, test in tests.items():
        said = predictor(test.crystals, derivatives=("forces",))
        error = said.mean - target_per_atom(test, "energy")
        found[f"{part}_energy"] = 1e3 * float(np.abs(error).mean())
        found[f"{part}_energy_bias"] = 1e3 * float(error.mean())
        found[f"{part}_forces"] = 1e3 * float(np.abs(said.forces[0] - np.concatenate(test.labels["forces"])).mean())
    return {name: round(value, 2) for name, value in found.items()}


def tuned(start: GraphPredictor, asked: dict[str, Any], train: Dataset, choose: Dataset, n_epoch: int, key: jax.Array) -> GraphPredictor:
    """The potential after so many passes over the cells."""
    learner = GraphLearner(
        model=start.model,
        optimizer=AdamW(asked["rate"], weight_decay=0.0, frozen=METHODS[asked["method"]]),
        members=1,
        n_epoch=n_epoch,
        batch_size=BATCH,
    )
    none = train.select(range(0))
    return learner.fit(Visible(train, choose, none, none), key, start=start)


def row(start: GraphPredictor, data: Dataset, asked: dict[str, Any], n_test: int, n_epoch: int) -> dict[str, Any]:
    """One line of the result."""
    key = child(jax.random.key(asked["seed"]), "fine tuning")
    train, choose, tests = split(data, asked["n"], n_test, key)
    begun = time.process_time()
    predictor = start if asked["method"] == "as it came" else tuned(start, asked, train, choose, n_epoch, key)
    fit = time.process_time() - begun
    sizes = {f"n_{part}": len(test) for part, test in tests.items()}
    return {**asked, **judge(predictor, tests), "n_epoch": n_epoch, "fit_cpu_s": round(fit, 1), **sizes}


def main() -> None:
    """Writes result.json beside this file, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nequix-oam-1-pft", help="name of a potential (%(default)s)")
    parser.add_argument("--rate", type=float, default=1e-5, help="peak learning rate (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="ten cells, the frozen body, few tests, nothing written")
    parser.add_argument("--smoke", action="store_true", help="the potential as it came, on a cell or two, nothing written")
    parser.add_argument("--json", action="store_true", help="print the rows")
    chosen = parser.parse_args()
    if not DATA.exists():
        print(json.dumps({"skipped": f"{DATA} is not here"}))
        return
    start, data = potential(chosen.model, folder=WEIGHTS if WEIGHTS.exists() else None), read(str(DATA))
    kept = HERE / "result.json"
    small = chosen.quick or chosen.smoke
    rows = json.loads(kept.read_text())["rows"] if kept.exists() and not small else []
    wanted = [("as it came", 0), *((method, n) for n in N_EPOCH for method in METHODS)]
    for method, n in wanted[:1] if chosen.smoke else [("frozen body", 10)] if chosen.quick else wanted:
        asked = {"model": chosen.model, "method": method, "n": n, "rate": chosen.rate if n else 0.0, "seed": chosen.seed}
        if any(asked.items() <= r.items() for r in rows):
            continue
        rows.append(row(start, data, asked, 6 if small else 100, 2 if small else N_EPOCH.get(n, 0)))
        if not small:
            kept.write_text(json.dumps({"data": DATA.name, "unit": "meV/atom and meV/Å", "rows": rows}, indent=1) + "\n")
    if chosen.json or small:
        print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
