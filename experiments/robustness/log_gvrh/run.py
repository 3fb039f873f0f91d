"""How much does an error grow, and do intervals still cover, when the crystals change? The ladder of shifts on Matbench log_gvrh.

10,987 crystals of the Materials Project, log10 of the Voigt-Reuss-Hill shear modulus in GPa, eleven families of held-out domains,
boosted trees. A domain is judged on its own crystals twice: by a fit that did not see it, and by cross-validation that did. Intervals
are calibrated inside (split conformal) and on errors of models to which a domain was new (leave-domain-out). Runs are stopped by
--budget and go on with the fits that are missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from _errors import family_errors
from _folds import DATA, LABEL, Domain, Family, Fit, domain_fits, domains, load_data, reference_fits
from _rows import inside_errors, row_of
from _store import Store, open_store
from _summary import markdown, summary
from _trees import Trees, descriptors

from matjax.config import spec
from matjax.keys import child
from matjax.override import override
from matjax.stress_test.certificate import certify
from matjax.toml import from_toml, to_toml
from matjax.types import Dataset
from matjax.uncertainty import NeighbourTable

HERE = Path(__file__).resolve().parent
QUICK = ("trees.n_tree=50",)
SMOKE = (
    "trees.n_tree=5",
    "folds=3",
    'families=[{split="random", shifts=[{kind="leave_out", column="random"}]}, '
    '{split="crystal_system", shifts=[{kind="leave_out", column="crystal_system", min_size=20}]}]',
)
N_QUICK, N_SMOKE = 2000, 400


@spec
class Ladder:
    """What config.toml says.

    Attributes:
      families: Rungs of the ladder.
      level: Wanted coverage.
      seed: Of folds, splits and fits.
      folds: Of the cross-validation.
      shares: Shares of all crystals that it trains on.
      trees: The method.
    """

    families: tuple[Family, ...]
    level: float = 0.9
    seed: int = 0
    folds: int = 10
    shares: tuple[float, ...] = (0.9, 0.6, 0.4)
    trees: Trees = dataclasses.field(default_factory=Trees)


def fill(store: Store, fits: list[Fit], predict: Callable[[np.ndarray], np.ndarray], out_of_time: Callable[[], bool]) -> None:
    """Fits what is missing, until time runs out."""
    missing = [fit for fit in fits if fit.name not in store]
    begun = time.time()
    for i, fit in enumerate(missing):
        if out_of_time():
            return
        store[fit.name] = predict(fit.train)
        if i % 20 == 19 or i == len(missing) - 1:
            left = (time.time() - begun) / (i + 1) * (len(missing) - i - 1)
            print(f"fit {i + 1} of {len(missing)}, about {left / 60:.1f} min left", file=sys.stderr)


def certificates(data: Dataset, found: list[Domain], path: Path, out_of_time: Callable[[], bool]) -> dict[str, dict[str, Any]]:
    """Certificate of every domain, kept in a file; those there was no time for are absent."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    target = data.labels[LABEL]
    for d in found:
        name = f"{d.split}|{d.name}"
        if name in kept or out_of_time():
            continue
        crystals = [[data.crystals[i] for i in rows] for rows in (d.train, d.test)]
        certificate = certify(*crystals, train_target=target[d.train], test_target=target[d.test], key=child(jax.random.key(0), name))
        kept[name] = {k: v for k, v in dataclasses.asdict(certificate).items() if k not in ("n_train", "n_test")}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(kept), encoding="utf-8")
        partial.replace(path)
    return kept


def errors_of(split: str, found: list[Domain], store: Store, target: np.ndarray, features: np.ndarray, out: Path) -> dict[str, np.ndarray]:
    """Errors of a family whose fits are done, kept in `errors_SPLIT.npz`; the neighbours of all crystals in `neighbours.npz`."""
    path, near = out / f"errors_{split}.npz", out / "neighbours.npz"
    if not path.exists():
        if not near.exists():
            np.savez(near, **dataclasses.asdict(NeighbourTable.of(features)))
        with np.load(near) as kept:
            table = NeighbourTable(**kept)
        np.savez_compressed(path, **family_errors([d for d in found if d.split == split], store, target, table))  # pyright: ignore[reportArgumentType]
    with np.load(path) as kept:
        return dict(kept)


