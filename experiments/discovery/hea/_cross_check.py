"""The best alloys by other potentials: formation energies of the same cells, and of compounds, by each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from matjax.campaign import AseOracle, Potential, Recipe
from matjax.simulate.cells import cells, element_volumes, ordered, solution
from matjax.simulate.prototypes import LATTICES
from matjax.types import Candidate

WEIGHTS = Path(__file__).resolve().parents[3] / "../shared/data/nequix/nequix-oam-1-pft.nqx"
COMPOUNDS = (("B2", "Ni", "Al"), ("B2", "Co", "Al"), ("B2", "Fe", "Al"), ("L1_2", "Ni", "Al"))


def cross_check(oracle: Any, best: dict[str, Candidate], chgnet_python: str = "") -> dict[str, Any]:
    """Formation energy (meV/atom, against the potential's own lowest elements) and volume (Å³/atom) by each potential.

    Args:
      oracle: The campaign's.
      best: Alloys by what they are called.
      chgnet_python: Interpreter in which CHGNet is installed; this one where empty. Where it is not installed it is left out.
    """
    elements = tuple(oracle.elements)
    pure = {(s, lattice): solution(lattice, {s: 20}) for s in elements for lattice in LATTICES}
    named = best | {" ".join(c): ordered(*c) for c in COMPOUNDS}
    crystals = [cells(c, 1, element_volumes(c.elements))[0] for c in (*pure.values(), *named.values())]
    potential = Potential(str(WEIGHTS), elements, recipe=Recipe(gives=()), batch_size=4)
    found: dict[str, Any] = {name: {} for name in named}
    told = {"meam": oracle.measure(crystals, elastic=True, frames=True), "nequix": potential.measure(crystals)}
    if (third := chgnet(elements, chgnet_python)) is not None:
        told["chgnet"] = third.measure(crystals)
    for kind, results in told.items():
        energy = np.array([r.labels["energy_per_atom"] if r.converged else np.nan for r in results])
        lowest = {s: float(np.nanmin(energy[3 * i : 3 * i + 3])) for i, s in enumerate(elements)}
        for (name, c), e, r in zip(named.items(), energy[len(pure) :], results[len(pure) :], strict=True):
            above = e - sum(share * lowest[s] for s, share in c.composition.items())
            found[name][kind] = None if np.isnan(above) else round(1000 * float(above), 1)
            found[name][f"{kind}_volume"] = round(float(r.labels["volume_per_atom"]), 3) if r.converged else None
            found[name][f"{kind}_status"] = r.status
    return found


def chgnet(elements: tuple[str, ...], python: str = "") -> AseOracle | None:
    """CHGNet (Deng et al. 2023, Nat. Mach. Intell. 5, 1031) as an oracle, or None where it is not installed."""
    oracle = AseOracle("chgnet", elements, recipe=Recipe(gives=()), python=python)
    try:
        print(f"third potential: {oracle.version}", file=sys.stderr)
    except ValueError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return None
    return oracle


def alloy(formula: str) -> Candidate:
    """The candidate of a formula like `bcc Al20 Co5 Fe35 Mo5 Ni35`, in steps of 5 at.%."""
    lattice, *parts = formula.split()
    counts = {p.rstrip("0123456789."): round(float(p.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")) / 5) for p in parts}
    return solution(lattice, counts)


def of_rows(rows: dict[str, Any]) -> dict[str, Candidate]:
    """The best alloy that each method found in any of its campaigns."""
    best: dict[str, dict[str, Any]] = {}
    for name, row in rows.items():
        method = name.rpartition(" ")[0]
        if row.get("best_alloy") and row["best_alloy"]["utility"] > best.get(method, {"utility": -1.0})["utility"]:
            best[method] = row["best_alloy"]
    return {row["candidate"]: alloy(row["candidate"]) for row in best.values()}
