"""Sections through the free-energy landscape: against composition and against temperature, with what the oracle says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from matjax.campaign.crystals.alloy_surrogate import AlloySurrogate
from matjax.campaign.crystals.surrogate import CrystalSurrogate
from matjax.campaign.prediction import summary
from matjax.campaign.problem import Measured
from matjax.simulate.prototypes import LATTICES
from matjax.thermo import Landscape, gibbs_elements, gibbs_solution, stabilities

if TYPE_CHECKING:
    from matjax.campaign.crystals.alloys import AlloyProblem
    from matjax.campaign.crystals.problem import CrystalProblem

N_POINT = 21
TEMPERATURES = (300.0, 600.0, 900.0, 1200.0, 1500.0)


def mixing_sections(
    problem: AlloyProblem, surrogate: AlloySurrogate, known: Mapping[str, Measured], best: Sequence[Measured]
) -> list[dict[str, Any]]:
    """Free energy of mixing and stability as the most abundant element of an alloy is exchanged for the others.

    Bands are 90% intervals by the members' calibrated spread; the truth is the oracle's landscape of
    the known set.
    """
    ground = problem.ground(known)
    return [_section(problem, surrogate, ground, m) for m in best]


def _section(problem: AlloyProblem, surrogate: AlloySurrogate, ground: Landscape, m: Measured) -> dict[str, Any]:
    fractions, elements = m.candidate.composition, problem.elements
    varied = max(fractions, key=lambda s: fractions[s])
    rest = np.array([0.0 if s == varied else fractions.get(s, 0.0) for s in elements])
    share = np.linspace(0.0, 0.8, N_POINT)
    x = (1 - share)[:, None] * rest / rest.sum() + share[:, None] * np.array([float(s == varied) for s in elements])
    lattice = LATTICES.index(m.candidate.prototype)
    temperatures = sorted({300.0, problem.temperature, 1.5 * problem.temperature})
    rows: dict[str, list[Any]] = {k: [] for k in ("gibbs_mixing", "low", "high", "stability", "stability_low", "stability_high")}
    truth: dict[str, list[Any]] = {"truth_gibbs": [], "truth_stability": []}
    for temperature in temperatures:
        mixing = _mixing(problem, surrogate.beliefs.landscape, lattice, x, temperature)
        stable = _stability(problem, surrogate.beliefs.landscape, lattice, x, temperature)
        for name, low, high, samples in (
            ("gibbs_mixing", "low", "high", mixing),
            ("stability", "stability_low", "stability_high", stable),
        ):
            middle, half = _band(samples, surrogate)
            rows[name].append(middle)
            rows[low].append(middle - half)
            rows[high].append(middle + half)
        truth["truth_gibbs"].append(_mixing(problem, ground, lattice, x, temperature)[0])
        truth["truth_stability"].append(_stability(problem, ground, lattice, x, temperature)[0])
    return {
        "title": f"{varied} in {m.candidate.formula.partition(' ')[2]}",
        "lattice": m.candidate.prototype,
        "x_label": f"fraction of {varied}",
        "x": share,
        "temperatures": temperatures,
        **rows,
        **truth,
    }


def stability_trends(
    problem: CrystalProblem, surrogate: CrystalSurrogate, known: Mapping[str, Measured], best: Sequence[Measured]
) -> list[dict[str, Any]]:
    """Stability of measured candidates against temperature: what the members say of their cells, and what the oracle says."""
    if not best:
        return []
    ground, candidates = problem.ground(known), [m.candidate for m in best]
    table = problem.table({m.candidate.key: m for m in best})
    said = [_band(np.asarray(surrogate.stability(candidates, temperature)[0].value), surrogate) for temperature in TEMPERATURES]
    at = [dataclasses.replace(problem, temperature=temperature) for temperature in TEMPERATURES]
    true = [np.asarray(warm.weighed(ground, candidates, table).value)[0] for warm in at]
    return [
        {
            "candidate": candidate.formula,
            "T": list(TEMPERATURES),
            "stability": [middle[i] for middle, _ in said],
            "low": [middle[i] - half[i] for middle, half in said],
            "high": [middle[i] + half[i] for middle, half in said],
            "truth": [row[i] for row in true],
        }
        for i, candidate in enumerate(candidates)
    ]


def _mixing(problem: AlloyProblem, landscape: Landscape, lattice: int, x: np.ndarray, temperature: float) -> np.ndarray:
    """[n_member, n] eV/atom relative to the elements in their stable state."""
    pure = np.asarray(gibbs_elements(landscape, temperature, problem.terms))
    return np.asarray(gibbs_solution(landscape, lattice, x, temperature, problem.terms)) - pure @ x.T


def _stability(problem: AlloyProblem, landscape: Landscape, lattice: int, x: np.ndarray, temperature: float) -> np.ndarray:
    return np.asarray(stabilities(landscape, np.full(len(x), lattice), x, temperature, terms=problem.terms).value)


def _band(samples: np.ndarray, surrogate: CrystalSurrogate) -> tuple[np.ndarray, np.ndarray]:
    """Mean and half-width of a 90% interval as the predictions have [n]."""
    told = summary(surrogate.beliefs.doubt.widen(samples, surrogate.beliefs.draws[3]))
    return np.array([one["mean"] for one in told]), np.array([(one["high"] - one["low"]) / 2 for one in told])
