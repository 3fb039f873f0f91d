"""A universal potential off its training set, without retraining: errors, intervals from few labels, and whether a flag finds the errors.

Nequix on frames of Nb, Mo, Ta and W (Li et al. 2020; energies and forces against VASP), on the embedded crystals of the Materials
Project (formation energies, whose convention is part of the error), and on crystals that are made wrong step by step. Nothing is
trained: the last layer's spread, offsets and intervals come from labelled crystals in closed form. A set that was predicted is kept.

    python experiments/robustness/foundation/run.py --budget 30
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import _above  # noqa: F401 (finds the shared parts)
import jax
import numpy as np
from _command import command
from _figures import Cloud, above_elements, class_accuracy, far_rows, flag_of, growth, inside_likelihood, interval_rows, nbmotaw_accuracy
from _rows import Arrays, Clock, keep, kept, write
from _sets import FORCES, Sizes, embedded_sets, nbmotaw_sets, predicted
from _shift_scores import mean_by_score

from matjax.config import spec
from matjax.keys import child
from matjax.training.pretrained import potential
from matjax.training.supervision import default_label, target_per_atom
from matjax.types import Dataset

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[3] / "shared" / "data"
SMOKE = ("sizes={element=2, strained=4, binary=3, labelled=9, per_class=12, far=4}", "labels=[40]", "draws=1")
QUICK = ("sizes={element=4, strained=10, binary=8, labelled=40, per_class=60, far=8}", "labels=[100, 300]", "draws=1")
SMOKE_SETS = ("strained", "binaries", "labelled", "embedded", "far crystals")
MIN_CLASS = 40
"""Crystals below which an anion class is no domain."""


@spec
class Settings:
    """Of the experiment; see `config.toml`."""

    model: str = "nequix-oam-1-pft"
    seed: int = 7
    draws: int = 3
    labels: tuple[int, ...] = (100, 300, 1000)
    sizes: Sizes = Sizes()


def measure(
    settings: Settings, runs: Path, clock: Clock, out: Path, *, first: int | None = None, only: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Predicts what is missing, and writes every table that the sets allow."""
    key = jax.random.key(settings.seed)
    sets = embedded_sets(settings.sizes, child(key, "embedded"), None if first is None else 40 * first)
    sets |= nbmotaw_sets(settings.sizes, child(key, "nbmotaw"), first)
    sets = {name: data for name, data in sets.items() if not only or name in only}
    said: dict[str, Arrays] = {}
    predictor = None
    for name, data in sets.items():
        arrays = kept(runs / f"{name.replace(' ', '-')}.npz")
        if arrays is None and not clock.is_over():
            predictor = predictor or potential(settings.model, folder=SHARED / "nequix" if (SHARED / "nequix").exists() else None)
            begun = time.process_time()
            arrays = predicted(predictor, data, name)
            arrays["cpu_s"] = np.float64(time.process_time() - begun)
            keep(runs / f"{name.replace(' ', '-')}.npz", arrays)
            print(f"{name}: {len(data)} crystals, {float(arrays['cpu_s']):.0f} CPU seconds", file=sys.stderr, flush=True)
        if arrays is not None:
            said[name] = arrays
    result = figures(settings, sets, said, child(key, "figures"))
    result["missing"] = [name for name in sets if name not in said]
    write(out, result)
    return result


def figures(settings: Settings, sets: dict[str, Dataset], said: dict[str, Arrays], key: jax.Array) -> dict[str, Any]:
    """Every table that the predicted sets allow."""
    errors, covered, flagged, far, likelihood = [], [], [], [], []
    cost = [{"set": k, "n": len(sets[k]), "n_atom": sum(map(len, sets[k].crystals)), "cpu_s": float(a["cpu_s"])} for k, a in said.items()]

    def cloud(name: str, column: str = "error", rows: Any = slice(None)) -> Cloud:
        return _cloud(sets[name], said[name], column, rows)

    if set(FORCES) <= set(said):
        errors += nbmotaw_accuracy(sets, said)
    if "embedded" in said:
        data = sets["embedded"]
        formed = above_elements(data, said["embedded"]["energy"])
        said["embedded"] = arrays = {**said["embedded"], "error": formed - target_per_atom(data, default_label(data))}
        kind = data.domains["class"]
        classes = [
            str(k) for k, n in zip(*np.unique(kind, return_counts=True), strict=True) if n >= min(MIN_CLASS, settings.sizes.per_class)
        ]
        errors += class_accuracy(data, arrays)
        targets = {k: cloud("embedded", rows=np.flatnonzero(kind == k)) for k in classes}
        covered += interval_rows("embedded, leave anion class out", data, arrays, kind, targets, settings.labels, settings.draws, key)
        flagged += _class_flags(cloud, kind, classes)
        fit, test = _halves(np.arange(len(data)))
        likelihood.append(inside_likelihood("embedded", cloud("embedded", rows=fit), cloud("embedded", rows=test)))
        if "far crystals" in said:
            far += far_rows("far crystals", sets["far crystals"], said["far crystals"], cloud("embedded"))
    if "labelled" in said:
        data, arrays = sets["labelled"], said["labelled"]
        system = data.domains["system"]
        fit, test = _halves(np.arange(len(data)))
        likelihood.append(inside_likelihood("alloys", cloud("labelled", rows=fit), cloud("labelled", rows=test)))
        targets = {str(k): cloud("labelled", rows=np.flatnonzero(system == k)) for k in np.unique(system)}
        targets |= {"quaternary": cloud("quaternary")} if "quaternary" in said else {}
        covered += interval_rows("alloys, leave system out", data, arrays, system, targets, settings.labels, settings.draws, key)
        if set(FORCES) <= set(said):
            flagged += _alloy_flags(cloud, system)
        if "far alloys" in said:
            far += far_rows("far alloys", sets["far alloys"], said["far alloys"], cloud("labelled"))
    about = {"model": settings.model, "unit": "meV/atom, meV/Å", "settings": repr(settings), "jax": jax.__version__}
    more = {"intervals": covered, "interval_means": interval_means(covered), "flag_means": mean_by_score(flagged), "flags": flagged}
    return {**about, "errors": errors, **more, "growth": growth(far), "far": far, "likelihood": likelihood, "sets": cost}


