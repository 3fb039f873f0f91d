"""The truth of the experiment: every compound relaxed in the embedded laboratory, against the hull of all others."""

from __future__ import annotations

import numpy as np

from matjax.simulate import Laboratory
from matjax.simulate.cells import cells, element_volumes, solution
from matjax.simulate.prototypes import LATTICES
from matjax.thermo import stabilities_of_entries
from matjax.value import Compounds


def stabilities(space: Compounds) -> np.ndarray:
    """Energy above the hull of the elements and of all other compounds [n_leaf], eV/atom, in the order of the tree.

    Negative for what is on the hull. NaN where the crystal lost its structure or did not come to rest.
    """
    compounds = space.decode(*space.enumerate())
    pure = [solution(lattice, {e: 1}) for e in space.elements for lattice in LATTICES]
    volumes = element_volumes(tuple(space.elements))
    results = Laboratory().measure([cells(c, 1, volumes)[0] for c in (*pure, *compounds)])
    energy = np.array([r.labels["energy_per_atom"] if r.converged else np.nan for r in results])
    x = np.array([[c.composition.get(e, 0.0) for e in space.elements] for c in (*pure, *compounds)])
    known = np.isfinite(energy)
    found = np.full(len(energy), np.nan)
    found[known] = np.asarray(stabilities_of_entries(x[known], energy[known], n_present=3))
    return found[len(pure) :]
