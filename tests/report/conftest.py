"""A small run folder: three shifts, two methods, numbers chosen so that every sentence of the report is known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SHIFTS = (("random", "random"), ("leave_out(anion)", "nitride"), ("leave_out(crystal_system)", "cubic"))
INFO = {
    "title": "A <test> & more",
    "command": "matjax demo --seed 0",
    "dataset": {"name": "flla", "n": 3938, "citation": "Faber et al. (2015)", "license": "CC BY 4.0", "notes": "Two label conventions."},
    "settings": '[risk.base]\nkind = "erm"',
    "versions": {"jax": "0.9.1"},
    "seconds": 312.4,
    "budget": "Default subset.",
    "missing": ["matched fit, cubic"],
}
ERRORS = {  # inside, outside
    ("random", "erm"): (0.10, 0.11),
    ("random", "group_dro"): (0.12, 0.12),
    ("nitride", "erm"): (0.10, 0.24),
    ("nitride", "group_dro"): (0.12, 0.30),
    ("cubic", "erm"): (0.10, 0.15),
    ("cubic", "group_dro"): (0.12, 0.14),
}


def make_row(shift: str, domain: str, method: str, seed: int = 0) -> dict[str, Any]:
    inside, outside = ERRORS[domain, method]
    return {
        "shift": shift, "domain": domain, "method": method, "seed": seed,
        "n_train": 1000, "n_test_inside": 60, "n_test": 40, "mae_in": inside, "mae_out": outside,
        "matched_ratio": 1.7 if domain == "nitride" else None,
        "coverage_in": 0.91, "coverage_out": 0.62 if domain == "nitride" else 0.8,
        "coverage_in_ldo": 0.97, "coverage_out_ldo": 0.86 if domain == "nitride" else 0.9,
        "level": 0.9, "width": 0.5, "width_ldo": 0.7, "auroc_domain": 0.8, "auroc_error": 0.65,
        "baseline": "composition trees", "baseline_in": 0.2, "baseline_out": 0.22 if domain == "random" else 0.4,
        "two_sample_auc": 0.7, "beyond_p99": 0.1, "label_shift": 0.4, "similarity": 0.6, "certificate": "partial",
        "information": "L0", "selection": "train-domain validation", "unit": "eV/atom",
        "label": "formation_energy_per_atom", "n_member": 3,
        "predictions": f"predictions/{domain}-{method}-{seed}.npz",
    }  # fmt: skip


def make_arrays(seed: int, n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=n)
    elements = np.zeros((n, 119), bool)
    elements[np.arange(n), rng.integers(1, 100, n)] = True
    score = rng.gamma(4.0, size=n)
    return {
        "index": np.array([f"mp-{i}" for i in range(n)]), "target": target, "mean": target + 0.2 * rng.normal(size=n),
        "std": np.full(n, 0.1), "total_std": rng.uniform(0.1, 0.3, n), "half_width": np.full(n, 0.3), "half_width_ldo": np.full(n, np.inf),
        "score": score, "flag": score > 8, "features": rng.normal(size=(n, 5)).astype(np.float32), "baseline": target + 0.3,
        "elements": elements,
    }  # fmt: skip


def write_run(folder: Path, rows: list[dict[str, Any]], info: dict[str, Any] | None = None) -> Path:
    """Writes a run folder with predictions for every row that names a file."""
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    (folder / "stress_test.json").write_text(json.dumps(rows))
    if info is not None:
        (folder / "run.json").write_text(json.dumps(info))
    for i, row in enumerate(rows):
        if row.get("predictions"):
            sides = {"inside": make_arrays(2 * i, 60), "outside": make_arrays(2 * i + 1, 40)}
            arrays: dict[str, Any] = {f"{side}_{name}": array for side, part in sides.items() for name, array in part.items()}
            np.savez(folder / row["predictions"], **arrays)
    return folder


def make_rows() -> list[dict[str, Any]]:
    return [make_row(shift, domain, method) for shift, domain in SHIFTS for method in ("group_dro", "erm")]


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return make_rows()


@pytest.fixture(scope="module")
def full_run(tmp_path_factory) -> Path:
    """A run folder with everything that can be stored; not to be changed."""
    return write_run(tmp_path_factory.mktemp("full"), make_rows(), INFO)


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows (and the content of run.json) and returns the folder."""
    return lambda rows, info=None: write_run(tmp_path / "run", rows, info)
