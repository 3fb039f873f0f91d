"""One network for every preference against the exact Pareto front: three goals on a space that is small enough to know all of it."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from matjax.keys import child, generator
from matjax.value import Alloys, Goals, ParetoLearner, ValueLearner, hypervolume, non_dominated

SPACE = Alloys("Cu Ag Au Ni Pd Pt", lattices="fcc bcc", n_site=8, min_elements=3, max_elements=4, max_count=5)
LEARNER = ParetoLearner(ValueLearner(tau=0.2, batch=64, n_iteration=8, inner_steps=32, width=64))
N_PREFERENCE, N_DRAW = 32, 16


def random_goals(seed: int) -> Goals:
    """Two regular solutions with random interactions, unrelated to each other, and a price."""
    rng, n = np.random.default_rng(seed), len(SPACE.elements)
    omegas, prices = [12 * np.triu(rng.normal(size=(n, n)), 1) for _ in range(2)], rng.random(n)

    def goals(lattice: np.ndarray, counts: np.ndarray) -> np.ndarray:
        x = counts / SPACE.n_site
        return np.column_stack([*(-((x @ omega) * x).sum(1) for omega in omegas), -2.0 * x @ prices - 0.3 * (lattice == 1)])

    return goals


def front(seed: int) -> dict[str, Any]:
    """Share of the exact hypervolume over what is better than half of all alloys in every goal, by what it is taken of.

    draws: from the policies of 32 weightings that were drawn after the learning; chance: as many uniform draws; known: all alloys that
    the learner asked about; weightings: the exact optima of 4,000 weightings.
    """
    goals, key = random_goals(seed), jax.random.key(seed)
    every = goals(*SPACE.enumerate())
    reference = np.quantile(every, 0.5, axis=0)
    share = lambda points: hypervolume(points, reference) / hypervolume(every, reference)
    policy, rng = LEARNER(SPACE, goals, child(key, "learn")), generator(child(key, "weights"))
    weights = rng.dirichlet(np.ones(every.shape[1]), 4000)
    drawn = [c for k, w in enumerate(weights[:N_PREFERENCE]) for c in policy.at(w).sample(N_DRAW, child(key, "draw", k))]
    distinct = list({c.key: c for c in drawn}.values())
    return {
        "n_leaf": SPACE.n_leaf,
        "n_front": int(non_dominated(every).sum()),
        "n_call": len(policy.actions),
        "n_drawn": len(distinct),
        "draws": share(goals(*SPACE.encode(distinct))),
        "known": share(policy.front()[1]),
        "chance": share(goals(*SPACE.sample_uniform(len(distinct), child(key, "chance")))),
        "weightings": share(every[np.unique((every @ weights.T).argmax(0))]),
    }
