"""Crystals that a universal potential is asked about, and what it says of them: predicted once, kept, looked at many times."""

from __future__ import annotations

import _above  # noqa: F401 (finds the shared parts)
import jax
import numpy as np
from _far import distorted
from _frames import BINARIES, ELEMENTS, QUATERNARY, frames
from _rows import Arrays

from matjax.config import spec
from matjax.data import load
from matjax.data.domains import domain_labels
from matjax.keys import child, generator
from matjax.training import GraphPredictor
from matjax.training.supervision import default_label, target_per_atom
from matjax.types import Dataset

FORCES = ("elements", "strained", "binaries", "quaternary")
"""Sets with labelled forces; all others have labelled energies, or no labels."""


@spec
class Sizes:
    """Crystals of each set; see `config.toml`."""

    element: int = 12
    strained: int = 24
    binary: int = 24
    labelled: int = 110
    per_class: int = 400
    far: int = 24


def nbmotaw_sets(sizes: Sizes, key: jax.Array, first: int | None = None) -> dict[str, Dataset]:
    """Sets of Nb-Mo-Ta-W by density functional theory; `labelled` shares no frame with the others."""
    data = frames(first)
    group = data.domains["group"].astype(str)
    drawn = {g: generator(child(key, g)).permutation(np.flatnonzero(group == g)) for g in np.unique(group)}
    take = lambda names, n: np.concatenate([drawn[g][:n] for g in names])
    rest = lambda names, n, m: np.concatenate([drawn[g][n:][:m] for g in names])
    solutions, dynamics, elastic = (
        [f"{x}_{kind}" for x in names] for names, kind in ((BINARIES, "SS"), (ELEMENTS, "AIMD"), (ELEMENTS, "Elastic"))
    )
    n, hot = sizes.labelled, sizes.labelled // 3
    labelled = [rest(solutions, sizes.binary, n), rest(dynamics, sizes.element, hot), rest(elastic, sizes.strained, n - hot)]
    rows = {
        "elements": take(dynamics, sizes.element),
        "strained": take(elastic, sizes.strained),
        "binaries": take([*solutions, *(f"{x}_Test" for x in BINARIES)], sizes.binary),
        "quaternary": drawn[QUATERNARY],
        "labelled": np.concatenate(labelled),
    }
    found = {name: data.select(index) for name, index in rows.items()}
    return found | {"far alloys": distorted(data.select(take(solutions, -(-sizes.far // len(solutions)))), child(key, "far alloys"))}


def embedded_sets(sizes: Sizes, key: jax.Array, first: int | None = None) -> dict[str, Dataset]:
    """Crystals of the embedded set by anion class (column `class`), and some of them distorted."""
    data = load("flla")
    data = data.with_domains(**{"class": domain_labels(data, "anion").astype(str)})
    data = data if first is None else data.select(range(first))
    kind = data.domains["class"]
    known = np.array([c.numbers.max() <= 94 and not np.isin(c.numbers, (84, 85, 86, 87, 88)).any() for c in data.crystals])
    rows = [generator(child(key, k)).permutation(np.flatnonzero((kind == k) & known))[: sizes.per_class] for k in np.unique(kind)]
    every = data.select(np.concatenate(rows))
    several = [i for i in generator(child(key, "far")).permutation(len(every)) if len(set(every.crystals[i].numbers.tolist())) > 1]
    small = [i for i in several if 3 < len(every.crystals[i]) <= 16][: sizes.far]
    return {"embedded": every, "far crystals": distorted(every.select(small), child(key, "far crystals"))}


def predicted(predictor: GraphPredictor, data: Dataset, name: str) -> Arrays:
    """Energies [n] and errors [n] per atom in eV, features [n, n_feature], and of sets with forces their error per crystal."""
    said = predictor(data.crystals, derivatives=("forces",) if name in FORCES else ())
    found = {"energy": said.mean, "features": np.asarray(said.features, np.float32)}
    if data.labels:
        found["error"] = said.mean - target_per_atom(data, default_label(data))
    if said.forces is not None:
        truth, n_atom = np.concatenate(data.labels["forces"]), np.array([len(c) for c in data.crystals])
        owner = np.repeat(np.arange(len(data)), n_atom)
        sums = lambda values: np.bincount(owner, values.sum(1), len(data))
        forces = said.forces[0]
        found["force_error"] = sums(np.abs(forces - truth)) / (3 * n_atom)
        found |= {"force_product": sums(forces * truth), "force_said": sums(forces**2), "force_true": sums(truth**2)}
    return found
