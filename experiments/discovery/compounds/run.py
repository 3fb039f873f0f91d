"""Does value learning find the stable compounds, and is its value the true one? Against full enumeration.

All decorations of seven ordered structures with two or three of sixteen metals, relaxed in the embedded laboratory; the reward is minus
the energy above the hull of all others, so that what is positive is a phase of the laboratory's own ground state. Per seed: value
learning, a tuned genetic search on the same tree and uniform draws, each with the same number of reward calls.

    python experiments/discovery/compounds/run.py --json
"""

from __future__ import annotations

import dataclasses
import sys
import time
from functools import cache
from itertools import product
from pathlib import Path

import jax
import numpy as np
from _laboratory import stabilities

sys.path.append(str(Path(__file__).resolve().parents[1]))
from _trials import Row, Trials, command, mean_interval

from matjax.config import spec
from matjax.keys import child
from matjax.value import Compounds, Context, Genetic, Reward, ValueLearner

HERE = Path(__file__).resolve().parent
QUICK = ("seeds=2", 'space.prototypes="B2 L1_0 L1_2 D0_3 L2_1"', "learner.n_iteration=4")
SMOKE = (
    "seeds=1",
    'space.elements="Cu Au Ni Al Ti"',
    'space.prototypes="B2 L1_2 L2_1"',
    "learner={tau=0.05, batch=16, n_iteration=2, inner_steps=4, width=16}",
)
N_BEST = 100


@spec
class Settings:
    """Of the experiment; see `config.toml`."""

    seeds: int
    failed: float
    space: Compounds
    learner: ValueLearner


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """Of every compound in the order of the tree.

    actions: trajectories [n, n_step]; rewards: eV/atom [n]; is_stable: whether it is on the hull [n]; is_lost: whether the crystal did not
    keep its structure [n].
    """

    actions: np.ndarray
    rewards: np.ndarray
    is_stable: np.ndarray
    is_lost: np.ndarray


def truth(settings: Settings) -> Truth:
    """By enumeration."""
    actions, stability = np.column_stack(settings.space.enumerate()), stabilities(settings.space)
    rewards = np.where(np.isfinite(stability), -stability, settings.failed)
    return Truth(actions.astype(np.int32), np.maximum(rewards, settings.failed), stability < 0, ~np.isfinite(stability))


def table(exact: Truth) -> Reward:
    """The reward as a function."""
    rows = {row.tobytes(): value for row, value in zip(exact.actions, exact.rewards, strict=True)}
    return lambda structure, counts: np.array([rows[r.tobytes()] for r in np.column_stack([structure, counts]).astype(np.int32)])


def found_by(exact: Truth, asked: np.ndarray) -> Row:
    """What the trajectories that were asked about hold of the best, and of the hull."""
    there = {row.tobytes() for row in np.ascontiguousarray(asked, np.int32)}
    met = np.array([row.tobytes() in there for row in exact.actions])
    best = np.argsort(-exact.rewards, kind="stable")[:N_BEST]
    return {
        "n_call": len(there),
        "best_found": float(met[best].mean()),
        "stable_found": float(met[exact.is_stable].mean()) if exact.is_stable.any() else 0.0,
        "best100_gap_ev": float(exact.rewards[best].mean() - np.sort(exact.rewards[met])[-N_BEST:].mean()),
    }


def bred(space: Compounds, reward: Reward, search: Genetic, n_call: int, key: jax.Array) -> np.ndarray:
    """The first `n_call` trajectories that a genetic search asks about; it never asks twice, and has as many generations as it needs."""
    seen: list[np.ndarray] = []

    def spy(structure: np.ndarray, counts: np.ndarray) -> np.ndarray:
        seen.append(np.column_stack([structure, counts]))
        return reward(structure, counts)

    search.propose(1, Context(space, spy), key)
    return np.concatenate(seen)[:n_call]


@cache
def tuned(settings: Settings, exact: Truth) -> Genetic:
    """The settings of genetic search that find most of the best on three other seeds; what they ask is not charged."""
    n_call, found = settings.learner.batch * settings.learner.n_iteration, {}
    for population, crossover, tournament in product((32, 64, 128, 256), (0.1, 0.3, 0.6), (2, 3)):
        search = Genetic(tournament, crossover, min(population, n_call // 2), n_generation=400)
        keys = [child(jax.random.key(1000 + s), "genetic") for s in range(3)]
        asked = [bred(settings.space, table(exact), search, n_call, key) for key in keys]
        found[search] = float(np.mean([found_by(exact, a)["best_found"] for a in asked]))
    best = max(found, key=lambda search: found[search])
    print(f"genetic search tuned: {best}, {found[best]:.3f} of the best found", file=sys.stderr)
    return best


def trial(settings: Settings, exact: Truth, method: str, seed: int) -> Row:
    """One search."""
    space, learner, key, reward = settings.space, settings.learner, child(jax.random.key(seed), method), table(exact)
    n_call = learner.batch * learner.n_iteration
    if method == "random":
        drawn = np.unique(np.column_stack(space.sample_uniform(4 * n_call, key)), axis=0)
        return found_by(exact, np.random.default_rng(seed).permutation(drawn)[:n_call])
    if method == "genetic":
        return found_by(exact, bred(space, reward, tuned(settings, exact), n_call, key))
    begun, cpu = time.perf_counter(), time.process_time()
    policy = learner(space, reward, key)
    spent = {"seconds": round(time.process_time() - cpu, 2), "wall_seconds": round(time.perf_counter() - begun, 2)}
    scaled = exact.rewards / policy.tau
    weight = np.exp(scaled - scaled.max())
    probability = np.exp(policy.log_ratio(exact.actions)) / len(exact.actions)
    value = scaled.max() + np.log(weight.mean())
    return {
        **spent,
        **found_by(exact, policy.actions),
        "v0_error_nats": float(policy.value([(None, {})])[0] / policy.tau - value),
        "total_variation": float(0.5 * np.abs(probability - weight / weight.sum()).sum()),
        "total_variation_of_chance": float(0.5 * np.abs(1 / len(weight) - weight / weight.sum()).sum()),
        "reward_of_draws": float(probability @ exact.rewards / probability.sum()),
        "reward_of_optimal_draws": float(weight @ exact.rewards / weight.sum()),
        "reward_of_chance": float(exact.rewards.mean()),
    }


def measure(settings: Settings, trials: Trials) -> Row:
    """Every row, then the figures over the seeds."""
    exact = truth(settings)
    about = {
        "n_leaf": len(exact.rewards),
        "n_stable": int(exact.is_stable.sum()),
        "n_lost": int(exact.is_lost.sum()),
    }
    figures: Row = dict(about)
    for method in ("value", "genetic", "random"):
        rows = [trials.row(f"{method} {s}", lambda m=method, s=s: trial(settings, exact, m, s)) for s in range(settings.seeds)]
        kept = [row for row in rows if row is not None]
        if kept:
            figures[method] = {name: mean_interval([row[name] for row in kept]) for name in kept[0] if name != "cpu_seconds"}
    pairs = [(trials.rows.get(f"value {s}"), trials.rows.get(f"genetic {s}")) for s in range(settings.seeds)]
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    if both:
        names = ("best_found", "stable_found", "best100_gap_ev")
        figures["value_minus_genetic"] = {name: mean_interval([a[name] - b[name] for a, b in both]) for name in names}
    trials.write({"figures": figures})
    return figures


if __name__ == "__main__":
    command(__doc__ or "", HERE, Settings, measure, inputs=(HERE / "_laboratory.py",), quick=QUICK, smoke=SMOKE)
