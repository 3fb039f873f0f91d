"""The reward of the experiment: an ensemble of networks on composition and lattice, fitted to alloys of the embedded laboratory.

python experiments/discovery/large_space/_ensemble.py     measures the alloys, fits, and writes ensemble.npz
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import jax
import numpy as np

from matjax.simulate import Laboratory
from matjax.simulate.cells import cells, element_volumes, solution
from matjax.simulate.prototypes import LATTICES
from matjax.types import Candidate
from matjax.units import BOLTZMANN
from matjax.value import Alloys, Reward

sys.path.append(str(Path(__file__).resolve().parents[1]))
from _networks import Members, fit, pessimistic

WEIGHTS = Path(__file__).with_name("ensemble.npz")
ELEMENTS = ("Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al", "Pb", "Fe", "Mo", "Ta", "W", "Mg", "Co", "Ti", "Zr")
N_RANDOM, N_HELD, HIDDEN = 800, 150, (64, 64)


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


def pessimistic_reward(space: Alloys, temperature: float) -> Reward:
    """-G of mixing, eV/atom at a temperature (K), of an ideal solution with the members' enthalpies; entropic over the members."""
    members = Members.load(WEIGHTS)

    def reward(lattice: np.ndarray, counts: np.ndarray) -> np.ndarray:
        x = counts / space.n_site
        entropy = -BOLTZMANN * (x * np.log(np.where(counts > 0, x, 1.0))).sum(1)
        return pessimistic(members.enthalpy(features(lattice, x)) - temperature * entropy)

    return reward


if __name__ == "__main__":
    np.savez(WEIGHTS, allow_pickle=False, **fit(*labels(), hidden_layer_sizes=HIDDEN, max_iter=150))
