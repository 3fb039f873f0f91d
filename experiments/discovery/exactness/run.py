"""Is the learned value the true one? Value learning against full enumeration.

Alloys of five of sixteen metals in steps of 5 at.%, a regular solution as the reward (`_regular_solution.py`). Log Z, the expected
reward and the best hundred alloys are known by enumeration. Per seed: value learning by path consistency over suffixes, by trajectory
balance, random and genetic search, all with the same number of reward calls; after the reward has changed, learning from the old
policy and from nothing. On a tree of 2,646 leaves the whole distribution is compared, and on a smaller one the Pareto front
(`_front.py`). Seconds are those of the processor, of all threads together and compiling included: on two idle cores no more than that
passes.

    python experiments/discovery/exactness/run.py --json
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from _front import front
from _regular_solution import TABLE, gibbs_reward

sys.path.append(str(Path(__file__).resolve().parents[1]))
from _trials import Row, Trials, command, mean_interval

from matjax.config import spec
from matjax.keys import child
from matjax.value import Alloys, Context, Genetic, Policy, Reward, ValueLearner
from matjax.value.rollout import draw

HERE = Path(__file__).resolve().parent
TINY = ('space.elements="Cu Ni Al Fe Mg Ti Zr"', "space.n_site=10", "space.max_count=6")
QUICK = ("seeds=2", "small_learner.n_iteration=40")
SHORT = "{tau=0.04, batch=32, n_iteration=2, inner_steps=2, width=16}"
SMOKE = ("seeds=1", *TINY, f"learner={SHORT}", f"small_learner={SHORT}", "n_iteration_changed=1", 'variants=["suffix"]', "fronts=0")
N_BEST = 100


@spec
class Settings:
    """Of the experiment; see `config.toml`."""

    seeds: int
    temperature: float
    perturbed: float
    n_iteration_changed: int
    space: Alloys
    learner: ValueLearner
    small_space: Alloys
    small_learner: ValueLearner
    variants: tuple[str, ...] = ("suffix", "trajectory")
    fronts: int = 10


class Truth(NamedTuple):
    """What enumeration says: V(root) / tau and log Z (nats), E[r] under the optimal policy, mean of the best hundred, leaves."""

    value: float
    log_z: float
    expected: float
    best: float
    n_leaf: int


def truth(space: Alloys, reward: Reward, tau: float) -> Truth:
    """By enumeration of every alloy, one choice of elements after the other; knows nothing of the tree."""
    shares = np.array([p for p in itertools.product(range(1, space.max_count + 1), repeat=space.max_elements) if sum(p) == space.n_site])
    chosen = np.array(list(itertools.combinations(range(len(space.elements)), space.max_elements)))
    rewards = np.concatenate(
        [_of_chosen(reward, shares, some, len(space.elements)) for some in np.array_split(chosen, len(chosen) // 64 + 1)]
    )
    assert len(rewards) == space.n_leaf
    top = rewards.max()
    weight = np.exp((rewards - top) / tau)
    best = float(np.sort(rewards)[-N_BEST:].mean())
    value = float(top / tau + np.log(weight.mean()))
    return Truth(value, value + float(np.log(len(rewards))), float((weight * rewards).sum() / weight.sum()), best, len(rewards))


def _of_chosen(reward: Reward, shares: np.ndarray, chosen: np.ndarray, n_element: int) -> np.ndarray:
    """Rewards of all shares [n_share, k] of each choice of elements [n, k]."""
    counts = np.zeros((len(chosen), len(shares), n_element), np.int32)
    np.put_along_axis(counts, np.repeat(chosen[:, None], len(shares), 1), np.repeat(shares[None].astype(np.int32), len(chosen), 0), 2)
    return reward(np.zeros(len(chosen) * len(shares), int), counts.reshape(-1, n_element))


def figures_of(policy: Policy, reward: Reward, exact: Truth, key: jax.Array) -> Row:
    """A policy against enumeration."""
    drawn = np.asarray(draw(policy.params, policy.numbers, policy.tree, policy.tree, 4096, key))
    return {
        "n_call": policy.n_call,
        "v0_error_nats": float(policy.value([(None, {})])[0] / policy.tau - exact.value),
        "best100_fraction": float(policy.rewards[:N_BEST].mean() / exact.best),
        "expected_reward_error": float(reward(drawn[:, 0], drawn[:, 1:]).mean() - exact.expected),
    }


def searched(settings: Settings, reward: Reward, exact: Truth, key: jax.Array) -> Row:
    """Random and genetic search with as many calls as the learner: the best hundred that each met."""
    space, learner = settings.space, settings.learner
    n_call = learner.batch * learner.n_iteration
    lattice, counts = (x[:n_call] for x in np.split(np.unique(np.column_stack(space.sample_uniform(2 * n_call, key)), axis=0), [1], 1))
    order = np.random.default_rng(0).permutation(len(counts))[:n_call]
    seen: list[np.ndarray] = []
    spy = lambda lattice, counts: seen.append(reward(lattice, counts)) or seen[-1]
    Genetic(population=learner.batch, n_generation=learner.n_iteration).propose(1, Context(space, spy), key)
    of = lambda rewards: float(np.sort(rewards)[-N_BEST:].mean() / exact.best)
    return {"random": of(reward(lattice[order, 0], counts[order])), "genetic": of(np.concatenate(seen)), "n_call": sum(map(len, seen))}


def learned(settings: Settings, variant: str, exact: Truth, changed: Truth, seed: int) -> Row:
    """One variant of the loss: as it is, then warm and cold on the changed reward."""
    space, key = settings.space, jax.random.key(seed)
    learner, begun, cpu = dataclasses.replace(settings.learner, consistency=variant), time.perf_counter(), time.process_time()
    reward = gibbs_reward(space, settings.temperature)
    policy = learner(space, reward, child(key, "learn"))
    spent = {"seconds": round(time.process_time() - cpu, 2), "wall_seconds": round(time.perf_counter() - begun, 2)}
    row: Row = spent | figures_of(policy, reward, exact, child(key, "draw"))
    again = dataclasses.replace(learner, n_iteration=settings.n_iteration_changed)
    reward = gibbs_reward(space, settings.temperature, settings.perturbed)
    for name, start in (("warm", policy), ("cold", None)):
        row[name] = figures_of(again(space, reward, child(key, "again"), start), reward, changed, child(key, "draw"))
    return row


def distribution(settings: Settings, variant: str, seed: int) -> Row:
    """Total variation between the learned and the exact policy, over every leaf of the small tree."""
    space, learner, begun = settings.small_space, dataclasses.replace(settings.small_learner, consistency=variant), time.process_time()
    reward = gibbs_reward(space, settings.temperature)
    policy = learner(space, reward, jax.random.key(seed))
    seconds, actions = time.process_time() - begun, np.column_stack(space.enumerate())
    rewards = reward(actions[:, 0], actions[:, 1:])
    weight = np.exp((rewards - rewards.max()) / policy.tau)
    found = np.exp(policy.log_ratio(actions)) / space.n_leaf
    value = rewards.max() / policy.tau + np.log(weight.mean())
    return {
        "n_leaf": space.n_leaf,
        "steps": learner.n_iteration * learner.inner_steps,
        "seconds": round(seconds, 2),
        "total_variation": float(np.abs(found - weight / weight.sum()).sum() / 2),
        "v0_error_nats": float(policy.value([(None, {})])[0] / policy.tau - value),
    }


def measure(settings: Settings, trials: Trials) -> Row:
    """Every row; the figures over the seeds, the worst of each for what has a target."""
    reward = gibbs_reward(settings.space, settings.temperature)
    exact = truth(settings.space, reward, settings.learner.tau)
    changed = truth(settings.space, gibbs_reward(settings.space, settings.temperature, settings.perturbed), settings.learner.tau)
    found: dict[str, list[Row]] = {name: [] for name in ("search", "front", *settings.variants, *(f"tree {v}" for v in settings.variants))}
    for seed in range(settings.seeds):
        key = child(jax.random.key(seed), "search")
        makers: dict[str, Any] = {"search": lambda key=key: searched(settings, reward, exact, key)}
        makers |= {v: lambda v=v, seed=seed: learned(settings, v, exact, changed, seed) for v in settings.variants}
        makers |= {f"tree {v}": lambda v=v, seed=seed: distribution(settings, v, seed) for v in settings.variants}
        makers |= {"front": lambda seed=seed: front(seed)} if seed < settings.fronts else {}
        for name, make in makers.items():
            if (row := trials.row(f"{name} {seed}", make)) is not None:
                found[name].append(row)
    figures = {v: _summary(found[v], found[f"tree {v}"]) for v in settings.variants if found[v] and found[f"tree {v}"]}
    searches = {name: mean_interval([row[name] for row in found["search"]]) for name in ("random", "genetic") if found["search"]}
    shares = {
        name: mean_interval([row[name] for row in found["front"]]) for name in ("draws", "known", "chance", "weightings") if found["front"]
    }
    told = figures.get("suffix", {}).get("worst", {})
    about = {"exact": exact._asdict(), "exact_changed": changed._asdict(), "figures": figures}
    trials.write({**about, "best100_fraction_of_search": searches, "hypervolume_share": shares})
    return {
        **told,
        "trajectory": figures.get("trajectory", {}).get("worst"),
        "best100_fraction_of_search": searches,
        "hypervolume_share": shares,
    }


def _summary(rows: list[Row], trees: list[Row]) -> Row:
    """Worst over the seeds of what has a target; mean and interval of the rest."""
    column = lambda name: [row[name] for row in rows]
    worst = {
        "v0_error_nats": max(map(abs, column("v0_error_nats"))),
        "best100_fraction": round(min(column("best100_fraction")), 6),
        "total_variation": max(row["total_variation"] for row in trees),
        "seconds": max(column("seconds")),
    }
    more = {"expected_reward_error": mean_interval(column("expected_reward_error")), "seconds_mean": mean_interval(column("seconds"))}
    more |= {"wall_seconds": [min(column("wall_seconds")), max(column("wall_seconds"))]}
    more |= {"tree_seconds": mean_interval([row["seconds"] for row in trees]), "tree_steps": trees[0]["steps"]}
    gain = lambda name, sign: mean_interval([sign(row["warm"][name]) - sign(row["cold"][name]) for row in rows])
    warm = {
        "best100_fraction": gain("best100_fraction", float),
        "best100_fraction_worst": min(row["warm"]["best100_fraction"] - row["cold"]["best100_fraction"] for row in rows),
        "abs_v0_error_nats": gain("v0_error_nats", abs),
        "abs_expected_reward_error": gain("expected_reward_error", abs),
    }
    return {"worst": worst, **more, "warm_minus_cold": warm}


if __name__ == "__main__":
    command(__doc__ or "", HERE, Settings, measure, inputs=(TABLE,), quick=QUICK, smoke=SMOKE)