def _cloud(data: Dataset, arrays: Arrays, column: str, rows: Any) -> Cloud:
    index = np.arange(len(data))[rows]
    return [data.crystals[i] for i in index], arrays[column][index], np.asarray(arrays["features"][index], np.float64)


def _halves(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows[::2], rows[1::2]


def _class_flags(cloud: Any, kind: np.ndarray, classes: list[str]) -> list[dict[str, Any]]:
    """Every anion class as outside, the others as labelled (half) and inside tests (half)."""
    rows = []
    for name in classes:
        fit, test = _halves(np.flatnonzero(kind != name))
        outside = cloud("embedded", rows=np.flatnonzero(kind == name))
        rows += flag_of("embedded, anion class", name, cloud("embedded", rows=fit), cloud("embedded", rows=test), outside)
    return rows


def _alloy_flags(cloud: Any, system: np.ndarray) -> list[dict[str, Any]]:
    """Elements as labelled and inside, alloys outside (energies, forces); calm frames as inside, strained ones outside."""
    pure = np.array([len(s) <= 2 for s in system])
    fit, test = _halves(np.flatnonzero(pure))
    rows, labelled = [], cloud("labelled", rows=fit)
    for name in ("binaries", "quaternary"):
        rows += flag_of("elements to alloys, energy", name, labelled, cloud("labelled", rows=test), cloud(name))
        forces = [cloud(part, "force_error") for part in ("elements", name)]
        rows += flag_of("elements to alloys, forces", name, labelled, *forces, offset=False)
    fit, test = _halves(np.flatnonzero(~pure))
    for name in ("strained", "elements", "quaternary"):
        rows += flag_of("calm binaries to others, energy", name, cloud("labelled", rows=fit), cloud("labelled", rows=test), cloud(name))
    return rows


def interval_means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per family, number of labels and method: mean and smallest coverage over domains, domains below 0.85, mean width."""
    lines = []
    for family, n, method in dict.fromkeys((r["family"], r["n_label"], r["method"]) for r in rows):
        mine = [r for r in rows if (r["family"], r["n_label"], r["method"]) == (family, n, method)]
        covers, widths = [r["coverage"] for r in mine], [r["width"] for r in mine if r["width"] is not None]
        line = {"family": family, "n_label": n, "method": method, "n_domain": len(mine), "coverage": float(np.mean(covers))}
        below = {"coverage_min": min(covers), "n_below_0.85": sum(c < 0.85 for c in covers)}
        lines.append({**line, **below, "width": float(np.mean(widths)) if widths else None})
    return lines


TABLES = {
    "errors": ("set", "group", "n", "bias", "energy_mae", "energy_mae_unbiased", "forces_mae", "forces_cosine", "forces_slope"),
    "interval_means": ("family", "n_label", "method", "n_domain", "coverage", "coverage_min", "n_below_0.85", "width"),
    "flag_means": ("family", "score", "auroc_error", "n_domain"),
    "growth": ("set", "how", "spread_rank_correlation", "distance_rank_correlation"),
    "far": ("set", "how", "level", "spread", "distance", "flagged"),
    "likelihood": ("set", "n", "nll_last_layer", "nll_constant"),
    "sets": ("set", "n", "n_atom", "cpu_s"),
}


def check(result: dict[str, Any]) -> None:
    """Refuses a result that is not whole.

    Raises:
      ValueError: If a table is empty or a number out of its range.
    """
    if empty := [name for name in TABLES if not result[name]]:
        raise ValueError(f"tables without rows: {', '.join(empty)}")
    if any(not 0 <= row["coverage"] <= 1 for row in result["intervals"]) or any(not row["energy_mae"] > 0 for row in result["errors"]):
        raise ValueError("a number is out of its range")


def main() -> None:
    """Reads the command line and runs."""
    command(
        __doc__,
        HERE,
        Settings,
        lambda run: measure(run.settings, run.folder, run.clock, run.out),
        lambda run: check(measure(run.settings, run.folder, run.clock, run.out, first=16, only=SMOKE_SETS)),
        tables=TABLES,
        quick=QUICK,
        smoke=SMOKE,
        quick_help="fewer crystals",
        needs=(SHARED / "nbmotaw", SHARED / "nequix"),
    )


if __name__ == "__main__":
    main()
