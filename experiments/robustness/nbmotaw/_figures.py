"""From the arrays of the fits to figures: errors, intervals, flags. Energies in meV/atom, forces in meV/Å."""

from __future__ import annotations

from typing import Any, NamedTuple

import _above  # noqa: F401 (finds the shared parts)
import numpy as np
from _frames import BINARIES, ELEMENTS, thermal_group
from _rows import Arrays
from _shift_scores import Side, flag_rows, shift_scores, side

from matjax.stress_test.metrics import coverage, log_ratio, width
from matjax.types import Dataset
from matjax.uncertainty import LeaveDomainOut, NearestNeighbours, SplitConformal

THERMAL_NAMES = ("cool", "warm", "hot")


class Told(NamedTuple):
    """Predictions on some frames: rows [n], energy error per member [n_member, n], features, forces per member, true forces."""

    rows: np.ndarray
    error: np.ndarray
    features: np.ndarray
    forces: np.ndarray
    truth: np.ndarray
    n_atom: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Error of the ensemble's mean energy per atom [n], eV/atom."""
        return self.error.mean(0)

    @property
    def spread(self) -> np.ndarray:
        """Spread of the members' energies [n], eV/atom."""
        return self.error.std(0, ddof=1)

    @property
    def owner(self) -> np.ndarray:
        """Frame of each atom."""
        return np.repeat(np.arange(len(self.rows)), self.n_atom)

    def force_error(self) -> np.ndarray:
        """Mean absolute error of the force components of each frame [n], eV/Å."""
        size = np.abs(self.forces.mean(0) - self.truth).mean(1)
        return np.bincount(self.owner, size, len(self.rows)) / self.n_atom

    def force_spread(self) -> np.ndarray:
        """Spread of the members' forces, root mean square over the components of each atom [sum n_atom], eV/Å."""
        return np.sqrt(self.forces.var(0, ddof=1).mean(1))


def told(arrays: Arrays, part: str, data: Dataset) -> Told:
    """What a fit says of one of its parts."""
    rows = arrays[f"{part}_rows"]
    truth = np.concatenate([data.labels["forces"][i] for i in rows])
    n_atom = np.array([len(data.crystals[i]) for i in rows])
    return Told(rows, arrays[f"{part}_error"], arrays[f"{part}_features"], arrays[f"{part}_forces"], truth, n_atom)


def select(said: Told, keep: np.ndarray) -> Told:
    """Some of the frames (a mask)."""
    atoms = np.repeat(keep, said.n_atom)
    return Told(said.rows[keep], said.error[:, keep], said.features[keep], said.forces[:, atoms], said.truth[atoms], said.n_atom[keep])


def accuracy(said: Told) -> dict[str, Any]:
    """Bias, errors with and without it, forces."""
    error, forces = 1e3 * said.mean, said.forces.mean(0)
    cosine = np.sum(forces * said.truth) / np.sqrt(np.sum(forces**2) * np.sum(said.truth**2))
    slope = np.sum(forces * said.truth) / np.sum(said.truth**2)
    found = {
        "n": len(error),
        "bias": error.mean(),
        "energy_mae": np.abs(error).mean(),
        "energy_mae_unbiased": np.abs(error - error.mean()).mean(),
    }
    forces_mae = 1e3 * np.abs(forces - said.truth).mean()
    found |= {"forces_mae": forces_mae, "forces_cosine": cosine, "forces_slope": slope, "rms_force": np.sqrt(np.mean(said.truth**2))}
    return {name: float(value) if name != "n" else value for name, value in found.items()}


def thermal(said: Told) -> np.ndarray:
    """Thermal group of each frame."""
    return np.array([thermal_group(said.truth[said.owner == i]) for i in range(len(said.rows))])


def quaternary_rows(method: str, said: Told) -> list[dict[str, Any]]:
    """Accuracy on the quaternary by thermal group, and on all of it."""
    group = thermal(said)
    rows = [{"method": method, "group": name, **accuracy(select(said, group == k))} for k, name in enumerate(THERMAL_NAMES)]
    return [*rows, {"method": method, "group": "all", **accuracy(said)}]


def holdout_row(held: str, method: str, arrays: Arrays, matched: Arrays, data: Dataset) -> dict[str, Any]:
    """Errors on what was held out, beside those of the same length of training with it, on the same frames."""
    out, every = told(arrays, "outside", data), told(matched, "inside", data)
    same = select(every, np.isin(every.rows, out.rows))
    pairs = {"energy": (out.mean, same.mean), "forces": (out.force_error(), same.force_error())}
    ratios = {f"matched_ratio_{name}": float(np.exp(log_ratio(*pair))) for name, pair in pairs.items()}
    inside = accuracy(told(arrays, "inside", data))
    kind = "element" if held in ELEMENTS else "binary"
    more = {"forces_mae_matched": 1e3 * float(same.force_error().mean()), "energy_mae_matched": 1e3 * float(np.abs(same.mean).mean())}
    more |= {"energy_mae_in": inside["energy_mae"], "forces_mae_in": inside["forces_mae"], "cpu_s": float(arrays["cpu_s"])}
    return {"split": kind, "domain": held, "method": method, **accuracy(out), **ratios, **more}


