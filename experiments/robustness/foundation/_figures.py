"""From predictions to figures: offsets, errors, intervals from few labels, flags, and what grows on crystals made wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import _above  # noqa: F401 (finds the shared parts)
import jax
import numpy as np
from _far import LEVELS
from _frames import thermal_group
from _rows import Arrays
from _shift_scores import flag_rows, shift_scores, side
from sklearn.linear_model import BayesianRidge

from matjax.data.descriptors import element_fractions
from matjax.keys import child, generator
from matjax.stress_test.metrics import coverage, spearman, width
from matjax.thermo import References, fit_references
from matjax.types import Crystal, Dataset
from matjax.uncertainty import Flag, LeaveDomainOut, NearestNeighbours, SplitConformal, gaussian_nll

LOOSE = 0.1
"""Prior precision of an element's own offset, in crystals of that element alone."""

SHARES = 1e-6  # directions of the features with less than this share of the largest variance are left out


def offsets(crystals: Sequence[Crystal], error: np.ndarray) -> References:
    """What the potential's energies are above the labels per element: other references, corrections and all.

    Elements that do not occur are placed by their physics; those that do are then let free, but for LOOSE.
    """
    placed = fit_references(crystals, error)
    share = element_fractions(crystals)
    left = error - placed.per_atom(crystals)
    free = np.linalg.solve(share.T @ share + LOOSE * np.eye(share.shape[1]), share.T @ left)
    return References(placed.energies + np.concatenate([[0.0], free]))


def above_elements(data: Dataset, energy: np.ndarray) -> np.ndarray:
    """Formation energies [n] by the potential alone: above its own lowest energy among the crystals of each element.

    No label is used. Elements without a crystal of their own in the set are placed by their physics.
    """
    pure = np.flatnonzero([len(set(c.numbers.tolist())) == 1 for c in data.crystals])
    energies = fit_references([data.crystals[i] for i in pure], energy[pure]).energies.copy()
    for z in {int(data.crystals[i].numbers[0]) for i in pure}:
        energies[z] = min(energy[i] for i in pure if data.crystals[i].numbers[0] == z)
    return energy - References(energies).per_atom(data.crystals)


