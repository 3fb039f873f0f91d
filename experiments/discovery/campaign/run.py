"""Does value learning find better alloys than random and genetic search at the same number of oracle calls?

The campaign of `config.toml` in the embedded laboratory (a model system), once per seed, beside random search and a genetic
search on the oracle itself with as many calls. One row per proposer and seed in `result.json`: the best true utility after every
call. A run that was interrupted goes on with the campaigns that are missing; each campaign goes on where it was killed.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matjax.campaign import discover, read_measured, run_baseline
from matjax.campaign.config import DiscoverConfig
from matjax.keys import child
from matjax.override import override
from matjax.toml import from_toml, to_toml
from matjax.value import Genetic, Random

HERE = Path(__file__).resolve().parent
QUICK = ("learner.members=2", "learner.n_epoch=4", "n_epoch_more=1", "budget=16", "n_decoration=1", "known.ternaries=0.3")
SMOKE = (
    *QUICK,
    'space.elements="Al Co Cu Ni"',
    "known={binaries=[0.5], ternaries=0.25, compounds=[]}",
    'learner={model={kind="equivariant", irreps="8x0e+8x1o", n_layer=1, cutoff=3.6}, members=2, n_epoch=1}',
    "budget=2",
    "batch=2",
    "pool=8",
    "proposer.learner={batch=16, n_iteration=1, inner_steps=2}",
)
PROPOSERS = (Random(), Genetic())


def campaign(settings: DiscoverConfig, seed: int, out: Path) -> dict[str, Any]:
    """One campaign of value learning."""
    settings, begun = dataclasses.replace(settings, seed=seed), time.perf_counter()
    trace = discover(
        settings.problem(),
        settings.oracle,
        settings.proposer,
        settings.acquisition,
        budget=settings.budget,
        batch=settings.batch,
        pool=settings.pool,
        run_dir=out,
        key=settings.key(),
        settings_text=to_toml(settings),
    )
    facts = [
        {k: r.get(k) for k in ("round", "mae_stability", "rms_z", "coverage_90", "spread_factor")} for r in trace.rounds if r["round"] >= 0
    ]
    best = trace.best[0]
    return {
        "proposer": "matjax",
        "seed": seed,
        "utility": trace.utility,
        "rounds": facts,
        "best": {k: best[k] for k in ("candidate", "utility", "stability", "pugh_ratio", "price")},
        "seconds": time.perf_counter() - begun,
    }


def baselines(settings: DiscoverConfig, seeds: int, run_dir: Path) -> list[dict[str, Any]]:
    """Random and genetic search from the same known set, all seeds."""
    known, problem, key = read_measured(run_dir, known=True), settings.problem(), child(settings.key(), "baselines")
    rows: list[dict[str, Any]] = []
    for proposer in PROPOSERS:
        rows += run_baseline(
            proposer, problem, settings.oracle, budget=settings.budget, batch=settings.batch, seeds=seeds, known=known, key=key
        )
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per proposer: median, least and largest best utility over the seeds, and the mean utility of a call."""
    lines = []
    for name in dict.fromkeys(row["proposer"] for row in rows):
        of = [np.array([np.nan if u is None else u for u in row["utility"]]) for row in rows if row["proposer"] == name]
        best = [float(np.nanmax(u)) for u in of]
        mean = [float(np.nanmean(u)) for u in of]
        lines.append(
            {"proposer": name, "seeds": len(of), "best_median": float(np.median(best)), "best_min": min(best), "best_max": max(best)}
            | {"mean_utility": float(np.mean(mean)), "best_by_seed": best}
        )
    return lines


def measure(settings: DiscoverConfig, seeds: int, baseline_seeds: int, out: Path) -> dict[str, Any]:
    """All rows, each kept in the run folder as soon as it is there."""
    rows = []
    for seed in range(seeds):
        kept = out / f"matjax-{seed}.json"
        if not kept.exists():
            row = campaign(settings, seed, out / f"seed-{seed}")
            kept.write_text(json.dumps(row, allow_nan=False), encoding="utf-8")
        rows.append(json.loads(kept.read_text(encoding="utf-8")))
        print(f"seed {seed}: best {max(u for u in rows[-1]['utility'] if u is not None):.3f}, {rows[-1]['seconds']:.0f} s", flush=True)
    rows += baselines(settings, baseline_seeds, out / "seed-0")
    versions = {name: importlib.metadata.version(name) for name in ("matjax", "jax", "numpy")}
    return {"oracle": settings.oracle.note, "settings": to_toml(settings), "versions": versions, "summary": summary(rows), "rows": rows}


def main() -> None:
    """Reads the command line, runs and writes `result.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="run folder; by default runs/discovery-laboratory")
    parser.add_argument("--seeds", type=int, default=5, help="campaigns of value learning")
    parser.add_argument("--quick", action="store_true", help="two seeds of a small campaign; result.json goes into the run folder")
    parser.add_argument("--smoke", action="store_true", help="does it run and write a valid result? In a folder that is deleted")
    given = parser.parse_args()
    settings = from_toml(HERE / "config.toml", DiscoverConfig)
    if given.smoke:
        with tempfile.TemporaryDirectory() as folder:
            result = measure(override(settings, SMOKE), 1, 1, Path(folder))
            assert {line["proposer"] for line in result["summary"]} == {"matjax", "random", "genetic"}
            print(json.dumps(result["summary"]))
        return
    settings = override(settings, QUICK) if given.quick else settings
    out = given.out or Path("runs") / ("discovery-laboratory-quick" if given.quick else "discovery-laboratory")
    out.mkdir(parents=True, exist_ok=True)
    result = measure(settings, 2 if given.quick else given.seeds, 3 if given.quick else 10, out)
    path = out / "result.json" if given.quick else HERE / "result.json"
    path.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(f"result: {path}")


if __name__ == "__main__":
    main()
