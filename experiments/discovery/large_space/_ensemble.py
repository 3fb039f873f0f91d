"""The reward of the experiment: an ensemble of networks on composition and lattice, fitted to alloys of the embedded laboratory.

python experiments/discovery/large_space/_ensemble.py     measures the alloys, fits, and writes ensemble.npz
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import jax
import numpy as np
from sklearn.neural_network import MLPRegressor

from matjax.simulate import Laboratory
from matjax.simulate.cells import cells, element_volumes, solution
from matjax.simulate.prototypes import LATTICES
from matjax.types import Candidate
from matjax.units import BOLTZMANN
from matjax.value import Alloys, Reward

WEIGHTS = Path(__file__).with_name("ensemble.npz")
ELEMENTS = ("Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al", "Pb", "Fe", "Mo", "Ta", "W", "Mg", "Co", "Ti", "Zr")
N_MEMBER, N_RANDOM, N_HELD, HIDDEN = 4, 800, 150, (64, 64)
BETA = 0.02
"""eV/atom: how pessimistic the reward is about what the members disagree on (an entropic certainty equivalent)."""


def features(lattice: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Lattice, one hot, and composition [n, 3 + n_element]."""
    return np.concatenate([np.eye(len(LATTICES))[lattice], 4.0 * x], 1)


def labels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features [n, n_feature] and enthalpies of mixing [n] eV/atom of alloys that keep their lattice, and which are held out [n]."""
    binaries = [solution(l, {a: 1, b: 1}) for l in LATTICES for a, b in itertools.combinations(ELEMENTS, 2)]
    pure = [solution(l, {e: 1}) for l in LATTICES for e in ELEMENTS]
    grid = Alloys(ELEMENTS, n_site=32, min_elements=3, max_elements=8, max_count=12)
    drawn = grid.decode(*grid.sample_uniform(N_RANDOM, jax.random.key(0)))
    energy = _energies(candidates := [*pure, *binaries, *drawn])
    lowest = dict(zip(ELEMENTS, np.nanmin(energy[: len(pure)].reshape(len(LATTICES), -1), 0), strict=True))
    x = np.array([[c.composition.get(e, 0.0) for e in ELEMENTS] for c in candidates])
    lattice = np.array([LATTICES.index(c.prototype) for c in candidates])
    is_held = np.arange(len(candidates)) >= len(candidates) - N_HELD
    good, reference = np.isfinite(energy), np.array([lowest[e] for e in ELEMENTS])
    return features(lattice, x)[good], (energy - x @ reference)[good], is_held[good]


def _energies(candidates: list[Candidate]) -> np.ndarray:
    volumes = element_volumes(ELEMENTS)
    results = Laboratory().measure([cells(c, 1, volumes)[0] for c in candidates])
    return np.array([r.labels["energy_per_atom"] if r.converged else np.nan for r in results])


def fit() -> dict[str, np.ndarray]:
    """Weights of the members, each on its own bootstrap sample, in units of the spread of the enthalpies."""
    x, h, is_held = labels()
    print(f"{len(h)} alloys measured", file=sys.stderr, flush=True)
    train, scale, found, rng = np.flatnonzero(~is_held), h[~is_held].std(), dict[str, np.ndarray](), np.random.default_rng(0)
    held = []
    for m in range(N_MEMBER):
        rows = rng.choice(train, len(train))
        network = MLPRegressor(hidden_layer_sizes=HIDDEN, activation="tanh", learning_rate_init=2e-3, max_iter=150, tol=0.0, random_state=m)
        network.fit(x[rows], h[rows] / scale)
        for i, (w, b) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
            found |= {f"weight_{m}_{i}": w.astype(np.float32), f"bias_{m}_{i}": b.astype(np.float32)}
        held.append(scale * network.predict(x[is_held]))
    error, spread = np.abs(np.mean(held, 0) - h[is_held]), np.std(held, 0)
    print(f"{len(train)} alloys, {is_held.sum()} held out: MAE {error.mean():.4f}, spread {spread.mean():.4f} eV/atom", file=sys.stderr)
    return found | {"scale": np.array(scale), "held_mae": np.array(error.mean()), "n_train": np.array(len(train))}


def pessimistic_reward(space: Alloys, temperature: float) -> Reward:
    """-G of mixing, eV/atom at a temperature (K), of an ideal solution with the members' enthalpies; entropic over the members."""
    with np.load(WEIGHTS) as file:
        weights = dict(file)
    n_layer = len(HIDDEN) + 1
    members = [[(weights[f"weight_{m}_{i}"], weights[f"bias_{m}_{i}"]) for i in range(n_layer)] for m in range(N_MEMBER)]

    def enthalpy(layers: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> np.ndarray:
        for i, (w, b) in enumerate(layers):
            x = x @ w + b
            x = np.tanh(x) if i + 1 < n_layer else x
        return weights["scale"] * x[:, 0]

    def reward(lattice: np.ndarray, counts: np.ndarray) -> np.ndarray:
        x = counts / space.n_site
        entropy = -BOLTZMANN * (x * np.log(np.where(counts > 0, x, 1.0))).sum(1)
        gibbs = np.stack([enthalpy(layers, features(lattice, x)) for layers in members]) - temperature * entropy
        top = gibbs.max(0)
        return -(top + BETA * np.log(np.exp((gibbs - top) / BETA).mean(0)))

    return reward


if __name__ == "__main__":
    np.savez(WEIGHTS, allow_pickle=False, **fit())
