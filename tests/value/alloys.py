"""An analytic reward and small spaces that several tests share."""

import jax
import numpy as np

from matjax.value import Alloys, Policy, ValueLearner

ELEMENTS = "Cu Ag Au Ni Pd Pt Al Pb Fe Mo Ta W Mg Co Ti Zr Cr".split()
SMALL = Alloys(tuple(ELEMENTS[:5]), lattices="fcc bcc", n_site=8, min_elements=3, max_elements=4, max_count=5)
TAU = 0.5


def regular_solution(space: Alloys, scale: float = 1.0):
    """-G/kT-like: pair interactions, ideal entropy and a shift per lattice, with fixed random coefficients."""
    rng = np.random.default_rng(1)
    n = len(space.elements)
    omega = np.triu(rng.normal(size=(n, n)), 1) * 16 * scale

    def reward(lattice: np.ndarray, counts: np.ndarray) -> np.ndarray:
        x = counts / space.n_site
        entropy = -(x * np.log(np.where(x > 0, x, 1))).sum(1)
        return -np.einsum("ni,ij,nj->n", x, omega, x) + entropy + 0.3 * lattice

    return reward


def trajectories(space: Alloys) -> np.ndarray:
    """Every alloy [n_leaf, n_step]."""
    return np.column_stack(space.enumerate())


def exact_value(rewards: np.ndarray, tau: float = TAU) -> float:
    """tau log mean exp(r / tau), written out."""
    top = rewards.max()
    return float(top + tau * np.log(np.mean(np.exp((rewards - top) / tau))))


def learned(space: Alloys, key: int = 0, **settings) -> Policy:
    """A policy of the regular solution."""
    settings = {"tau": TAU, "batch": 64, "n_iteration": 12} | settings
    return ValueLearner(**settings)(space, regular_solution(space), jax.random.key(key))
