"""The reward of the experiment: a regular solution on fcc, fitted to binary alloys of the embedded laboratory.

python experiments/discovery/exactness/_regular_solution.py     measures the binaries and writes interactions.csv
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from matjax.simulate import Laboratory
from matjax.simulate.cells import cells, element_volumes, solution
from matjax.simulate.prototypes import LATTICES
from matjax.types import Crystal
from matjax.units import BOLTZMANN
from matjax.value import Alloys, Reward

ELEMENTS = ("Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al", "Pb", "Fe", "Mo", "Ta", "W", "Mg", "Co", "Ti", "Zr")
TABLE = Path(__file__).with_name("interactions.csv")
RATIOS = ((1, 3), (1, 1), (3, 1))
MIN_CELL = 2
"""A pair with fewer cells that stay fcc gets the largest omega of the others: lead with metals much smaller than it."""


def fit(elements: Sequence[str] = ELEMENTS) -> list[tuple[str, str, float, int]]:
    """Rows (a, b, eV/atom, converged cells) of H = sum_i x_i h_i + sum_(i<j) x_i x_j omega_ij on fcc.

    A row with a = b holds h_a, against the element's most stable lattice.
    """
    volumes = element_volumes(elements)
    own = {lattice: _energies([cells(solution(lattice, {e: 1}), 1, volumes)[0] for e in elements]) for lattice in LATTICES}
    stable = np.nanmin([own[lattice] for lattice in LATTICES], 0)
    rows = [(e, e, float(h), 1) for e, h in zip(elements, own["fcc"] - stable, strict=True)]
    pairs = [(a, b, p, q) for a, b in itertools.combinations(elements, 2) for p, q in RATIOS]
    energies = _energies([cells(solution("fcc", {a: p, b: q}), 1, volumes)[0] for a, b, p, q in pairs])
    linear = dict(zip(elements, own["fcc"], strict=True))
    for k, (a, b) in enumerate(itertools.combinations(elements, 2)):
        share = np.array([p / (p + q) for p, q in RATIOS])
        excess = energies[3 * k :][:3] - share * linear[a] - (1 - share) * linear[b]
        product, good = share * (1 - share), np.isfinite(excess)
        omega = (excess[good] * product[good]).sum() / (product[good] ** 2).sum() if good.sum() >= MIN_CELL else np.nan
        rows.append((a, b, float(omega), int(good.sum())))
    largest = np.nanmax([value for _, _, value, _ in rows])
    return [(a, b, largest if np.isnan(value) else value, n) for a, b, value, n in rows]


def _energies(crystals: Sequence[Crystal]) -> np.ndarray:
    """eV/atom [n]; NaN where the lattice was lost or did not come to rest."""
    return np.array([r.labels["energy_per_atom"] if r.converged else np.nan for r in Laboratory().measure(crystals)])


def interactions(elements: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of elements, h [n_element], and of pairs, omega [n_element, n_element], symmetric, zero diagonal; eV/atom."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        table = {(row["a"], row["b"]): float(row["eV_per_atom"]) for row in csv.DictReader(file)}
    both = lambda a, b: table[(a, b)] if (a, b) in table else table[(b, a)]
    matrix = np.array([[both(a, b) for b in elements] for a in elements])
    return np.diag(matrix).copy(), matrix - np.diag(np.diag(matrix))


def gibbs_reward(space: Alloys, temperature: float, perturbed: float = 0.0, seed: int = 0) -> Reward:
    """-G of mixing, eV/atom, of the regular solution at a temperature (K).

    Args:
      space: The alloys; of one lattice.
      temperature: K.
      perturbed: Standard deviation of what is added to every omega, in units of their mean size: a reward that has changed.
      seed: Of the perturbation.
    """
    linear, omega = interactions(space.elements)
    noise = np.triu(np.random.default_rng(seed).normal(size=omega.shape), 1)
    omega = omega + perturbed * np.abs(omega).mean() * (noise + noise.T)

    def reward(lattice: np.ndarray, counts: np.ndarray) -> np.ndarray:
        x = counts / space.n_site
        entropy = -BOLTZMANN * (x * np.log(np.where(counts > 0, x, 1.0))).sum(1)
        return temperature * entropy - x @ linear - 0.5 * ((x @ omega) * x).sum(1)

    return reward


if __name__ == "__main__":
    found = fit()
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("a", "b", "eV_per_atom", "n_cell"))
        writer.writerows((a, b, f"{value:.6f}", n) for a, b, value, n in found)
    lost = [f"{a}{b}" for a, b, _, n in found if n < len(RATIOS) and a != b]
    print(f"{len(found)} rows; pairs with cells left out: {' '.join(lost) or 'none'}", file=sys.stderr)
