"""Is the reward being gamed? A search that may choose the lattice scale finds the holes of its model.

Networks learn the energy of elements, binaries and ternaries near equilibrium (scale within 4 %); the pool is five-element alloys at any
scale from 0.75 to 1.35, where the networks were never told what happens. The gold is the laboratory's potential. Per score (a single
network, the mean, upper and lower bounds, the worst member, entropic, density gates, and the pessimistic reward of the library with its
calibration and density price): what the best of the pool are in truth. In a smooth pool, where every alloy is at its best scale, it is
counted what pessimism costs in hits. And once more with thermo's definition of stability instead of "below the elements".

    python experiments/discovery/hole/run.py --json
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from _lattice import N_SITE, energies, few_elements, many_elements, pure_energies
from _members import Members, fit
from _scores import density, hits, outcome, scores
from _thermo import instabilities, measured_landscape, problem_of

sys.path.append(str(Path(__file__).resolve().parents[1]))
from _trials import Row, Trials, command, mean_interval

from matjax.campaign.crystals.problem import KnownSet
from matjax.config import spec
from matjax.keys import child, generator
from matjax.value import Pessimism

HERE = Path(__file__).resolve().parent
UNIT = 0.1
"""eV/atom per unit of utility."""
N_TERNARY_RICH = 4
"""Alloys per triple in the last part, which was added after the others had been seen."""
QUICK = ("seeds=2", "thermo.seeds=1", "n_pool=1000")
SMALL = ('elements=["Cu","Ni","Al","Fe","Pd","Ti"]', "n_pool=300", "n_top=10", "n_smooth=2", "ensemble={n_member=3, n_step=100, width=16}")
SMOKE = ("seeds=2", "thermo.seeds=0", *SMALL)


@spec
class Ensemble:
    """Of the networks."""

    n_member: int
    n_step: int
    width: int


@spec
class Thermo:
    """Of the part with thermo's definition; see `config.toml`."""

    seeds: int
    temperature: float
    stable: float
    promising: float
    n_even: int
    known: KnownSet


@spec
class Settings:
    """Of the experiment; see `config.toml`."""

    seeds: int
    n_pool: int
    n_top: int
    hit_share: float
    n_binary: int
    n_binary_dense: int
    near: float
    low: float
    high: float
    n_smooth: int
    elements: tuple[str, ...]
    ensemble: Ensemble
    pessimism: Pessimism
    thermo: Thermo


class Labels(NamedTuple):
    """Alloys with energies: counts [n, n_element], scale [n], formation energy from the elements on the lattice [n], eV/atom."""

    counts: np.ndarray
    scale: np.ndarray
    formation: np.ndarray

    @property
    def inputs(self) -> np.ndarray:
        """What the networks see [n, n_element + 1]."""
        return np.column_stack([self.counts / N_SITE, (self.scale - 1) / 0.04])


class Model(NamedTuple):
    """An ensemble of formation energies with the factor of its spread."""

    members: Members
    factor: float
    density: Any


