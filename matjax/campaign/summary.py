"""After a campaign: everything its report shows, computed once and written down as plain numbers."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import matjax
from matjax.campaign.baseline import run_baseline
from matjax.campaign.config import DiscoverConfig
from matjax.campaign.crystals.problem import CrystalProblem
from matjax.campaign.export import write_candidates, write_structures
from matjax.campaign.held_back import HeldBack, audit_facts, audit_state, eased, feasibility_of, stricter
from matjax.campaign.pressure import audit_pool, pressure
from matjax.campaign.problem import Measured
from matjax.campaign.records import Record, history, learnable, read_records
from matjax.campaign.trace import Trace, open_read_only, read_measured, read_trace
from matjax.keys import child
from matjax.thermo import not_considered
from matjax.toml import to_toml
from matjax.value import Alloys, Context, Genetic, Policy, Random, ValueGuided, pair_values, ternary_values, weight_fractions
from matjax.value.space import Space

PACKAGES = ("jax", "jaxlib", "flax", "optax", "e3nn-jax", "numpy", "ase")

N_BEST = 8
"""Candidates in the table and among the structures."""

Told = Callable[[dict[str, Any]], None]


def write_summary(run_dir: Path, config: DiscoverConfig, *, command: str, seconds: float, report: Told | None = None) -> Path:
    """Writes `discovery.json`, `candidates.csv` and the best structures of a finished campaign.

    Runs the comparisons at the same oracle budget, measures an audit pool for scoring only, and asks the last round's
    model for its landscape and its value function. Nothing of it flows back into the campaign.

    Args:
      run_dir: Folder of the campaign.
      config: Its settings.
      command: What the user typed.
      seconds: Time spent until now.
      report: Told what is being done, {"kind": "summary", "stage": ...}.

    Returns:
      Path of `discovery.json`.
    """
    begun, tell = time.perf_counter(), report or (lambda _: None)
    problem, trace = config.problem(), read_trace(run_dir)
    measured, known = read_measured(run_dir), read_measured(run_dir, known=True)
    with open_read_only(run_dir) as connection:
        records = read_records(connection)
    key = child(config.key(), "summary")
    structures = write_structures(run_dir, N_BEST)
    write_candidates(run_dir, trace)
    told = _header(config, problem, trace, command) | {"n_known": len(known)}
    told["curves"] = [{"proposer": "matjax", "seed": config.seed, "utility": trace.utility}]
    tell({"kind": "summary", "stage": "random and genetic search"})
    told["curves"] += _curves(config, problem, known, len(trace.utility), child(key, "baseline"), tell)
    told["best"] = [_best(problem, row, structures) for row in trace.best[:N_BEST]]
    last = max((r["round"] for r in trace.rounds), default=-1)
    if config.acquisition is not None and last >= 0:
        before = [r for r in records if r.round < last]
        surrogate = problem.learn(learnable(before), round=last, run_dir=run_dir, key=child(config.key(), "round", last, "learn"))
        audit = audit_state(config.brake, before)
        surrogate = stricter(surrogate, audit.factor)
        tell({"kind": "summary", "stage": "audit"})
        pool = audit_pool(problem, config.oracle, known, config.comparison.audit, child(key, "audit"))
        told["pressure"] = pressure(surrogate, pool)
        told["audit"] = audit_facts(audit_state(config.brake, records))
        tell({"kind": "summary", "stage": "landscapes"})
        best = [measured[row["key"]] for row in trace.best[:4]]
        told |= problem.views(surrogate, known, best)
        if isinstance(config.proposer, ValueGuided):
            tell({"kind": "summary", "stage": "value function"})
            guarded = HeldBack(surrogate, feasibility_of(before))
            eased_config = dataclasses.replace(config, proposer=eased(config.proposer, audit.factor))
            policy = _policy(eased_config, problem, guarded, before, last)
            told["value"] = _value(policy, problem.space, trace, child(key, "value"))
    told |= {"seconds": seconds + time.perf_counter() - begun, "peak_GiB": _peak_memory()}
    path = run_dir / "discovery.json"
    partial = path.with_name("discovery.json.partial")
    partial.write_text(json.dumps(_plain(told), indent=1, allow_nan=False), encoding="utf-8")
    os.replace(partial, path)
    return path


def _header(config: DiscoverConfig, problem: CrystalProblem, trace: Trace, command: str) -> dict[str, Any]:
    describe = config.utility.describe()
    rounds = [r | {"n_train": r.get("n_train")} for r in trace.rounds if r["round"] >= 0]
    return {
        "title": f"Which {config.space.what} of {' '.join(problem.elements)} are worth making?",
        "command": command,
        "settings": to_toml(config),
        "oracle": {"name": config.oracle.name, "version": config.oracle.version, "note": config.oracle.note},
        "temperature": config.temperature,
        "what": config.space.what,
        "elements": list(problem.elements),
        "lattices": [name for name, is_open in zip(config.space.structures, config.space.open_structures, strict=True) if is_open],
        "prototypes": list(config.known.compounds),
        "not_considered": list(not_considered(problem.elements, config.known.compounds, temperature=config.temperature)),
        "terms": list(config.terms.names),
        "n_leaf": config.space.n_leaf,
        "budget": config.budget,
        "batch": config.batch,
        "rounds": rounds,
        "reason": trace.reason,
        "utility": [{"goal": kind, "text": text} for kind, text in describe.items()],
        "versions": {"matjax": matjax.__version__} | {name: importlib.metadata.version(name) for name in PACKAGES},
        "hardware": {"machine": platform.machine(), "cores": os.cpu_count() or 0, "python": platform.python_version()},
    }


def _curves(
    config: DiscoverConfig, problem: CrystalProblem, known: dict[str, Measured], budget: int, key: jax.Array, tell: Told
) -> list[dict[str, Any]]:
    """Random and genetic search on the oracle itself, several seeds."""
    seeds, found = config.comparison.seeds, list[dict[str, Any]]()
    if not seeds or not budget:
        return found
    for proposer in (Random(), Genetic()):
        found += run_baseline(
            proposer, problem, config.oracle, budget=budget, batch=config.batch, seeds=seeds, known=known, key=key, report=tell
        )
    return found


def _best(problem: CrystalProblem, row: dict[str, Any], structures: dict[str, str]) -> dict[str, Any]:
    """A line of the table of best candidates; intervals are those predicted before it was measured."""
    atomic = np.array([row["composition"].get(s, 0.0) for s in problem.elements])
    weight = weight_fractions(problem.elements, atomic)
    flags = ["outside the training density"] if row["flagged"] else []
    flags += ["mechanically unstable"] if row["born"] is not None and row["born"] <= 0 else []
    flags += ["not stable"] if row["stability"] is not None and row["stability"] > 0 else []
    return row | {
        "low": row["predicted_stability_low"],
        "high": row["predicted_stability_high"],
        "utility_low": row["predicted_utility_low"],
        "utility_high": row["predicted_utility_high"],
        "flags": flags,
        "weight_percent": {s: round(100 * float(w), 2) for s, w in zip(problem.elements, weight, strict=True) if w > 0},
        "structure": structures.get(row["key"]),
    }


def _policy(config: DiscoverConfig, problem: CrystalProblem, surrogate: HeldBack, before: Sequence[Record], last: int) -> Policy:
    """The policy of the last round, as the campaign had it: from what was known, imported and measured before."""
    reward = lambda structure, counts: surrogate.reward(problem.space.decode(structure, counts))
    context = Context(space=problem.space, reward=reward, history=history(before), seen=frozenset(r.candidate.key for r in before))
    assert isinstance(config.proposer, ValueGuided)
    return config.proposer.learn(context, child(config.key(), "round", last, "propose"))


def _value(policy: Policy, space: Space, trace: Trace, key: jax.Array) -> dict[str, Any]:
    """The value of pairs of elements, and of three elements of the best alloy in every proportion."""
    elements, best = space.elements, trace.best
    shares = best[0]["composition"] if best else dict.fromkeys(elements, 0.0)
    three = tuple(sorted(shares, key=lambda s: -shares[s])[:3])
    points: list[tuple[float, float, float, float]] = []
    if isinstance(space, Alloys) and len(three) == 3:
        steps = min(12, space.n_site - (space.min_elements - 3) * space.min_count)
        points = ternary_values(policy, three, steps, child(key, "ternary"), 128)
    return {
        "elements": list(elements),
        "pairs": pair_values(policy, child(key, "pairs"), 256).tolist(),
        "ternary": {"elements": list(three), "points": [list(p) for p in points]},
        "tau": policy.tau,
        "n_reward_calls": policy.n_call,
    }


def _plain(value: Any) -> Any:
    """Plain JSON: no NaN, no arrays."""
    if dataclasses.is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is no plain value")
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else bool(value) if isinstance(value, np.bool_) else value


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30
