"""Matbench log_gvrh, one official fold within a budget: the shear modulus from the structure, by the networks of potentials.

10,987 crystals of the Materials Project, log10 of the Voigt-Reuss-Hill shear modulus in GPa. Fold 0 of Matbench v0.1 (five folds,
shuffled, their own seed): 8,789 crystals to learn from, of which 400 choose the epoch, 2,198 to test on. Networks in float32: the
mean of what the atoms say, on top of a fit to the composition. A run that is stopped goes on from its last epoch.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.model_selection import KFold

from matjax.data.read import read
from matjax.keys import child, generator
from matjax.nn import Equivariant, n_parameter
from matjax.stress_test.baselines import CompositionTrees
from matjax.training import GraphLearner, GraphPredictor, Loss
from matjax.types import Dataset, Visible

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[3] / "shared" / "data" / "matbench" / "log_gvrh.json.gz"
LABEL, SEED = "log_gvrh", 18012019  # the seed is Matbench's
N_CHOOSE = 400
PUBLISHED = {"coNGN": 0.0670}  # Matbench v0.1, mean of five folds
MODEL = Equivariant("48x0e+16x1o", n_layer=2, cutoff=5.0)
TINY = Equivariant("4x0e", n_layer=1, cutoff=4.0)


def fold(data: Dataset, k: int) -> tuple[Dataset, Dataset]:
    """Crystals to learn from and to test on: fold k as Matbench cuts it."""
    train, test = list(KFold(5, shuffle=True, random_state=SEED).split(np.arange(len(data))))[k]
    return data.select(train), data.select(test)


def fitted(
    model: Equivariant, known: Dataset, n_epoch: int, members: int, key: jax.Array, out: Path
) -> tuple[GraphPredictor, list[dict[str, float]]]:
    """The predictor, and (epoch, CPU seconds, validation error) along the way."""
    order, n = generator(child(key, "validation")).permutation(len(known)), min(N_CHOOSE, len(known) // 10)
    none, marks, begun = known.select(range(0)), [], time.process_time()

    def report(record: dict[str, Any]) -> None:
        spent = round(time.process_time() - begun, 1)
        marks.append({"epoch": record["epoch"], "cpu_s": spent, "validation": round(record["validation"] * record["scale"], 4)})

    learner = GraphLearner(model=model, loss=Loss(shape="mae"), label=LABEL, members=members, n_epoch=n_epoch, batch_size=32)
    visible = Visible(known.select(order[n:]), known.select(order[:n]), none, none)
    return learner.fit(visible, child(key, "fit"), run_dir=out, report=report), marks


def mae(error: np.ndarray) -> float:
    """Mean absolute error, log10(GPa)."""
    return round(float(np.abs(error).mean()), 4)


def main() -> None:
    """Adds a row to result.json beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--members", type=int, default=1, help="networks whose answers are averaged (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/log_gvrh"), help="state of the fit (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="1,000 crystals, three epochs, nothing written")
    parser.add_argument("--smoke", action="store_true", help="a tiny network on 60 crystals, nothing written")
    parser.add_argument("--json", action="store_true", help="print the result")
    chosen = parser.parse_args()
    if not DATA.exists():
        print(json.dumps({"skipped": f"{DATA} is not here"}))
        return
    n, n_epoch, model = (60, 1, TINY) if chosen.smoke else (1000, 3, MODEL) if chosen.quick else (None, chosen.epochs, MODEL)
    data = read(str(DATA), units={LABEL: "log10(GPa)"})
    known, test = (part.select(range(len(part))[:n]) for part in fold(data, chosen.fold))
    key, begun = jax.random.key(chosen.fold), time.process_time()
    asked = {"fold": chosen.fold, "members": chosen.members, "n_epoch": n_epoch, "n_train": len(known)}
    out = (Path(tempfile.mkdtemp()) if chosen.smoke else chosen.out) / "_".join(map(str, asked.values()))
    predictor, marks = fitted(model, known, n_epoch, chosen.members, key, out)
    spent = time.process_time() - begun
    truth = test.labels[LABEL]
    trees = CompositionTrees().fit(known.crystals, known.labels[LABEL], key)
    row = {
        **asked,
        "unit": "log10(GPa)",
        "mae": mae(predictor(test.crystals).mean - truth),
        "mae_composition_trees": mae(trees(test.crystals) - truth),
        "mean_absolute_deviation": mae(truth - known.labels[LABEL].mean()),
        "published": PUBLISHED,
        "n_test": len(test),
        "parameters": n_parameter(model),
        "fit_cpu_s": round(spent, 1),
        "epochs": marks,
    }
    if not (chosen.smoke or chosen.quick):
        kept = HERE / "result.json"
        rows = json.loads(kept.read_text())["rows"] if kept.exists() else []
        rows = [r for r in rows if not asked.items() <= r.items()] + [row]
        kept.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    if chosen.json or chosen.smoke or chosen.quick:
        print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
