"""Clusters and slabs in, bulk out: does a network that saw surfaces alone know the bulk, and does it help to tell it the size?

The labels are those of the embedded-atom laboratory. Clusters of 50 to 2,000 atoms and slabs of 4 to 12 layers of three fcc metals train;
the bulk is asked. One network does not hear the size; the other is conditioned on N^(-1/3) per crystal, which is zero in bulk. Beside them
E_bulk + a N^(-1/3), and the same with a term in N^(-2/3), fitted on the clusters at rest. A fit is kept as soon as it is done.

    python experiments/robustness/nano/run.py --budget 20
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import _above  # noqa: F401 (finds the shared parts)
import jax
import numpy as np
from _command import command
from _frames import frames
from _outside import Parts, accuracy_rows, asked, crossed, dealt, flag_table, interval_rows
from _rows import Arrays, Clock, keep, kept, write
from _shift_scores import mean_by_score

from matjax.config import spec
from matjax.keys import child, generator
from matjax.nn import Equivariant
from matjax.training import GraphLearner
from matjax.types import Dataset

HERE = Path(__file__).resolve().parent
SMOKE = (
    "metals=['Cu']",
    "n_cluster=60",
    "n_slab=20",
    "n_bulk=4",
    "smallest=20",
    "largest=32",
    "learner.n_epoch=1",
    "learner.model.irreps=4x0e",
    "learner.model.n_layer=1",
    "learner.model.cutoff=3.5",
)
QUICK = ("n_cluster=10", "largest=600", "learner.n_epoch=8")
FITS = ("size unheard", "size heard", "size unheard, cross-fit")
N_BIN = 3
"""Domains of the leave-domain-out fit: thirds of the training crystals by size."""


@spec
class Settings:
    """Of the experiment; see `config.toml`."""

    seed: int = 5
    metals: tuple[str, ...] = ("Cu", "Ni", "Ag")
    n_cluster: int = 16
    n_slab: int = 24
    n_bulk: int = 20
    smallest: int = 50
    largest: int = 2000
    strain: float = 0.03
    rattle: float = 0.08
    learner: GraphLearner = dataclasses.field(default_factory=lambda: GraphLearner(model=Equivariant()))


def measure(settings: Settings, runs: Path, clock: Clock, out: Path, fits: tuple[str, ...] = FITS) -> dict[str, Any]:
    """Makes the frames, fits what is missing and writes the result."""
    key = jax.random.key(settings.seed)
    counts = {"cluster": settings.n_cluster, "slab": settings.n_slab, "bulk": settings.n_bulk}
    sets = frames(settings.metals, counts, (settings.smallest, settings.largest), settings.strain, settings.rattle, key)
    size = sets["small"].domains["size"]
    bins = np.digitize(size, np.quantile(size, np.arange(1, N_BIN) / N_BIN)).astype(str)
    parts = dealt(sets["small"].with_domains(size_bin=bins), (0.06, 0.2, 0.2), generator(child(key, "parts")))
    outside = {"bulk": sets["bulk"], "perfect": sets["perfect"]}
    found: dict[str, Arrays] = {}
    for name in fits:
        path = runs / f"{name.replace(', ', '-').replace(' ', '-')}.npz"
        arrays = kept(path)
        if arrays is None and not clock.is_over():
            arrays = fitted(name, settings.learner, parts, outside, child(key, "fits"))
            keep(path, arrays)
            print(f"{name}: {float(arrays['cpu_s']):.0f} CPU seconds", file=sys.stderr, flush=True)
        if arrays is not None:
            found[name] = arrays
    result = {"unit": "meV/atom, meV/Å", "settings": repr(settings), "jax": jax.__version__}
    result |= figures(found, parts, outside, sets["ideal"]) | {"missing": [name for name in fits if name not in found]}
    write(out, result)
    return result


def fitted(name: str, learner: GraphLearner, parts: Parts, outside: dict[str, Dataset], key: jax.Array) -> Arrays:
    """One of `FITS`."""
    if "cross" in name:
        return crossed(learner, parts, "size_bin", key)
    if name == "size heard":  # the network hears its "charge" per atom: N^(-1/3)
        learner = dataclasses.replace(learner, model=learner.model.clone(charge=True), charge="size_charge")
    return asked(learner, parts, outside, key)


def figures(found: dict[str, Arrays], parts: Parts, outside: dict[str, Dataset], ideal: Dataset) -> dict[str, Any]:
    """Every table that the fits allow."""
    errors, covered, flags, bulk = [], [], [], baselines(ideal, outside["perfect"])
    for name, arrays in found.items():
        if "cross" in name:
            continue
        names = ["inside", "bulk"]
        errors += accuracy_rows(name, arrays, names)
        covered += interval_rows(name, arrays, found.get(FITS[2]) if name == FITS[0] else None, names)
        flags += flag_table(f"nano to bulk ({name})", arrays, parts, {"bulk": outside["bulk"]})
        metals = outside["perfect"].domains["metal"]
        bulk += [
            {"method": name, "metal": str(m), "error": 1e3 * float(e)} for m, e in zip(metals, arrays["perfect/error"].mean(0), strict=True)
        ]
    fits = [{"fit": k, "n_train": int(a["n_train"]), "cpu_s": float(a["cpu_s"])} for k, a in found.items()]
    return {"errors": errors, "perfect_bulk": bulk, "intervals": covered, "flag_means": mean_by_score(flags), "flags": flags, "fits": fits}


def baselines(ideal: Dataset, perfect: Dataset) -> list[dict[str, Any]]:
    """Error of the intercept of E_bulk + a N^(-1/3) [+ b N^(-2/3)] over the clusters at rest, meV/atom."""
    per_atom = lambda data: data.labels["energy"] / np.array([len(c) for c in data.crystals])
    rows = []
    for degree, name in ((1, "E_bulk + a N^(-1/3)"), (2, "E_bulk + a N^(-1/3) + b N^(-2/3)")):
        for i, metal in enumerate(perfect.domains["metal"]):
            mine = ideal.domains["metal"] == metal
            found = np.polyfit(ideal.domains["size"][mine], per_atom(ideal)[mine], degree)[-1]
            rows.append({"method": name, "metal": str(metal), "error": 1e3 * float(found - per_atom(perfect)[i])})
    return rows


TABLES = {
    "errors": ("method", "part", "n", "rms_force", "bias", "energy_mae", "energy_mae_unbiased", "forces_mae"),
    "perfect_bulk": ("method", "metal", "error"),
    "intervals": ("method", "part", "interval", "coverage", "width"),
    "flags": ("family", "domain", "score", "auroc_error", "auroc_domain", "share_above"),
    "fits": ("fit", "n_train", "cpu_s"),
}


def check(result: dict[str, Any]) -> None:
    """Refuses a result that is not whole.

    Raises:
      ValueError: If something is missing or out of its range.
    """
    if result["missing"] or any(not result[name] for name in TABLES):
        raise ValueError(f"missing: {result['missing'] or [name for name in TABLES if not result[name]]}")
    if any(not row["forces_mae"] > 0 for row in result["errors"]) or any(not 0 <= row["coverage"] <= 1 for row in result["intervals"]):
        raise ValueError("a number is out of its range")


def main() -> None:
    """Reads the command line and runs."""
    command(
        __doc__,
        HERE,
        Settings,
        lambda run: measure(run.settings, run.folder, run.clock, run.out),
        lambda run: check(measure(run.settings, run.folder, run.clock, run.out, (FITS[0], FITS[2]))),
        tables=TABLES,
        quick=QUICK,
        smoke=SMOKE,
        quick_help="smaller clusters, fewer passes",
    )


if __name__ == "__main__":
    main()
