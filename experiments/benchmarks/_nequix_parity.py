"""Nequix's own package against its weights in matjax: the largest differences on 200 crystals, and throughput on some of them."""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import _nequix_crystals
import numpy as np
from _worker import Worker

ABSENT = {"infer_vs_nequix": None, "infer_vs_nequix_single": None, "infer_vs_nequix_batched": None, "nequix_max_diff": None}


def parity(given: argparse.Namespace) -> tuple[dict, dict]:
    """Ratios and differences, and raw figures.

    Both on the same crystals, neighbour lists included: `infer_vs_nequix`, ours in batches against its calculator; `_single`, both
    calculators; `_batched`, both in batches of one shape.
    """
    python = given.peers / "nequix" / "bin" / "python" if given.peers else None
    if python is None or not python.exists():
        return ABSENT, {"absent": "no environment"}
    if not given.weights.exists():
        return ABSENT, {"absent": f"no weights at {given.weights}; name the file with --weights"}
    with tempfile.TemporaryDirectory() as folder:
        return _compare(python, Path(folder), given)


def _compare(python: Path, folder: Path, given: argparse.Namespace) -> tuple[dict, dict]:
    share = 5 if given.quick else 1
    n_timed = 7 if given.quick else 28  # 7 fill a batch
    _nequix_crystals.write(folder / "crystals.npz", 150 // share, 50 // share, n_timed)
    settings = {"crystals": str(folder / "crystals.npz"), "weights": str(given.weights), "n_timed": n_timed}
    shared = {"threads": given.threads, "cache": given.cache}
    ours = Worker(sys.executable, "_ours_nequix.py", settings, flags=given.flags, **shared)
    theirs = Worker(python, "_nequix.py", {**settings, "shape": ours.facts["shape"]}, flags=given.peer_flags, **shared)
    workers = {"ours": ours, "nequix": theirs}
    try:
        rates = _rates(workers, given.rounds, "cpu" if given.threads == 1 else "wall")
        for name, worker in workers.items():
            worker("answers", path=str(folder / f"{name}.npz"))
    finally:
        ours.close()
        theirs.close()
    answers = {name: dict(np.load(folder / f"{name}.npz")) for name in workers}
    ratio = lambda job, other: round(rates["ours"][job] / rates["nequix"][other], 2)
    ratios = {
        "infer_vs_nequix": ratio("batched", "single"),
        "infer_vs_nequix_single": ratio("single", "single"),
        "infer_vs_nequix_batched": ratio("batched", "batched"),
        "nequix_max_diff": differences(answers["ours"], answers["nequix"]),
    }
    return ratios, {name: {**worker.facts, **rates[name]} for name, worker in workers.items()}


def _rates(workers: dict[str, Worker], rounds: int, clock: str) -> dict[str, dict[str, float]]:
    """Crystals per second, medians over rounds."""
    rates = {name: {"batched": [], "single": []} for name in workers}
    for _ in range(rounds):
        for job in ("batched", "single"):
            for name, worker in workers.items():
                said = worker(job)
                rates[name][job].append(said["value"] / said[clock])
    return {name: {job: round(statistics.median(rows), 2) for job, rows in jobs.items()} for name, jobs in rates.items()}


def differences(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest differences: energy in eV/atom, forces in eV/Å, stress in eV/Å³, and the number of crystals."""
    return {
        "energy": float(np.abs((ours["energy"] - theirs["energy"]) / ours["n_atom"]).max()),
        "forces": float(np.abs(ours["forces"] - theirs["forces"]).max()),
        "stress": float(np.abs(ours["stress"] - theirs["stress"]).max()),
        "n": len(ours["energy"]),
    }
