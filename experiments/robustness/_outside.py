"""An ensemble on some crystals, asked about others: errors, intervals and flags, from arrays that are kept."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import jax
import numpy as np
from _rows import Arrays
from _shift_scores import flag_rows, shift_scores, side

from matjax.keys import child
from matjax.stress_test.metrics import coverage, width
from matjax.training import GraphLearner, GraphPredictor
from matjax.training.supervision import target_per_atom
from matjax.types import Dataset, Visible
from matjax.uncertainty import LeaveDomainOut, NearestNeighbours, SplitConformal, cross_fit


class Parts(NamedTuple):
    """Who plays which part; all are of the training domains."""

    train: Dataset
    validation: Dataset
    calibration: Dataset
    inside: Dataset

    def visible(self) -> Visible:
        """What a learner sees."""
        return Visible(self.train, self.validation, self.calibration, self.train.select(range(0)))


def dealt(data: Dataset, shares: tuple[float, float, float], random: np.random.Generator) -> Parts:
    """Crystals at random: shares of validation, calibration and inside tests; the rest trains."""
    rows = random.permutation(len(data))
    cuts = np.cumsum([round(share * len(data)) for share in shares])
    validation, calibration, inside, train = np.split(rows, cuts)
    return Parts(*(data.select(part) for part in (train, validation, calibration, inside)))


def asked(learner: GraphLearner, parts: Parts, outside: dict[str, Dataset], key: jax.Array) -> Arrays:
    """Fits an ensemble and keeps what it says of every part, and CPU seconds."""
    begun = time.process_time()
    predictor = learner.fit(parts.visible(), child(key, "fit"))
    arrays: Arrays = {"cpu_s": np.float64(time.process_time() - begun), "n_train": np.int64(len(parts.train))}
    for name, data in {"train": parts.train, "calibration": parts.calibration, "inside": parts.inside, **outside}.items():
        arrays |= {f"{name}/{k}": v for k, v in _said(predictor, data, learner.charge, forces=name != "train").items()}
    return arrays


def crossed(learner: GraphLearner, parts: Parts, column: str, key: jax.Array) -> Arrays:
    """Leave-domain-out errors of one more fit, whose members leave out what the column names."""
    begun = time.process_time()
    found = cross_fit(learner, parts.visible(), column=column, label="energy", key=child(key, "cross"))
    cost = {"cpu_s": np.float64(time.process_time() - begun), "n_train": np.int64(len(parts.train))}
    return {"error": found.error, "domain": found.domain.astype(str), "distance": found.distance, **cost}


def _said(predictor: GraphPredictor, data: Dataset, charge: str, *, forces: bool) -> Arrays:
    """Energy errors [n_member, n], features, and per crystal the error and the spread of its force components."""
    charges: Any = data.domains[charge].astype(float) if charge else 0.0
    said = predictor(data.crystals, derivatives=("forces",) if forces else (), charge=charges)
    found: Arrays = {"error": said.samples - target_per_atom(data, "energy"), "features": np.asarray(said.features, np.float32)}
    if said.forces is None:
        return found
    n_atom = np.array([len(c) for c in data.crystals])
    owner = np.repeat(np.arange(len(data)), n_atom)
    mean = lambda per_atom: np.bincount(owner, per_atom, len(data)) / n_atom
    truth = np.concatenate(data.labels["forces"])
    found["force_error"] = mean(np.abs(said.forces.mean(0) - truth).mean(1))
    return found | {"force_spread": np.sqrt(mean(said.forces.var(0, ddof=1).mean(1))), "force_rms": np.sqrt(mean((truth**2).mean(1)))}


def accuracy_rows(method: str, arrays: Arrays, names: list[str], **more: Any) -> list[dict[str, Any]]:
    """Errors of each part, meV/atom and meV/Å."""
    rows = []
    for name in names:
        error = 1e3 * arrays[f"{name}/error"].mean(0)
        row = {"method": method, "part": name, "n": len(error), "bias": error.mean(), "energy_mae": np.abs(error).mean()}
        row["energy_mae_unbiased"] = np.abs(error - error.mean()).mean()
        row |= {"forces_mae": 1e3 * arrays[f"{name}/force_error"].mean(), "rms_force": np.sqrt(np.mean(arrays[f"{name}/force_rms"] ** 2))}
        rows.append({k: v if isinstance(v, (str, int)) else float(v) for k, v in row.items()} | more)
    return rows


def interval_rows(method: str, arrays: Arrays, cross: Arrays | None, names: list[str], level: float = 0.9) -> list[dict[str, Any]]:
    """Coverage of the energy, part by part; widths in meV/atom."""
    near = NearestNeighbours().fit(arrays["train/features"])
    error = lambda name: arrays[f"{name}/error"].mean(0)
    spread = lambda name: arrays[f"{name}/error"].std(0, ddof=1)
    split = {
        "split": SplitConformal(level).fit(error("calibration")),
        "split, by spread": SplitConformal(level).fit(error("calibration"), spread("calibration")),
    }
    rows = []
    for name in names:
        one = np.ones(arrays[f"{name}/error"].shape[1])
        half = {"split": split["split"].half_width(one), "split, by spread": split["split, by spread"].half_width(spread(name))}
        if cross is not None:
            settings, distance = LeaveDomainOut(level), near.score(arrays[f"{name}/features"])
            half["leave domain out"] = settings.fit(cross["error"], cross["domain"]).half_width(one)
            by_distance = settings.fit(cross["error"], cross["domain"], cross["distance"])
            half["leave domain out, by distance"] = by_distance.half_width(distance)
        for interval, h in half.items():
            wide = width(h)
            row = {"method": method, "part": name, "interval": interval, "coverage": coverage(error(name), h)}
            rows.append({**row, "width": None if wide is None else 1e3 * wide})
    return rows


def flag_table(family: str, arrays: Arrays, parts: Parts, outside: dict[str, Dataset]) -> list[dict[str, Any]]:
    """Every shift score against the errors of energy and forces, each outside part with the inside tests."""
    rows = []
    sets = {"train": parts.train, "calibration": parts.calibration, "inside": parts.inside, **outside}
    for quantity in ("energy", "forces"):
        sides = {}
        for name, data in sets.items():
            told = (
                arrays[f"{name}/error"].std(0, ddof=1) if quantity == "energy" else arrays.get(f"{name}/force_spread", np.zeros(len(data)))
            )
            sides[name] = side(data.crystals, arrays[f"{name}/features"], told)
        scores = {name: shift_scores(sides["train"], sides["calibration"], sides[name]) for name in ("inside", *outside)}
        error = lambda name, q=quantity: arrays[f"{name}/error"].mean(0) if q == "energy" else arrays[f"{name}/force_error"]
        for name in outside:
            rows += flag_rows(f"{family}, {quantity}", name, scores["inside"], scores[name], error("inside"), error(name))
    return rows
