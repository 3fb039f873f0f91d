"""The reward of the experiment: networks on what sits on which orbit, fitted to compounds of the embedded laboratory.

python experiments/discovery/large_compounds/_ensemble.py     measures the compounds, fits, and writes ensemble.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np

from matjax.keys import generator
from matjax.simulate import Laboratory
from matjax.simulate.cells import cells, element_volumes, solution
from matjax.simulate.prototypes import LATTICES, prototype
from matjax.types import Candidate
from matjax.units import BOLTZMANN
from matjax.value import Compounds, Reward

sys.path.append(str(Path(__file__).resolve().parents[1]))
from _networks import Members, fit, pessimistic

WEIGHTS = Path(__file__).with_name("ensemble.npz")
ELEMENTS = ("Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al", "Pb", "Fe", "Mo", "Ta", "W", "Mg", "Co", "Ti", "Zr")
PROTOTYPES = ("B2", "L1_0", "L1_2", "D0_3", "L2_1")
N_ORBIT = 3
N_ORDERED, N_MIXED, N_HELD = 1400, 1400, 200
HIDDEN = (96, 96)
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


def pessimistic_reward(space: Compounds, temperature: float) -> Reward:
    """-G of formation, eV/atom at a temperature (K), with ideal entropy on each orbit; entropic over the members."""
    members, own = Members.load(WEIGHTS), [ELEMENTS.index(e) for e in space.elements]
    number = np.array([PROTOTYPES.index(name) for name in space.prototypes])

    def reward(structure: np.ndarray, counts: np.ndarray) -> np.ndarray:
        kind, y = number[np.asarray(structure)], np.zeros((len(counts), len(ELEMENTS), N_ORBIT))
        y[:, own] = shares_of(space, np.asarray(counts))
        size = SIZES[kind] / SIZES[kind].sum(1, keepdims=True)
        entropy = -BOLTZMANN * ((y * np.log(np.where(y > 0, y, 1.0))).sum(1) * size).sum(1)
        return pessimistic(members.enthalpy(features(kind, y)) - temperature * entropy)

    return reward


if __name__ == "__main__":
    settings = dict(hidden_layer_sizes=HIDDEN, alpha=1e-3, max_iter=200, n_iter_no_change=200)
    np.savez(WEIGHTS, allow_pickle=False, **fit(*labels(), **settings))