def measure(settings: Ladder, data: Dataset, out: Path, budget_min: float) -> dict[str, Any]:
    """Fits, certifies and returns what goes into `result.json`, with the names of rows that are missing."""
    begun = time.process_time()
    out_of_time = lambda: time.process_time() - begun > 60 * budget_min
    target, n = np.asarray(data.labels[LABEL], np.float64), len(data)
    found = domains(data, settings.families, settings.seed)
    certified = certificates(data, found, out / "certificates.json", out_of_time)
    reference = reference_fits(n, settings.folds, settings.shares, settings.seed)
    fits = reference + domain_fits(found, n, settings.seed)
    store = open_store(out, "trees", [fit.name for fit in fits], n, to_toml(settings))
    features = np.concatenate(descriptors(data), 1)
    fill(store, fits, lambda train: settings.trees.predict(features, target, train, settings.seed), out_of_time)
    referenced = all(fit.name in store for fit in reference)
    inside = inside_errors(store, target, [fit.asked for fit in reference[:: len(settings.shares)]], settings.shares)
    rows, missing = [], []
    for split in dict.fromkeys(d.split for d in found):
        mine = [d for d in found if d.split == split]
        if (
            not referenced
            or any(f"{split}|{d.name}" not in certified for d in mine)
            or any(f.name not in store for f in fits if f.split == split)
        ):
            missing += [{"split": split, "domain": d.name, "method": "trees", "seed": settings.seed} for d in mine]
            continue
        errors = errors_of(split, found, store, target, features, out)
        about = {"method": "trees", "seed": settings.seed}
        rows += [about | row_of(d, errors, inside, certified[f"{split}|{d.name}"], settings.level) for d in mine]
    full = np.abs(inside[max(settings.shares)]) if referenced else None
    return {
        "command": " ".join(["python", *sys.argv]),
        "settings": to_toml(settings),
        "data": {"name": "matbench log_gvrh", "key": data.key, "n": n},
        "unit": "log10(GPa)",
        "cross_validation": {
            "mae": None if full is None else float(full.mean()),
            "mean_absolute_deviation": float(np.abs(target - target.mean()).mean()),
        },
        "cpu_seconds": round(time.process_time() - begun, 1),
        "summary": summary(rows),
        "missing": missing,
        "rows": rows,
    }


def check(result: dict[str, Any]) -> None:
    """Refuses a result that is not whole.

    Raises:
      ValueError: If a number is out of its range.
    """
    for row in result["rows"]:
        covered = [row["coverage_split"], *([] if row["coverage_ldo"] is None else [row["coverage_ldo"]])]
        if not (row["mae"] > 0 and row["matched_ratio"] > 0 and all(0 <= c <= 1 for c in covered)):
            raise ValueError(f"not a valid row: {row}")
    if not result["rows"] or result["missing"]:
        raise ValueError(f"{len(result['rows'])} rows, missing: {result['missing']}")
    print(f"valid: {len(result['rows'])} rows")


def main() -> None:
    """Reads the command line, runs and writes `result.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/robustness-log_gvrh"), help="predictions of every fit (%(default)s)")
    parser.add_argument("--budget", type=float, default=float("inf"), metavar="MINUTES", help="CPU minutes after which to stop and write")
    parser.add_argument("--table", action="store_true", help="print the table of result.json, as it stands in the README; fits nothing")
    parser.add_argument(
        "--quick", action="store_true", help=f"{N_QUICK:,} crystals, small trees: minutes; result.json goes into the run folder"
    )
    parser.add_argument("--smoke", action="store_true", help="does it run and write a valid result? In a folder that is deleted")
    given = parser.parse_args()
    if given.table:
        print(markdown(json.loads((HERE / "result.json").read_text(encoding="utf-8"))["summary"]))
        return
    if not DATA.exists():
        print(json.dumps({"skipped": f"{DATA} is not here"}))
        return
    settings = from_toml(HERE / "config.toml", Ladder)
    if given.smoke:
        with tempfile.TemporaryDirectory() as folder:
            check(run(override(settings, SMOKE), N_SMOKE, Path(folder), Path(folder) / "result.json", given.budget))
    elif given.quick:
        out = given.out.with_name(f"{given.out.name}-quick")
        run(override(settings, QUICK), N_QUICK, out, out / "result.json", given.budget)
    else:
        run(settings, None, given.out, HERE / "result.json", given.budget)


def run(settings: Ladder, first: int | None, out: Path, path: Path, budget_min: float) -> dict[str, Any]:
    """Measures and writes."""
    out.mkdir(parents=True, exist_ok=True)
    result = measure(settings, load_data(first, settings.seed, out), out, budget_min)
    path.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(f"result: {path}; {len(result['rows'])} rows, {len(result['missing'])} missing", file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
