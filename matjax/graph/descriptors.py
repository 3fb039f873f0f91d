"""A structure as numbers that no model has learned and that do not depend on the cell."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from matjax.graph.neighbours import neighbours
from matjax.types import Crystal

_RADIUS = 2.0  # neighbour shells are counted out to this many times (volume per atom)^(1/3), at most 12 Å
_N_SHELL = 10


@lru_cache(maxsize=8192)
def structure_descriptors(crystal: Crystal) -> np.ndarray:
    """A structure in numbers [n_feature] that do not depend on the cell, the setting or the order of atoms.

    Log volume per atom; the radial distribution in lengths of (volume per atom)^(1/3), as mean and spread over atoms
    of the neighbours per shell; and anisotropy, the smallest and largest eigenvalue of the traceless part of
    sum exp(-4 r^2) r r^T / r^2, of the crystal (zero if cubic) and as a mean over sites (zero for sites of cubic symmetry).
    Crystals come back in many splits; the last few thousand are remembered.
    """
    n_atom = len(crystal)
    length = (crystal.volume / n_atom) ** (1 / 3)
    _, receivers, vectors, *_ = neighbours(crystal, min(_RADIUS * length, 12.0))
    vectors = vectors / length
    distance = np.linalg.norm(vectors, axis=1)
    unit = vectors / distance[:, None]
    shell = np.clip((distance / _RADIUS * _N_SHELL).astype(int), 0, _N_SHELL - 1)
    counts = np.bincount(receivers * _N_SHELL + shell, minlength=n_atom * _N_SHELL).reshape(n_atom, _N_SHELL)
    moments = (np.exp(-4 * distance**2)[:, None, None] * unit[:, :, None] * unit[:, None, :]).reshape(-1, 9)
    site = np.stack([np.bincount(receivers, moment, minlength=n_atom) for moment in moments.T], 1).reshape(n_atom, 3, 3)
    site = site / max(float(np.trace(site.mean(0))), 1e-12)
    tensors = np.concatenate([site.mean(0, keepdims=True), site])
    anisotropy = np.linalg.eigvalsh(tensors)[:, [0, 2]] - np.trace(tensors, axis1=1, axis2=2)[:, None] / 3
    return np.concatenate([[np.log(crystal.volume / n_atom)], counts.mean(0), counts.std(0), anisotropy[0], anisotropy[1:].mean(0)])
