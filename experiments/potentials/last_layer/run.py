"""What does a posterior over the last layer buy a universal potential on alloys that it was not trained for?

Energies of Nb-Mo-Ta-W cells: the potential as it came, with an offset per element fitted on the labelled cells, and with the
posterior over its last layer (`uncertainty.LastLayer`), at several numbers of labelled cells of pure elements, tested on binary
cells. Nothing is trained; the cost is one forward pass over every cell.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from matjax.data.read import read
from matjax.keys import child, generator
from matjax.thermo import References, fit_references
from matjax.training import GraphPredictor
from matjax.training.pretrained import potential
from matjax.training.supervision import target_per_atom
from matjax.types import Dataset
from matjax.uncertainty import LastLayer

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[3] / "shared" / "data"
DATA, WEIGHTS = SHARED / "nbmotaw" / "nbmotaw_pbe.extxyz.gz", SHARED / "nequix"
Z90 = 1.6448536


def split(data: Dataset, n_pool: int, n_test: int, key: jax.Array) -> tuple[Dataset, Dataset]:
    """Cells of one element to learn from, cells of two to test on, up to 16 atoms."""
    n_element = np.array([len(set(c.numbers.tolist())) for c in data.crystals])
    small = np.array([len(c) <= 16 for c in data.crystals])
    pick = lambda mask, n: data.select(generator(key).permutation(np.flatnonzero(mask & small))[:n])
    return pick(n_element == 1, n_pool), pick(n_element == 2, n_test)


def judge(predictor: GraphPredictor, test: Dataset, name: str, n_label: int, seed: int) -> dict[str, Any]:
    """One row: errors in meV/atom, and what the spread says of them."""
    said, truth = predictor(test.crystals), target_per_atom(test, "energy")
    error, std = said.mean - truth, said.std
    row = {"method": name, "n_label": n_label, "seed": seed, "n_test": len(test), "mae": 1e3 * float(np.abs(error).mean())}
    row |= {"mae_after_shift": 1e3 * float(np.abs(error - np.median(error)).mean()), "bias": 1e3 * float(error.mean())}
    if std.max() > 0:
        row |= {"std": 1e3 * float(std.mean()), "coverage_90": float((np.abs(error) < Z90 * std).mean())}
        row["rms_z"] = float(np.sqrt(np.mean((error / std) ** 2)))
    return row


def rows(start: GraphPredictor, data: Dataset, sizes: tuple[int, ...], n_test: int, seed: int) -> list[dict[str, Any]]:
    """All methods at all sizes for one draw of cells."""
    key = child(jax.random.key(seed), "last layer")
    pool, test = split(data, max(sizes), n_test, key)
    found = [judge(start, test, "as it came", 0, seed)]
    for n in sizes:
        train = pool.select(range(n))
        offset = fit_references(train.crystals, target_per_atom(train, "energy") - start(train.crystals).mean, physical=False)
        moved = dataclasses.replace(start, references=References(start.references.energies + offset.energies))
        found.append(judge(moved, test, "offset per element", n, seed))
        for name, update in (("last layer, spread alone", False), ("last layer, mean too", True)):
            found.append(judge(LastLayer(n_sample=16, update=update).fit(start, train, child(key, n)), test, name, n, seed))
    return found


def main() -> None:
    """Writes result.json beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nequix-oam-1", help="name of a potential")
    parser.add_argument("--smoke", action="store_true", help="a few cells, nothing written")
    parser.add_argument("--json", action="store_true", help="print the rows")
    chosen = parser.parse_args()
    if not DATA.exists():
        print(json.dumps({"skipped": f"{DATA} is not here"}))
        return
    begun = time.perf_counter()
    start = potential(chosen.model, folder=WEIGHTS if WEIGHTS.exists() else None)
    data = read(str(DATA))
    sizes, n_test, seeds = ((12,), 4, (0,)) if chosen.smoke else ((50, 400), 100, (0, 1, 2))
    found = [row for seed in seeds for row in rows(start, data, sizes, n_test, seed)]
    result = {"model": chosen.model, "data": DATA.name, "unit": "meV/atom", "seconds": time.perf_counter() - begun, "rows": found}
    if chosen.json or chosen.smoke:
        print(json.dumps(result, indent=1))
    if not chosen.smoke:
        (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
