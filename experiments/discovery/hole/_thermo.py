"""Stability as `matjax discover` defines it: a candidate's own cell against the landscape of a measured known set."""

from __future__ import annotations

import sys

import jax
import numpy as np

from matjax.campaign.crystals.alloys import AlloyProblem
from matjax.campaign.crystals.problem import KnownSet
from matjax.campaign.problem import Measured
from matjax.simulate.laboratory import Laboratory
from matjax.simulate.prototypes import LATTICES
from matjax.thermo import Landscape, Own, stabilities
from matjax.value import Alloys, StabilityGoal, Utility


def problem_of(elements: tuple[str, ...], known: KnownSet, temperature: float) -> AlloyProblem:
    """Five-element fcc alloys of these elements, judged by stability alone."""
    space = Alloys(elements, lattices=("fcc",), n_site=32, min_elements=min(5, len(elements)), max_elements=5, max_count=11)
    return AlloyProblem(space, Utility((StabilityGoal(),)), temperature=temperature, known_set=known)


def measured_landscape(problem: AlloyProblem) -> Landscape:
    """The landscape of the known set, relaxed and strained by the laboratory; one member."""
    candidates = problem.known()
    crystals = [problem.cells(candidate) for candidate in candidates]
    said = iter(Laboratory().measure([c for part in crystals for c in part], elastic=True))
    measured = [Measured(c, tuple(next(said) for _ in part)) for c, part in zip(candidates, crystals, strict=True)]
    sound = {m.candidate.key: m for m in measured if m.converged}
    print(f"known set: {len(sound)} of {len(candidates)} converged", file=sys.stderr, flush=True)
    table = problem.table(sound)
    return problem.landscape(table, table.energy[None])


def instabilities(problem: AlloyProblem, ground: Landscape, x: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Stability of fcc alloys with these energies of their own cells, eV/atom, negative is stable.

    Args:
      problem: Temperature, terms and priors.
      ground: The landscape, one member.
      x: Compositions [n, n_element].
      energy: Of their cells [n], eV/atom relative to free atoms.

    Returns:
      [n].
    """
    own = Own(energy.reshape(1, -1, 1), x[:, None], np.full((len(x), 1), problem.surfaces.enthalpy.noise))
    fcc = np.full(len(x), LATTICES.index("fcc"))
    found = stabilities(ground, fcc, x, problem.temperature, terms=problem.terms, own=own)
    return np.asarray(jax.device_get(found.value), float)[0]
