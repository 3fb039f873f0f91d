"""The reward of the experiment: networks on what sits on which orbit, fitted to compounds of the embedded laboratory.

python experiments/discovery/large_compounds/_ensemble.py     measures the compounds, fits, and writes ensemble.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
from sklearn.neural_network import MLPRegressor

from matjax.keys import generator
from matjax.simulate import Laboratory
from matjax.simulate.cells import cells, element_volumes, solution
from matjax.simulate.prototypes import LATTICES, prototype
from matjax.types import Candidate
from matjax.units import BOLTZMANN
from matjax.value import Compounds, Reward

WEIGHTS = Path(__file__).with_name("ensemble.npz")
ELEMENTS = ("Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al", "Pb", "Fe", "Mo", "Ta", "W", "Mg", "Co", "Ti", "Zr")
PROTOTYPES = ("B2", "L1_0", "L1_2", "D0_3", "L2_1")
N_ORBIT = 3
N_ORDERED, N_MIXED, N_HELD = 1400, 1400, 200
N_MEMBER, HIDDEN = 4, (96, 96)
BETA = 0.02
"""eV/atom: how pessimistic the reward is about what the members disagree on (an entropic certainty equivalent)."""

SIZES = np.array([[*prototype(name).multiplicities, 0, 0][:N_ORBIT] for name in PROTOTYPES], float)


def features(structure: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Structure, one hot, and composition of each orbit [n, 5 + n_element * n_orbit]; orbits that are not there are zero."""
    return np.concatenate([np.eye(len(PROTOTYPES))[structure], 3.0 * shares.reshape(len(shares), -1)], 1)


def shares_of(space: Compounds, counts: np.ndarray) -> np.ndarray:
    """Site fractions [n, n_element, n_orbit]."""
    return counts.reshape(len(counts), -1, space.tree.n_orbit) / space.n_grid


def labels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features [n, n_feature] and enthalpies of formation [n] eV/atom of compounds that keep their structure; which are held out [n]."""
    volumes = element_volumes(ELEMENTS)
    pure = [solution(lattice, {e: 1}) for e in ELEMENTS for lattice in LATTICES]
    lowest = np.nanmin(_energies(pure, volumes).reshape(len(ELEMENTS), -1), 1)
    ordered = Compounds(ELEMENTS, prototypes=PROTOTYPES, max_elements=3)
    rows = np.sort(generator(jax.random.key(1)).permutation(ordered.n_leaf)[:N_ORDERED])
    structure, counts = (part[rows] for part in ordered.enumerate())
    mixed = Compounds(ELEMENTS, prototypes=PROTOTYPES, n_grid=6, max_elements=8)
    some, drawn = mixed.sample_uniform(N_MIXED, jax.random.key(0))
    every = [*ordered.decode(structure, counts), *mixed.decode(some, drawn)]
    shares = np.concatenate([shares_of(ordered, counts), shares_of(mixed, drawn)])
    x = np.array([[c.composition.get(e, 0.0) for e in ELEMENTS] for c in every])
    h, is_held = _energies(every, volumes) - x @ lowest, np.arange(len(every)) >= len(every) - N_HELD
    good = np.isfinite(h)
    return features(np.concatenate([structure, some]), shares)[good], h[good], is_held[good]


def _energies(candidates: list[Candidate], volumes: dict[str, float]) -> np.ndarray:
    results = []
    for i in range(0, len(candidates), 200):
        results += Laboratory().measure([cells(c, 1, volumes)[0] for c in candidates[i : i + 200]])
        print(f"{len(results)} of {len(candidates)} measured", file=sys.stderr, flush=True)
    return np.array([r.labels["energy_per_atom"] if r.converged else np.nan for r in results])


def fit() -> dict[str, np.ndarray]:
    """Weights of the members, each on its own bootstrap sample, in units of the spread of the enthalpies."""
    x, h, is_held = labels()
    train, scale, found, rng = np.flatnonzero(~is_held), h[~is_held].std(), dict[str, np.ndarray](), np.random.default_rng(0)
    held = []
    for m in range(N_MEMBER):
        rows = rng.choice(train, len(train))
        network = MLPRegressor(
            hidden_layer_sizes=HIDDEN,
            activation="tanh",
            learning_rate_init=2e-3,
            alpha=1e-3,
            max_iter=200,
            tol=0.0,
            n_iter_no_change=200,
            random_state=m,
        )
        network.fit(x[rows], h[rows] / scale)
        for i, (w, b) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
            found |= {f"weight_{m}_{i}": w.astype(np.float32), f"bias_{m}_{i}": b.astype(np.float32)}
        held.append(scale * network.predict(x[is_held]))
    error, spread = np.abs(np.mean(held, 0) - h[is_held]), np.std(held, 0)
    told = f"{len(train)} compounds, {is_held.sum()} held out of spread {h[is_held].std():.4f}"
    print(f"{told}: MAE {error.mean():.4f}, spread {spread.mean():.4f} eV/atom", file=sys.stderr)
    return found | {"scale": np.array(scale), "held_mae": np.array(error.mean()), "n_train": np.array(len(train))}


def pessimistic_reward(space: Compounds, temperature: float) -> Reward:
    """-G of formation, eV/atom at a temperature (K), with ideal entropy on each orbit; entropic over the members."""
    with np.load(WEIGHTS) as file:
        weights = dict(file)
    n_layer, own = len(HIDDEN) + 1, [ELEMENTS.index(e) for e in space.elements]
    members = [[(weights[f"weight_{m}_{i}"], weights[f"bias_{m}_{i}"]) for i in range(n_layer)] for m in range(N_MEMBER)]
    number = np.array([PROTOTYPES.index(name) for name in space.prototypes])

    def enthalpy(layers: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> np.ndarray:
        for i, (w, b) in enumerate(layers):
            x = x @ w + b
            x = np.tanh(x) if i + 1 < n_layer else x
        return weights["scale"] * x[:, 0]

    def reward(structure: np.ndarray, counts: np.ndarray) -> np.ndarray:
        kind, y = number[np.asarray(structure)], np.zeros((len(counts), len(ELEMENTS), N_ORBIT))
        y[:, own] = shares_of(space, np.asarray(counts))
        size = SIZES[kind] / SIZES[kind].sum(1, keepdims=True)
        entropy = -BOLTZMANN * ((y * np.log(np.where(y > 0, y, 1.0))).sum(1) * size).sum(1)
        gibbs = np.stack([enthalpy(layers, features(kind, y)) for layers in members]) - temperature * entropy
        top = gibbs.max(0)
        return -(top + BETA * np.log(np.exp((gibbs - top) / BETA).mean(0)))

    return reward


if __name__ == "__main__":
    np.savez(WEIGHTS, allow_pickle=False, **fit())
