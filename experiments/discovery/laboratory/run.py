"""Which strategy finds the best alloys of a list with the fewest labels?

Every strategy starts from 80 labelled binary alloys (20 of 136 systems) and asks for 20 of 4,000 listed five-element alloys at a time;
the embedded laboratory answers. A hit is one of the best 2 % of the list. All strategies but those of the Gaussian process, of BoTorch
and the genetic search share one model, an ensemble on composition; `thompson, default` is `matjax.value.Thompson()`, which
`matjax discover` uses, with `feasibility` as it uses it. After every round the error of the model on sealed alloys is measured too: what
do labels that were picked teach, against random ones?

    python experiments/discovery/laboratory/run.py --json
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from _ensemble import Ensemble, Features, members
from _labels import binaries, labelled, listed

sys.path.append(str(Path(__file__).resolve().parents[1]))
from _trials import Row, Trials, command, mean_interval

from matjax.config import spec
from matjax.keys import child, generator
from matjax.simulate.laboratory import ELEMENTS
from matjax.types import Candidate
from matjax.value import Alloys as Space
from matjax.value import (
    BoTorch,
    Context,
    ExpectedImprovement,
    Feasibility,
    GaussianProcess,
    Genetic,
    Greedy,
    LargestCluster,
    RandomPick,
    Thompson,
    UpperBound,
)
from matjax.value.botorch_peer import is_installed
from matjax.value.gaussian_process import posterior

HERE = Path(__file__).resolve().parent
SPACE = Space(ELEMENTS, lattices="fcc", n_site=32, min_elements=5, max_elements=5, max_count=11)
ENSEMBLE = {
    "greedy": Greedy(),
    "thompson, default": Thompson(),
    "thompson alone": Thompson(1.0, 0.0, 0.0),
    "half upper bounds": Thompson(0.4, 0.55, 0.05, 1.0),
    "upper bound": UpperBound(1.0),
    "upper bound 2": UpperBound(2.0),
    "largest cluster": LargestCluster(),
    "random": RandomPick(),
}
FEASIBLE = ", feasibility"
"""Of strategies that add the log of the probability that the alloy can be measured, as campaigns do."""
OTHERS = (
    "thompson, default, feasibility",
    "half upper bounds, feasibility",
    "upper bound, feasibility",
    "expected improvement, feasibility",
    "lower bound",
    "most uncertain",
    "gp upper bound",
    "gp expected improvement",
    "genetic",
    "botorch expected improvement",
)
QUICK = ("seeds=2", "n_pool=800", "n_sealed=100")
SMOKE = ("seeds=1", "n_pool=60", "n_sealed=10", "n_system=3", "batch=4", "rounds=2", "marks=[4, 8]", "hit_share=0.1", "ensemble.members=3")


@spec
class Settings:
    """Of the experiment; see `config.toml`."""

    seeds: int
    n_pool: int
    n_sealed: int
    n_system: int
    batch: int
    rounds: int
    marks: tuple[int, ...]
    hit_share: float
    temperature: float
    ensemble: Ensemble


class World(NamedTuple):
    """The list, the sealed alloys and the binaries, with their utilities and features.

    Attributes:
      candidates: The list.
      utility: Of the list [n_pool]; NaN where there is no truth.
      hit: Whether each is one of the best [n_pool].
      pool: Features of the list [n_pool, n_feature].
      sealed: Features of the sealed alloys that have a truth, and their utilities.
      start: Candidates, features and utilities of the binaries, [n_system, 4, ...].
    """

    candidates: list[Candidate]
    utility: np.ndarray
    hit: np.ndarray
    pool: np.ndarray
    sealed: tuple[np.ndarray, np.ndarray]
    start: tuple[np.ndarray, np.ndarray, np.ndarray]


def world(settings: Settings, folder: Path, n_system: int | None = None) -> World:
    """Measures what is not kept; of the binaries the first systems alone where `n_system` says so."""
    both = listed(settings.n_pool + settings.n_sealed, 0)
    known = binaries()[:n_system].reshape(-1, len(ELEMENTS))
    found = labelled(np.concatenate([both, known]), folder)
    features, utility = Features.of(found.counts).values, found.utility(settings.temperature)
    pool, sealed = slice(0, settings.n_pool), slice(settings.n_pool, len(both))
    n_hit = max(round(settings.hit_share * settings.n_pool), 1)
    ranked = np.argsort(-np.where(np.isnan(utility[pool]), -np.inf, utility[pool]))
    good = ~np.isnan(utility[sealed])
    shaped = lambda x: x[len(both) :].reshape(-1, 4, *x.shape[1:])
    return World(
        SPACE.decode(np.zeros(settings.n_pool, int), found.counts[pool]),
        utility[pool],
        np.isin(np.arange(settings.n_pool), ranked[:n_hit]),
        features[pool],
        (features[sealed][good], utility[sealed][good]),
        (shaped(found.counts), shaped(features), shaped(utility)),
    )


class Known(NamedTuple):
    """What a strategy has: features and utilities of all labels [n], the same as candidates, what it asked for, and what failed."""

    x: np.ndarray
    y: np.ndarray
    candidates: list[Candidate]
    asked: list[int]
    failed: list[Candidate]


def start(all_: World, settings: Settings, rng: np.random.Generator) -> Known:
    """The labelled binaries of a seed."""
    counts, x, y = all_.start
    some = rng.choice(len(x), settings.n_system, replace=False)
    counts, x, y = counts[some].reshape(-1, counts.shape[-1]), x[some].reshape(-1, x.shape[-1]), y[some].reshape(-1)
    good = ~np.isnan(y)
    alloys = SPACE.decode(np.zeros(len(good), int), counts)
    both = [[alloy for alloy, kept in zip(alloys, good, strict=True) if kept == is_good] for is_good in (True, False)]
    return Known(x[good], y[good], both[0], [], both[1])


def campaign(name: str, seed: int, all_: World, settings: Settings) -> Row:
    """The alloys that a strategy asks for, and the error of the model on the sealed ones before each round and at the end."""
    key = child(jax.random.key(0), "seed", seed)
    known, error, promised = start(all_, settings, generator(child(key, "start"))), [], []
    for i in range(settings.rounds + 1):
        told = members(settings.ensemble, known.x, known.y, np.concatenate([all_.pool, all_.sealed[0]]), generator(child(key, "fit", i)))
        samples, sealed = told[:, : len(all_.pool)], told[:, len(all_.pool) :]
        error.append(float(np.abs(sealed.mean(0) - all_.sealed[1]).mean()))
        if i == settings.rounds:
            break
        picked = pick(name, samples, known, all_, settings.batch, child(key, "pick", i))
        told_true = [j for j in picked if not np.isnan(all_.utility[j])]
        promised.append(float(np.mean([samples[:, j].mean() - all_.utility[j] for j in told_true])) if told_true else 0.0)
        known = Known(
            np.concatenate([known.x, all_.pool[told_true]]),
            np.concatenate([known.y, all_.utility[told_true]]),
            known.candidates + [all_.candidates[j] for j in told_true],
            known.asked + picked,
            known.failed + [all_.candidates[j] for j in picked if np.isnan(all_.utility[j])],
        )
    hit = all_.hit[known.asked]
    return {
        "strategy": name,
        "seed": seed,
        "hits": {str(n): int(hit[:n].sum()) for n in settings.marks},
        "lost": int(np.isnan(all_.utility[known.asked]).sum()),
        "first_hit": int(np.argmax(hit)) + 1 if hit.any() else len(hit) + 1,
        "best": float(np.nanmax(all_.utility[known.asked])),
        "optimism": promised,
        "mae_sealed": error,
    }


def pick(name: str, samples: np.ndarray, known: Known, all_: World, n: int, key: jax.Array) -> list[int]:
    """Rows of the list to ask about [n], none twice."""
    free = np.setdiff1d(np.arange(len(all_.candidates)), known.asked)
    if name == "genetic":
        return _genetic(known, all_, free, n, key)
    if name.startswith("botorch"):
        found = BoTorch().pick(known.candidates, known.y, [all_.candidates[i] for i in free], SPACE, n, key)
        return [int(i) for i in free[found]]
    if name.startswith("gp"):
        process = GaussianProcess(score="upper_bound" if name == "gp upper bound" else "expected_improvement")
        belief = posterior(known.candidates, known.y, [all_.candidates[i] for i in free], SPACE)
        return [int(free[i]) for i in process.pick(belief, float(known.y.max()), n)]
    if name.endswith(FEASIBLE):
        tried = known.candidates + known.failed
        feasible = Feasibility().fit(tried, [True] * len(known.candidates) + [False] * len(known.failed))
        samples, name = samples + feasible.log_probability(all_.candidates), name.removesuffix(FEASIBLE)
    mean, std = samples[:, free].mean(0), samples[:, free].std(0, ddof=1)
    plain: dict[str, Callable[[], np.ndarray]] = {"lower bound": lambda: mean - std, "most uncertain": lambda: std}
    if name in plain:
        return [int(i) for i in free[np.argsort(-plain[name](), kind="stable")[:n]]]
    acquisition = ENSEMBLE.get(name) or ExpectedImprovement(float(known.y.max()))
    return [int(free[i]) for i, _ in acquisition.pick(samples[:, free], n, key)]


def _genetic(known: Known, all_: World, free: np.ndarray, n: int, key: jax.Array) -> list[int]:
    """Children of the best so far, each taken for the listed alloy with the nearest composition."""
    history = tuple(zip(known.candidates, map(float, known.y), strict=True))
    children = Genetic().propose(n, Context(SPACE, None, history, frozenset(c.key for c in known.candidates)), key)
    counts = SPACE.encode([all_.candidates[i] for i in free])[1]
    chosen: list[int] = []
    for row in SPACE.encode(children)[1]:
        distance = np.abs(counts - row).sum(1) + 1000 * np.isin(free, chosen)
        chosen.append(int(free[np.argmin(distance)]))
    return chosen


def measure(settings: Settings, trials: Trials) -> Row:
    """All strategies, seed by seed."""
    small = settings.n_pool < 1000
    with tempfile.TemporaryDirectory() as folder:
        all_ = world(settings, Path(folder) if small else Path("runs/discovery-acquisition"), 6 if settings.n_pool < 100 else None)
    runnable = [name for name in (*ENSEMBLE, *OTHERS) if is_installed() or not name.startswith("botorch")]
    for name in (*ENSEMBLE, *OTHERS):
        if name not in runnable:
            print(f"skipped: {name} needs pip install 'matjax[botorch]'; rows that are kept stay", file=sys.stderr)
    for seed in range(settings.seeds):
        for name in runnable:
            trials.row(f"{name} {seed}", lambda name=name, seed=seed: campaign(name, seed, all_, settings))
    figures = summary(list(trials.rows.values()), settings)
    listed_as = hashlib.sha256(np.nan_to_num(all_.utility, nan=-1e9).astype(np.float32).tobytes()).hexdigest()[:16]
    threshold, lost = float(np.nanmin(all_.utility[all_.hit])), int(np.isnan(all_.utility).sum())
    about = {"list": listed_as, "threshold": threshold, "without_truth": lost, "random_expects": settings.hit_share}
    return trials.write({"about": about, "figures": figures})["figures"]


def summary(rows: list[Row], settings: Settings) -> Row:
    """Per strategy: hits at the marks with intervals over seeds, enrichment, and what was taught."""
    figures: dict[str, Any] = {}
    for name in (*ENSEMBLE, *OTHERS):
        own = [row for row in rows if row["strategy"] == name]
        if not own:
            continue
        hits = {str(n): mean_interval([row["hits"][str(n)] for row in own]) for n in settings.marks}
        figures[name] = {
            "hits": hits,
            "enrichment": {n: round(value[0] / (int(n) * settings.hit_share), 1) for n, value in hits.items()},
            "first_hit": float(np.median([row["first_hit"] for row in own])),
            "optimism_last": mean_interval([row["optimism"][-1] for row in own]),
            "mae_sealed": [round(float(np.mean(x)), 3) for x in zip(*[row["mae_sealed"] for row in own], strict=True)],
            "seeds": len(own),
        }
    return figures


if __name__ == "__main__":
    command(__doc__ or "", HERE, Settings, measure, inputs=(HERE / "_labels.py", HERE / "_ensemble.py"), quick=QUICK, smoke=SMOKE)
