"""One ensemble on what a hold-out leaves, and what it says of every frame that is asked of it."""

from __future__ import annotations

import dataclasses
import time
from typing import NamedTuple

import _above  # noqa: F401 (finds the shared parts)
import jax
import numpy as np
from _frames import Parts
from _rows import Arrays

from matjax.keys import child, generator
from matjax.risk import ERM, GroupDRO, Risk
from matjax.training import GraphLearner, GraphPredictor
from matjax.training.supervision import target_per_atom
from matjax.types import Dataset, Visible

METHODS = {"ERM": Risk(ERM()), "GroupDRO": Risk(GroupDRO())}
TESTED = ("calibration", "inside", "outside", "quaternary")


class Fit(NamedTuple):
    """What is fitted: what is held out, the method, and how long (headline or holdout)."""

    held: str
    method: str
    length: str

    @property
    def name(self) -> str:
        """Of the file that keeps it."""
        return f"{self.length}-{self.held}-{self.method}"


def fitted(fit: Fit, data: Dataset, parts: Parts, learner: GraphLearner, n_features: int, key: jax.Array) -> Arrays:
    """Arrays of a row: predictions on every part, latent features of some training frames, and CPU seconds."""
    begun = time.process_time()
    learner = dataclasses.replace(learner, risk=METHODS[fit.method])
    none = data.select(range(0))
    visible = Visible(data.select(parts.train), data.select(parts.validation), none, none)
    predictor = learner.fit(visible, child(key, "fit", fit.held))
    arrays: Arrays = {"cpu_s": np.float64(time.process_time() - begun), "n_train": np.int64(len(parts.train))}
    drawn = generator(child(key, "features", fit.held)).permutation(parts.train)[:n_features]
    arrays |= {"train_rows": drawn, "train_features": said_of(predictor, data, drawn, forces=False)["features"]}
    for part in TESTED:
        rows = getattr(parts, part)
        arrays[f"{part}_rows"] = rows
        if len(rows):
            arrays |= {f"{part}_{name}": x for name, x in said_of(predictor, data, rows).items()}
    return arrays


def said_of(predictor: GraphPredictor, data: Dataset, rows: np.ndarray, *, forces: bool = True) -> dict[str, np.ndarray]:
    """Errors of the energy per member [n_member, n] in eV/atom, features [n, n_feature], forces [n_member, sum n_atom, 3] in eV/Å."""
    some = data.select(rows)
    said = predictor(some.crystals, derivatives=("forces",) if forces else ())
    found = {"error": said.samples - target_per_atom(some, "energy"), "features": np.asarray(said.features, np.float32)}
    return found if said.forces is None else {**found, "forces": said.forces.astype(np.float32)}