def intervals(held: dict[str, Arrays], headline: Arrays | None, data: Dataset, level: float) -> list[dict[str, Any]]:
    """Coverage of energy and forces on every left-out domain and on the quaternary: split conformal, and leave-domain-out.

    A domain's interval is calibrated on the errors that the other domains had when they were left out; binaries by binaries, elements
    by elements, and every domain by all others.
    """
    out = {name: told(arrays, "outside", data) for name, arrays in held.items()}
    far = {name: _distance(arrays, "outside") for name, arrays in held.items()}
    rows = []
    for name, arrays in held.items():
        mine = BINARIES if name in BINARIES else ELEMENTS
        sets = {f"leave {'binaries' if mine is BINARIES else 'elements'} out": [d for d in mine if d in out and d != name]}
        sets["leave binaries and elements out"] = [d for d in out if d != name]
        rows += _covered(name, out[name], far[name], told(arrays, "calibration", data), sets, out, far, level)
    if headline is not None:
        said, distance = told(headline, "quaternary", data), _distance(headline, "quaternary")
        sets = {"leave binaries out": [d for d in BINARIES if d in out], "leave binaries and elements out": list(out)}
        group = thermal(said)
        for k, name in enumerate((*THERMAL_NAMES, "all")):
            some = np.ones(len(group), bool) if name == "all" else group == k
            inside = told(headline, "calibration", data)
            rows += _covered(f"quaternary {name}", select(said, some), distance[some], inside, sets, out, far, level)
    return rows


def _covered(
    domain: str, said: Told, distance: np.ndarray, inside: Told, sets: dict, out: dict, far: dict, level: float
) -> list[dict[str, Any]]:
    """One row per method and quantity."""
    one = np.ones(len(said.rows))
    split = SplitConformal(level)
    energies = {
        "split": split.fit(inside.mean).half_width(one),
        "split, by spread": split.fit(inside.mean, inside.spread).half_width(said.spread),
    }
    atoms = split.fit((inside.forces.mean(0) - inside.truth).ravel(), np.repeat(inside.force_spread(), 3))
    forces = {"split, by spread": atoms.half_width(np.repeat(said.force_spread(), 3))}
    for name, others in sets.items():
        if len(others) < 2:
            continue
        label = lambda sizes, others=others: np.repeat(others, sizes)
        error, names = np.concatenate([out[d].mean for d in others]), label([len(out[d].rows) for d in others])
        settings = LeaveDomainOut(level)
        energies[name] = settings.fit(error, names).half_width(one)
        energies[f"{name}, by distance"] = settings.fit(error, names, np.concatenate([far[d] for d in others])).half_width(distance)
        error = np.concatenate([(out[d].forces.mean(0) - out[d].truth).ravel() for d in others])
        scale, names = (
            np.concatenate([np.repeat(out[d].force_spread(), 3) for d in others]),
            label([3 * out[d].n_atom.sum() for d in others]),
        )
        forces[f"{name}, by spread"] = settings.fit(error, names, scale).half_width(np.repeat(said.force_spread(), 3))
    component = (said.forces.mean(0) - said.truth).ravel()
    found = [("energy", said.mean, energies), ("forces", component, forces)]
    return [
        {"domain": domain, "quantity": quantity, "method": method, "coverage": coverage(error, half), "width": _milli(width(half))}
        for quantity, error, methods in found
        for method, half in methods.items()
    ]


def _distance(arrays: Arrays, part: str) -> np.ndarray:
    """Latent distance of a part from the training frames [n]."""
    return NearestNeighbours().fit(arrays["train_features"]).score(arrays[f"{part}_features"])


def flags(name: str, arrays: Arrays, part: str, data: Dataset, family: str) -> list[dict[str, Any]]:
    """Shift scores of the energy and of the forces of a fit, inside tests against a part."""
    frames = lambda said: [data.crystals[i] for i in said.rows]
    rows = []
    inside, out, cal = (told(arrays, p, data) for p in ("inside", part, "calibration"))
    train = side([data.crystals[i] for i in arrays["train_rows"]], arrays["train_features"], np.zeros(len(arrays["train_rows"])))
    for quantity in ("energy", "forces"):
        spread = lambda said, q=quantity: said.spread if q == "energy" else _per_frame(said)
        error = lambda said, q=quantity: said.mean if q == "energy" else said.force_error()
        sides: dict[int, Side] = {k: side(frames(said), said.features, spread(said)) for k, said in enumerate((inside, out, cal))}
        near, far = (shift_scores(train, sides[2], sides[k]) for k in (0, 1))
        rows += flag_rows(f"{family}, {quantity}", name, near, far, error(inside), error(out))
    return rows


def _per_frame(said: Told) -> np.ndarray:
    """Root mean square over atoms of the spread of forces [n], eV/Å."""
    return np.sqrt(np.bincount(said.owner, said.force_spread() ** 2, len(said.rows)) / said.n_atom)


def _milli(value: float | None) -> float | None:
    return None if value is None else 1e3 * value