def labelled(elements: tuple[str, ...], counts: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> Labels:
    """Asks the laboratory's potential."""
    return Labels(counts, scale, energies(elements, counts, scale, rng) - counts / N_SITE @ pure_energies(elements))


def smooth(elements: tuple[str, ...], counts: np.ndarray, scales: np.ndarray, seed: int) -> Labels:
    """The same alloys, each at the best of these scales."""
    each = [labelled(elements, counts, np.full(len(counts), s), np.random.default_rng(seed)).formation for s in scales]
    return Labels(counts, scales[np.argmin(each, 0)], np.min(each, 0))


def model_of(
    settings: Settings, elements: tuple[str, ...], n_binary: int, n_ternary: int, rng: np.random.Generator, key: jax.Array
) -> Model:
    """Trains on elements, binaries and ternaries; the spread is calibrated on ternaries by networks that saw none."""
    n = len(elements)
    pure = np.repeat(N_SITE * np.eye(n, dtype=int), 8, 0)
    few = np.concatenate([pure, few_elements(n, 2, n_binary, rng)])
    more = few_elements(n, 3, n_ternary, rng)
    label = lambda counts: labelled(elements, counts, rng.uniform(1 - settings.near, 1 + settings.near, len(counts)), rng)
    known, held = label(few), label(more)
    x, y = np.concatenate([known.inputs, held.inputs]), np.concatenate([known.formation, held.formation])
    train = lambda x, y, name: fit(
        x, y, settings.ensemble.n_member, settings.ensemble.n_step, settings.ensemble.width, child(key, name), len(few) + len(more)
    )
    said = train(known.inputs, known.formation, "few")(held.inputs)
    z = (held.formation - said.mean(0)) / said.std(0, ddof=1)
    members = train(x, y, "all")
    order = rng.permutation(len(x))
    return Model(members, settings.pessimism.spread_factor(z), density(members.features(x[order])))


def judged(settings: Settings, model: Model, pool: Labels, samples: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of a pool by the members' utilities."""
    novelty = model.density.score.score(model.members.features(pool.inputs))
    return scores(settings.pessimism, samples, model.factor, novelty, model.density.limit)


def lattice_row(settings: Settings, n_binary: int, seed: int) -> Row:
    """One seed with "stable" as below the elements on the lattice, `n_binary` alloys of each pair to learn from."""
    elements, key = settings.elements, child(jax.random.key(seed), "lattice")
    rng = generator(child(key, "alloys"))
    model = model_of(settings, elements, n_binary, 1, rng, key)
    counts = many_elements(settings.n_pool, len(elements), 5, rng)
    pool = labelled(elements, counts, rng.uniform(settings.low, settings.high, len(counts)), rng)
    even = smooth(elements, counts, np.linspace(1 - settings.near, 1 + settings.near, settings.n_smooth), seed)
    utility = lambda some: -model.members(some.inputs) / UNIT
    return _row(settings, model, pool, even, utility(pool), utility(even), pool.formation < 0)


@cache
def _ground(elements: tuple[str, ...], thermo: Thermo):
    problem = problem_of(elements, thermo.known, thermo.temperature)
    return problem, measured_landscape(problem)


def thermo_row(settings: Settings, n_binary: int, n_ternary: int, seed: int) -> Row:
    """One seed with thermo's definition: stability of the alloy with this energy, against every mixture of other phases."""
    elements, thermo, key = settings.elements, settings.thermo, child(jax.random.key(seed), "thermo")
    problem, ground = _ground(elements, thermo)
    rng = generator(child(key, "alloys"))
    model = model_of(settings, elements, n_binary, n_ternary, rng, key)
    counts, pure = many_elements(settings.n_pool, len(elements), 5, rng), pure_energies(elements)
    pool = labelled(elements, counts, rng.uniform(settings.low, settings.high, len(counts)), rng)
    scales = np.linspace(1 - settings.near, 1 + settings.near, settings.n_smooth)
    even = smooth(elements, counts[: thermo.n_even], scales, seed)

    def values(some: Labels) -> np.ndarray:
        formation = np.concatenate([some.formation[None], model.members(some.inputs)])
        x = some.counts / N_SITE
        judge, alloy = np.nonzero(formation < thermo.promising)
        found = formation.copy()
        found[judge, alloy] = instabilities(problem, ground, x[alloy], (formation + x @ pure)[judge, alloy])
        return found

    apart, near = values(pool), values(even)
    pool, even = pool._replace(formation=apart[0]), even._replace(formation=near[0])
    return _row(settings, model, pool, even, -apart[1:] / UNIT, -near[1:] / UNIT, apart[0] < thermo.stable)


def _row(settings: Settings, model: Model, pool: Labels, even: Labels, far: np.ndarray, near: np.ndarray, stable: np.ndarray) -> Row:
    """What every score finds in the pool with holes and in the smooth one."""
    truth, truth_even = -pool.formation / UNIT, -even.formation / UNIT
    best, n_top = np.sort(truth)[::-1], settings.n_top
    found = {name: outcome(score, truth, stable, n_top) for name, score in judged(settings, model, pool, far).items()}
    for name, score in judged(settings, model, even, near).items():
        found[name]["hits"] = hits(score, truth_even, settings.hit_share, n_top)
    reachable = {"truth": float(best[:n_top].mean()), "stable": float(stable[np.argsort(-truth)[:n_top]].mean())}
    return {"factor": model.factor, "prevalence": float(stable.mean()), "reachable": reachable, "scores": found}


def summary(rows: list[Row]) -> Row:
    """Means over the seeds with bootstrap intervals; differences are paired."""
    names = list(rows[0]["scores"])
    column = lambda name, field: np.array([row["scores"][name][field] for row in rows], float)
    interval = lambda values: mean_interval(np.asarray(values, float).tolist())
    told: Row = {"stable_fraction": {name: interval(column(name, "stable")) for name in names}}
    told |= {field: {name: interval(column(name, field)) for name in names} for field in ("truth", "proxy", "hits")}
    sizes = rows[0]["scores"]["mean"]["best_of_n"]
    of = lambda name, n: interval([row["scores"][name]["best_of_n"][n] for row in rows])
    told["best_of_n"] = {name: {n: of(name, n) for n in sizes} for name in names}
    reachable = np.array([row["reachable"]["truth"] for row in rows])
    told |= {"prevalence": interval([row["prevalence"] for row in rows]), "factor": interval([row["factor"] for row in rows])}
    told["reachable"] = interval(reachable)
    told["reachable_stable"] = interval([row["reachable"]["stable"] for row in rows])
    told["gain_over_mean"] = interval(column("pessimistic", "truth") - column("mean", "truth"))
    told["short_of_reachable"] = interval(reachable - column("pessimistic", "truth"))
    told["share_of_reachable"] = float(column("pessimistic", "truth").mean() / reachable.mean())
    told["hits_lost"] = interval(column("mean", "hits") - column("pessimistic", "hits"))
    return told


def measure(settings: Settings, trials: Trials) -> Row:
    """Every row, and the figures over the seeds."""
    figures: Row = {}
    kinds = {
        "lattice": (settings.seeds, lambda seed: lattice_row(settings, settings.n_binary, seed)),
        "dense": (settings.seeds, lambda seed: lattice_row(settings, settings.n_binary_dense, seed)),
        "thermo": (settings.thermo.seeds, lambda seed: thermo_row(settings, settings.n_binary, 1, seed)),
        "thermo rich": (settings.thermo.seeds, lambda seed: thermo_row(settings, settings.n_binary_dense, N_TERNARY_RICH, seed)),
    }
    for kind, (seeds, make) in kinds.items():
        found = [trials.row(f"{kind} {seed}", lambda make=make, seed=seed: make(seed)) for seed in range(seeds)]
        if rows := [row for row in found if row is not None]:
            figures[kind] = summary(rows)
    trials.write({"figures": figures})
    return {"stable_fraction": figures.get("lattice", {}).get("stable_fraction"), **figures}


if __name__ == "__main__":
    inputs = [HERE / name for name in ("_lattice.py", "_members.py", "_scores.py", "_thermo.py")]
    command(__doc__ or "", HERE, Settings, measure, inputs=inputs, quick=QUICK, smoke=SMOKE)
