"""The list and its truth: random alloys of five metals, and what the laboratory says of them, kept once measured."""

from __future__ import annotations

import hashlib
import itertools
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from matjax.simulate import Laboratory
from matjax.simulate.cells import cells, element_volumes, solution
from matjax.simulate.laboratory import ELEMENTS
from matjax.simulate.prototypes import LATTICES
from matjax.thermo.elasticity.moduli import hill
from matjax.units import BOLTZMANN

N_SITE, LARGEST, CHUNK = 32, 11, 250
BINARY = (8, 12, 16, 24)
"""Atoms of the first element of a labelled binary alloy."""


class Alloys(NamedTuple):
    """Compositions with their truth.

    Attributes:
      counts: Atoms of each element, of 32 [n, n_element].
      enthalpy: Of mixing, from each element on its most stable lattice, eV/atom; NaN where the lattice was lost, or not at rest [n].
      pugh: Bulk over shear modulus (Voigt-Reuss-Hill), NaN likewise and where the lattice is elastically unstable [n].
    """

    counts: np.ndarray
    enthalpy: np.ndarray
    pugh: np.ndarray

    def utility(self, temperature: float) -> np.ndarray:
        """-G / 0.1 eV + 2 ln(B/G) at a temperature (K), G of mixing with ideal entropy [n]; NaN where there is no truth."""
        x = self.counts / N_SITE
        entropy = -(x * np.log(np.where(x > 0, x, 1.0))).sum(1)
        return -(self.enthalpy - BOLTZMANN * temperature * entropy) / 0.1 + 2 * np.log(self.pugh)


def listed(n: int, seed: int) -> np.ndarray:
    """Counts of n different alloys of five elements, one to eleven atoms of 32 each [n, n_element]."""
    rng, found = np.random.default_rng(seed), dict[bytes, np.ndarray]()
    while len(found) < n:
        chosen = rng.choice(len(ELEMENTS), 5, replace=False)
        part = 1 + rng.multinomial(N_SITE - 5, rng.dirichlet(np.full(5, 1.5)))
        if part.max() <= LARGEST:
            row = np.zeros(len(ELEMENTS), np.int32)
            row[chosen] = part
            found.setdefault(row.tobytes(), row)
    return np.stack(list(found.values()))


def binaries() -> np.ndarray:
    """Counts of four alloys of every pair, system by system [136, 4, n_element]."""
    rows = np.zeros((len(ELEMENTS) * (len(ELEMENTS) - 1) // 2, len(BINARY), len(ELEMENTS)), np.int32)
    for k, (i, j) in enumerate(itertools.combinations(range(len(ELEMENTS)), 2)):
        rows[k, :, i], rows[k, :, j] = BINARY, N_SITE - np.array(BINARY)
    return rows


def labelled(counts: np.ndarray, folder: Path) -> Alloys:
    """The truth of alloys, chunk by chunk, each kept in a folder under its content."""
    folder.mkdir(parents=True, exist_ok=True)
    single = N_SITE * np.eye(len(ELEMENTS), dtype=np.int32)
    pure = np.nanmin([_measured(single, folder, lattice)[:, 0] for lattice in LATTICES], 0)
    parts = []
    for begin in range(0, len(counts), CHUNK):
        parts.append(_measured(counts[begin : begin + CHUNK], folder))
        print(f"\rlabels: {min(begin + CHUNK, len(counts))} of {len(counts)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    energy, pugh = np.concatenate(parts).T
    return Alloys(counts, energy - counts / N_SITE @ pure, pugh)


def _measured(counts: np.ndarray, folder: Path, lattice: str = "fcc") -> np.ndarray:
    """Energy (eV/atom) and B/G of alloys [n, 2]; NaN where there is none."""
    oracle, volumes = Laboratory(), element_volumes(ELEMENTS)
    named = hashlib.sha256(counts.tobytes() + f"{oracle.version} {oracle.max_force} {lattice}".encode()).hexdigest()[:16]
    if (kept := folder / f"{named}.npy").exists():
        return np.load(kept)
    shown = [{e: int(n) for e, n in zip(ELEMENTS, row, strict=True) if n} for row in counts]
    results = oracle.measure([cells(solution(lattice, some), 1, volumes)[0] for some in shown], elastic=True)
    found = np.full((len(counts), 2), np.nan)
    for i, result in enumerate(results):
        if result.converged and result.elastic is not None and np.linalg.eigvalsh(result.elastic).min() > 0:
            average = hill(result.elastic)
            found[i] = result.labels["energy_per_atom"], float(average.bulk / average.shear)
    np.save(kept.with_suffix(".part.npy"), found)
    kept.with_suffix(".part.npy").replace(kept)
    return found