def last_layer_spread(features: np.ndarray, error: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The spread of a Bayesian last layer that leaves the mean alone, scaled so that labelled errors are one standard deviation.

    In closed form what `uncertainty.LastLayer(update=False)` draws samples of.
    """
    features = np.asarray(features, np.float64)
    values, rows = np.linalg.eigh(features.T @ features / len(features))
    kept = values > SHARES * values[-1]
    whiten = rows[:, kept] / np.sqrt(values[kept])
    found = BayesianRidge(fit_intercept=False, max_iter=1000).fit(features @ whiten, error)
    raw = lambda f: np.sqrt(np.einsum("ni,ij,nj->n", f @ whiten, found.sigma_, f @ whiten))
    scale = np.sqrt(np.mean((error / raw(features)) ** 2))
    return lambda f: scale * raw(np.asarray(f, np.float64))


def accuracy(name: str, group: str, error: np.ndarray, arrays: Arrays | None = None, keep: np.ndarray | None = None) -> dict[str, Any]:
    """One row, meV/atom and meV/Å."""
    error = 1e3 * error
    row = {"set": name, "group": group, "n": len(error), "bias": error.mean(), "energy_mae": np.abs(error).mean()}
    row["energy_mae_unbiased"] = np.abs(error - error.mean()).mean()
    if arrays is not None and "force_error" in arrays:
        part = {k: v[slice(None) if keep is None else keep] for k, v in arrays.items() if k.startswith("force_")}
        row["forces_mae"] = 1e3 * part["force_error"].mean()
        if part["force_true"].sum() > 1e-6:  # strained frames have none, by symmetry
            row["forces_cosine"] = part["force_product"].sum() / np.sqrt(part["force_said"].sum() * part["force_true"].sum())
            row["forces_slope"] = part["force_product"].sum() / part["force_true"].sum()
    return {k: v if isinstance(v, (str, int)) else float(v) for k, v in row.items()}


def nbmotaw_accuracy(sets: dict[str, Dataset], said: dict[str, Arrays]) -> list[dict[str, Any]]:
    """Errors against VASP: as it came, and with an offset per element fitted on hot and strained elements alone."""
    known = np.concatenate([said[k]["error"] for k in ("elements", "strained")])
    fitted = offsets([*sets["elements"].crystals, *sets["strained"].crystals], known)
    rows = []
    for name in ("elements", "strained", "binaries", "quaternary"):
        data, arrays = sets[name], said[name]
        rows.append(accuracy(name, "as it came", arrays["error"], arrays))
        error = arrays["error"] - fitted.per_atom(data.crystals)
        rows.append(accuracy(name, "offset per element", error, arrays))
        if name == "quaternary":
            group = np.array([thermal_group(f) for f in data.labels["forces"]])
            rows += [accuracy(name, kind, error[group == k], arrays, group == k) for k, kind in enumerate(("cool", "warm", "hot"))]
    return rows


def class_accuracy(data: Dataset, arrays: Arrays) -> list[dict[str, Any]]:
    """Formation energies of every anion class: offsets fitted with the class (its convention known), and without it."""
    kind = data.domains["class"]
    first = [accuracy("embedded", "all, above its own elements", arrays["error"])]
    every = arrays["error"] - offsets(data.crystals, arrays["error"]).per_atom(data.crystals)
    rows = [*first, accuracy("embedded", "all, offset per element", every)]
    for name in np.unique(kind):
        out = np.flatnonzero(kind == name)
        rest = np.flatnonzero(kind != name)
        fitted = offsets([data.crystals[i] for i in rest], arrays["error"][rest])
        without = arrays["error"][out] - fitted.per_atom([data.crystals[i] for i in out])
        rows.append(accuracy("embedded", f"{name}, offsets without it", without))
        rows.append(accuracy("embedded", f"{name}, offsets with it", every[out]))
    return rows


def interval_rows(
    family: str,
    data: Dataset,
    arrays: Arrays,
    domain: np.ndarray,
    targets: dict[str, Any],
    labels: Sequence[int],
    draws: int,
    key: jax.Array,
) -> list[dict[str, Any]]:
    """Coverage on a new domain of intervals from n labelled crystals of the other domains.

    Errors are those left by an offset per element. Split conformal: offsets of five folds. Leave-domain-out: offsets fitted without
    the domain. Scales: none, or the latent distance from the labelled crystals.

    Args:
      family: Name of the rows.
      data: Labelled crystals, of which n are drawn.
      arrays: What the potential says of them.
      domain: Domain of each [n].
      targets: {new domain: (crystals, error, features)} that is tested; what `data` has of that domain is not used.
      labels: Numbers of labelled crystals.
      draws: Draws of each.
      key: Of the draws.
    """
    rows = []
    for name, (crystals, error, features) in targets.items():
        pool = np.flatnonzero(domain != name)
        for n in labels:
            drawn = [_drawn(pool, domain, n, child(key, name, n, k)) for k in range(draws)]
            found = [_covered(data, arrays, domain, picked, crystals, error, features) for picked in drawn]
            for method in found[0]:
                covers = [f[method][0] for f in found]
                widths = [w for f in found if (w := f[method][1]) is not None]
                row = {"family": family, "domain": name, "n_label": n, "n_used": len(drawn[0]), "method": method}
                row |= {"n_test": len(error), "draws": draws}
                rows.append({**row, "coverage": float(np.mean(covers)), "width": 1e3 * float(np.mean(widths)) if widths else None})
    return rows


def _drawn(pool: np.ndarray, domain: np.ndarray, n: int, key: jax.Array) -> np.ndarray:
    """Some of them, domains taking turns until they are used up."""
    shuffled = generator(key).permutation(pool)
    turn = np.zeros(len(shuffled), int)
    for d in np.unique(domain[shuffled]):
        mine = domain[shuffled] == d
        turn[mine] = np.arange(mine.sum())
    return shuffled[np.argsort(turn, kind="stable")[:n]]


def _covered(
    data: Dataset, arrays: Arrays, domain: np.ndarray, rows: np.ndarray, crystals, error, features
) -> dict[str, tuple[float, float | None]]:
    """{method: (coverage, width in eV/atom)} with these labelled rows."""
    labelled, raw, kind = [data.crystals[i] for i in rows], arrays["error"][rows], domain[rows]
    left = error - offsets(labelled, raw).per_atom(crystals)
    fold = np.arange(len(rows)) % 5
    inside, outside = _left_out(labelled, raw, fold), _left_out(labelled, raw, kind)
    near = lambda keep, test: NearestNeighbours().fit(arrays["features"][rows][keep]).score(test)
    far = np.empty(len(rows))
    for d in np.unique(kind):
        far[kind == d] = near(kind != d, arrays["features"][rows][kind == d])
    distance = near(np.ones(len(rows), bool), features)
    one = np.ones(len(left))
    half = {
        "split": SplitConformal().fit(inside).half_width(one),
        "leave domain out": LeaveDomainOut().fit(outside, kind).half_width(one),
        "leave domain out, by distance": LeaveDomainOut().fit(outside, kind, far).half_width(distance),
    }
    return {method: (coverage(left, h), width(h)) for method, h in half.items()}


def _left_out(crystals: list[Crystal], error: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Errors that offsets fitted without the crystal's part leave."""
    left = np.empty(len(error))
    for p in np.unique(part):
        fitted = offsets([c for c, q in zip(crystals, part, strict=True) if q != p], error[part != p])
        left[part == p] = error[part == p] - fitted.per_atom([c for c, q in zip(crystals, part, strict=True) if q == p])
    return left


Cloud = tuple[Sequence[Crystal], np.ndarray, np.ndarray]
"""Crystals, what is called their error [n], and features."""


def flag_of(family: str, domain: str, labelled: Cloud, inside: Cloud, outside: Cloud, *, offset: bool = True) -> list[dict[str, Any]]:
    """Rows of every score: labelled crystals fit offsets, spread and distances, a third of them calibrates ranges."""
    crystals, raw, features = labelled
    fitted = offsets(crystals, raw) if offset else None
    clean = lambda cloud: cloud[1] if fitted is None else cloud[1] - fitted.per_atom(cloud[0])
    cal = np.arange(len(crystals)) % 3 == 0
    spread = last_layer_spread(features[~cal], clean(labelled)[~cal])
    one = lambda c, f: side(c, f, spread(f))
    pick = lambda mask: one([c for c, m in zip(crystals, mask, strict=True) if m], features[mask])
    train, calibration = pick(~cal), pick(cal)
    near, far = (shift_scores(train, calibration, one(c, f)) for c, _, f in (inside, outside))
    return flag_rows(family, domain, near, far, clean(inside), clean(outside))


def far_rows(name: str, data: Dataset, arrays: Arrays, labelled: Cloud) -> list[dict[str, Any]]:
    """By kind and level: spread and latent distance over those of the crystals as they are, and the share that is flagged."""
    crystals, raw, features = labelled
    cal = np.arange(len(crystals)) % 3 == 0
    error = raw - offsets(crystals, raw).per_atom(crystals)
    spread = last_layer_spread(features[~cal], error[~cal])
    neighbours = NearestNeighbours().fit(features[~cal])
    distance, told = neighbours.score(arrays["features"]), spread(arrays["features"])
    flag = Flag().fit(neighbours.score(features[cal]))
    how, level = data.domains["how"], data.domains["level"]
    start = how == "as it is"
    base = {"spread": told[start].mean(), "distance": distance[start].mean()}
    rows = [
        {
            "set": name,
            "how": "as it is",
            "level": 0.0,
            "n": int(start.sum()),
            "spread": 1.0,
            "distance": 1.0,
            "flagged": float(flag.flagged(distance[start]).mean()),
        }
    ]
    for kind, levels in LEVELS.items():
        for x in levels:
            mine = (how == kind) & (level == x)
            grown = {"spread": float(told[mine].mean() / base["spread"]), "distance": float(distance[mine].mean() / base["distance"])}
            rows.append(
                {"set": name, "how": kind, "level": x, "n": int(mine.sum()), **grown, "flagged": float(flag.flagged(distance[mine]).mean())}
            )
    return rows


def growth(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per set and kind: does the mean rise at every level? Rank correlation of level and mean, the start included."""
    lines = []
    for name in dict.fromkeys(r["set"] for r in rows):
        for kind in LEVELS:
            mine = [r for r in rows if r["set"] == name and r["how"] in ("as it is", kind)]
            column = lambda q, mine=mine: np.array([r[q] for r in mine])
            found = {q: spearman(column("level"), column(q)) for q in ("spread", "distance")}
            lines.append({"set": name, "how": kind, **{f"{q}_rank_correlation": v for q, v in found.items()}})
    return lines


def inside_likelihood(name: str, labelled: Cloud, inside: Cloud) -> dict[str, Any]:
    """Negative log-likelihood inside: with the spread of the last layer, and with one number for all crystals."""
    crystals, raw, features = labelled
    fitted = offsets(crystals, raw)
    error = raw - fitted.per_atom(crystals)
    test = inside[1] - fitted.per_atom(inside[0])
    spread = last_layer_spread(features, error)(inside[2])
    constant = np.full(len(test), np.sqrt(np.mean(error**2)))
    return {"set": name, "n": len(test), "nll_last_layer": gaussian_nll(test, spread), "nll_constant": gaussian_nll(test, constant)}
