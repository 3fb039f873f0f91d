"""Searches of spaces that nobody can enumerate: value learning against a tuned genetic search at equal calls, and at equal time.

Both choose their settings on seeds of their own, then meet on others, paired.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from _trials import Row, Trials, mean_interval

from matjax.config import spec
from matjax.keys import child
from matjax.value import Alloys, Compounds, Context, Genetic, Reward, ValueLearner

N_BEST = 100
FIRST_TUNING_SEED = 1000


@spec
class Tuning:
    """The settings that are tried."""

    tau: tuple[float, ...]
    population: tuple[int, ...]
    tournament: tuple[int, ...]
    crossover: tuple[float, ...]


@spec
class Settings:
    """Of an experiment; see its `config.toml`."""

    seeds: int
    tuning_seeds: int
    temperature: float
    n_call: int
    space: Alloys | Compounds
    learner: ValueLearner
    tuning: Tuning


class Search(NamedTuple):
    """Rewards in the order of asking [n_call], alloys [n_call, n_step], and the CPU seconds of the whole search."""

    rewards: np.ndarray
    actions: np.ndarray
    seconds: float

    def best(self, n_call: int) -> float:
        """Mean of the best hundred of the first `n_call` (all alloys are distinct)."""
        return float(np.sort(self.rewards[:n_call])[-N_BEST:].mean())


class _Over(Exception):
    """Ends a search from inside its reward."""


def followed(search: Callable[[Reward], Any], reward: Reward, *, seconds: float = np.inf) -> Search:
    """What a search asks about, until it ends or its time is over."""
    rewards, actions, begun = [], [], time.process_time()

    def spy(lattice: np.ndarray, counts: np.ndarray) -> np.ndarray:
        answer = reward(lattice, counts)
        if time.process_time() - begun > seconds:
            raise _Over
        rewards.append(answer)
        actions.append(np.column_stack([lattice, counts]))
        return answer

    try:
        search(spy)
    except _Over:
        pass
    return Search(np.concatenate(rewards), np.concatenate(actions), time.process_time() - begun)


def genetic(settings: Settings, chosen: dict[str, Any], n_call: int, key: jax.Array) -> Callable[[Reward], Any]:
    """A genetic search of at most so many calls."""
    proposer = Genetic(**chosen, n_generation=max(n_call // chosen["population"], 1))
    return lambda reward: proposer.propose(1, Context(settings.space, reward), key)


def learning(settings: Settings, tau: float, key: jax.Array) -> Callable[[Reward], Any]:
    """Value learning at a temperature."""
    learner = dataclasses.replace(settings.learner, tau=tau)
    assert learner.batch * learner.n_iteration == settings.n_call
    return lambda reward: learner(settings.space, reward, key)


def tuned(settings: Settings, reward: Reward, trials: Trials) -> dict[str, dict[str, Any]] | None:
    """The settings of each search with the highest mean of the best hundred over the tuning seeds; None where the time is over."""
    t, names = settings.tuning, ("population", "tournament", "crossover")
    grid = [dict(zip(names, p, strict=True)) for p in itertools.product(t.population, t.tournament, t.crossover)]
    seeds = [jax.random.key(FIRST_TUNING_SEED + k) for k in range(settings.tuning_seeds)]
    score = lambda search: float(np.mean([followed(search(key), reward).best(settings.n_call) for key in seeds]))
    bred = lambda: {"best100": [score(lambda key, g=g: genetic(settings, g, settings.n_call, key)) for g in grid], "tried": grid}
    learnt = lambda tau: {"best100": score(lambda key: learning(settings, tau, key))}
    rows = [trials.row("tuning genetic", bred), *(trials.row(f"tuning tau {tau}", lambda tau=tau: learnt(tau)) for tau in t.tau)]
    if None in rows:
        return None
    best = int(np.argmax([row["best100"] for row in rows[1:] if row]))
    return {"genetic": grid[int(np.argmax(rows[0]["best100"] if rows[0] else 0))], "learner": {"tau": t.tau[best]}}


def met(settings: Settings, reward: Reward, chosen: dict[str, dict[str, Any]], seed: int) -> Row:
    """Both searches, and chance, from one seed; then the genetic search for as long as the learner took."""
    space, n_call, key = settings.space, settings.n_call, child(jax.random.key(seed), "meet")
    lattice, counts = space.sample_uniform(n_call, key)
    found = {"random": Search(reward(lattice, counts), np.column_stack([lattice, counts]), 0.0)}
    found["genetic"] = followed(genetic(settings, chosen["genetic"], n_call, key), reward)
    found["learner"] = followed(learning(settings, chosen["learner"]["tau"], key), reward)
    marks = [n_call // 4, n_call // 2, n_call]
    row: Row = {name: {"n_call": len(s.rewards), "best": float(s.rewards.max())} for name, s in found.items()}
    for name, search in found.items():
        top = search.actions[np.argsort(-search.rewards)[:N_BEST]]
        systems = len(np.unique(np.column_stack([top[:, 0], top[:, 1:] > 0]), axis=0))
        row[name] |= {"best100": {str(m): search.best(m) for m in marks}, "systems": systems, "cpu_seconds": round(search.seconds, 2)}
    longer = followed(genetic(settings, chosen["genetic"], 100 * n_call, key), reward, seconds=row["learner"]["cpu_seconds"])
    reached = [
        m for m in range(N_BEST, len(longer.rewards), chosen["genetic"]["population"]) if longer.best(m) >= found["learner"].best(n_call)
    ]
    row["genetic_equal_time"] = {
        "n_call": len(longer.rewards),
        "best": float(longer.rewards.max()),
        "best100": longer.best(len(longer.rewards)),
    }
    return row | {"genetic_calls_to_learner": reached[0] if reached else None}


def compare(settings: Settings, reward: Reward, trials: Trials) -> Row:
    """Tunes, then every seed; figures are means over the seeds with 95 % intervals."""
    chosen = tuned(settings, reward, trials)
    if chosen is None:
        return trials.write({})
    learning(settings, chosen["learner"]["tau"], jax.random.key(0))(reward)  # compiles
    makers = {f"seed {seed}": lambda seed=seed: met(settings, reward, chosen, seed) for seed in range(settings.seeds)}
    rows = [row for name, make in makers.items() if (row := trials.row(name, make)) is not None]
    figures = {"n_leaf": float(settings.space.n_leaf), "chosen": chosen} | _summary(rows, settings.n_call)
    trials.write({"figures": figures})
    return figures


def _summary(rows: list[Row], n_call: int) -> Row:
    if not rows:
        return {}
    marks = [str(m) for m in (n_call // 4, n_call // 2, n_call)]
    best100 = {
        name: {m: mean_interval([row[name]["best100"][m] for row in rows]) for m in marks} for name in ("random", "genetic", "learner")
    }
    against = {m: mean_interval([row["learner"]["best100"][m] - row["genetic"]["best100"][m] for row in rows]) for m in marks}
    timed = mean_interval([row["learner"]["best100"][marks[-1]] - row["genetic_equal_time"]["best100"] for row in rows])
    return {
        "best100_eV": best100,
        "best_eV": {name: mean_interval([row[name]["best"] for row in rows]) for name in best100},
        "systems": {name: mean_interval([row[name]["systems"] for row in rows]) for name in best100},
        "learner_minus_genetic_eV": against,
        "learner_minus_genetic_of_equal_time_eV": timed,
        "seeds_learner_ahead": [sum(row["learner"]["best100"][m] > row["genetic"]["best100"][m] for row in rows) for m in marks],
        "cpu_seconds": {name: mean_interval([row[name]["cpu_seconds"] for row in rows]) for name in ("genetic", "learner")},
        "genetic_calls_in_equal_time": mean_interval([row["genetic_equal_time"]["n_call"] for row in rows]),
        "genetic_calls_to_learner": [row["genetic_calls_to_learner"] for row in rows],
        "n_seed": len(rows),
    }
