"""Proxy against truth as optimisation pressure rises: best of n by the reward, and what the oracle says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from matjax.campaign.crystals.problem import CrystalProblem
from matjax.campaign.crystals.surrogate import CrystalSurrogate
from matjax.campaign.executor import Task, ask
from matjax.campaign.measure import checked
from matjax.campaign.oracle import Oracle
from matjax.campaign.problem import Measured
from matjax.types import Candidate
from matjax.value.audit import best_of_n


def audit_pool(
    problem: CrystalProblem, oracle: Oracle, known: Mapping[str, Measured], n: int, key: jax.Array
) -> list[tuple[Candidate, float]]:
    """Random candidates of the space with their true log utility, measured for scoring only: nothing learns from them."""
    if not n:
        return []
    drawn = problem.space.decode(*problem.space.sample_uniform(n, key))
    candidates = list({c.key: c for c in drawn if c.key not in known}.values())
    crystals = [problem.cells(c) for c in candidates]
    said = iter(ask(oracle, [crystal for part in crystals for crystal in part]))
    tasks = [Task(c.key, tuple(part)) for c, part in zip(candidates, crystals, strict=True)]
    found = [checked(oracle, task, [next(said) for _ in task.crystals]) for task in tasks]
    pool = [Measured(c, results) for c, results in zip(candidates, found, strict=True)]
    sound = {m.candidate.key: m for m in pool if m.converged}
    truth = problem.truth({**known, **sound}) if sound else {}
    return [(m.candidate, float(truth[k]["log_utility"])) for k, m in sound.items() if k in truth]


def pressure(surrogate: CrystalSurrogate, pool: list[tuple[Candidate, float]]) -> list[dict[str, Any]]:
    """Best-of-n curves: the log utility that the reward promises of the best of n, and what is true of it.

    `proxy` is the pessimistic reward of the ensemble, `proxy_single` the log utility by one network, with no pessimism. A reward
    that is gamed promises more and more while the truth falls behind. The expectation over all draws of n; the interval holds 90%
    of them.
    """
    if len(pool) < 2:
        return []
    candidates, truth = [c for c, _ in pool], np.array([t for _, t in pool])
    sizes = [n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256) if n <= len(pool) // 2]
    own = best_of_n(surrogate.reward(candidates), truth, sizes)
    alone = best_of_n(surrogate.single(candidates), truth, sizes)
    return [
        {
            "n": n,
            "proxy": float(own.proxy[i]),
            "truth": float(own.truth[i]),
            "truth_low": float(own.low[i]),
            "truth_high": float(own.high[i]),
            "proxy_single": float(alone.proxy[i]),
            "truth_single": float(alone.truth[i]),
        }
        for i, n in enumerate(sizes)
    ]
