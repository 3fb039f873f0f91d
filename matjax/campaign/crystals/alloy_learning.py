"""From measured alloys to a round's surrogate: train the ensemble, find out how wrong it is, correct it, calibrate its doubt."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from matjax.campaign.arrays import replace_arrays
from matjax.campaign.crystals.alloy_surrogate import AlloyBeliefs, AlloySurrogate, Curves, curves, relax_from
from matjax.campaign.crystals.cells import AlloyCells
from matjax.campaign.crystals.rounds import claim, doubt_of, draws, errors_of_candidates, errors_so_far, facts_of, remembered, train
from matjax.campaign.crystals.surrogate import Doubt, Network
from matjax.campaign.problem import Measured
from matjax.keys import child
from matjax.simulate.cells import solution
from matjax.thermo import Landscape, RedlichKister
from matjax.training.predictor import GraphPredictor
from matjax.uncertainty import Mahalanobis
from matjax.value import novelty_limit

if TYPE_CHECKING:
    from matjax.campaign.crystals.alloys import AlloyProblem

BORN = RedlichKister(element=0.5, pair=1.0, pair_1=0.4, pair_2=0.2, ternary=1.0, quaternary=1.0, noise=0.03, noise_element=0.005)
"""Prior of the smallest elastic eigenvalue, eV/Å³."""

FEW = 2
"""Most elements of the alloys that train the first round; the rest of the known set tells how far its spread can be believed."""


def learn(problem: AlloyProblem, measured: Mapping[str, Measured], round: int, run_dir: Path, key: jax.Array) -> AlloySurrogate:
    """The surrogate of a round.

    The first round's networks never see alloys of three elements, so that these measure how far the members' spread falls short of
    their error one element beyond what they know. Later rounds go on from the last ensemble with everything measured; the batch
    that it had predicted before it was measured joins the evidence.

    Args:
      problem: Settings.
      measured: Everything that converged.
      round: From 0.
      run_dir: Of the campaign; the ensemble is kept in `rounds/NNN`.
      key: Of the round's learning.
    """
    folder, table = run_dir / "rounds" / f"{round:03d}", problem.table(measured)
    solid = table.select(table.is_solution)
    ground = problem.landscape(table, table.energy[None])
    claim(folder, problem, table, key)
    seen = [m for m in measured.values() if round or len(m.candidate.elements) <= FEW]
    predictor = train(problem, seen, round, run_dir, key)
    support = _support(problem)
    cells = remembered(folder / "cells.npz", solid.keys)
    if cells is None:
        cells = _look(predictor, solid, support, ground)
        if round == 0:
            few, told = solid.n_element <= FEW, cells["enthalpy"]
            cells["errors"] = _errors(problem, solid.select(few), told[:, few], solid.select(~few), told[:, ~few])
        else:
            say = lambda ensemble, new: relax_from(ensemble, ground, new.prototypes, new.crystals, new.lattice, new.x).enthalpy
            cells["errors"] = errors_so_far(run_dir, round, solid, say, partial(_errors, problem))
        replace_arrays(folder / "cells.npz", {"keys": np.array(solid.keys), **cells})
    network = Network(predictor, cells["enthalpy"], cells["features"])
    doubt = doubt_of(problem, *cells["errors"])
    table = table.join(support)
    beliefs = _believe(problem, measured, table, solid, network, cells["support"], ground, doubt, child(key, "draws"))
    left = solid.energy - (network.enthalpy + beliefs.correction.at(solid.lattice, solid.x)).mean(0)
    facts = facts_of(doubt, cells["errors"], left, measured)
    return AlloySurrogate(problem, network, beliefs, facts, folder / "predictions.npz")


def _look(predictor: GraphPredictor, solid: AlloyCells, support: AlloyCells, ground: Landscape) -> dict[str, np.ndarray]:
    """What the ensemble says of measured cells, and of those of the support."""
    both = solid.join(support)
    relaxed = relax_from(predictor, ground, both.prototypes, both.crystals, both.lattice, both.x)
    n = len(solid)
    return {"enthalpy": relaxed.enthalpy[:, :n], "features": relaxed.features[:n], "support": relaxed.enthalpy[:, n:]}


def _errors(problem: AlloyProblem, known: AlloyCells, told: np.ndarray, new: AlloyCells, said: np.ndarray) -> np.ndarray:
    """Errors of corrected enthalpies per candidate, and the spread of the members [2, n], eV/atom."""
    if not len(new) or len(said) < 2:
        return np.zeros((2, 0))
    guess = said + _correction(problem, known, told).at(new.lattice, new.x)
    return errors_of_candidates(new, guess, problem.n_imagined)


def _correction(problem: AlloyProblem, solid: AlloyCells, enthalpy: np.ndarray) -> Curves:
    """What measured energies add to the members' [n_member, n], as a smooth function of composition on each lattice."""
    return curves(solid.lattice, solid.x, solid.energy - enthalpy, problem.surfaces.enthalpy)


def _believe(
    problem: AlloyProblem,
    measured: Mapping[str, Measured],
    table: AlloyCells,
    solid: AlloyCells,
    network: Network,
    support: np.ndarray,
    ground: Landscape,
    doubt: Doubt,
    key: jax.Array,
) -> AlloyBeliefs:
    """What the members make of the measurements; the table ends with the support, of which they said `support`; see `AlloyBeliefs`."""
    correction = _correction(problem, solid, network.enthalpy)
    n_member, first = len(support), len(table) - support.shape[1]
    enthalpy = np.tile(table.energy, (n_member, 1))
    enthalpy[:, first:] = support + correction.at(table.lattice[first:], table.x[first:])
    floor = problem.surfaces
    log = lambda values, least: np.log(np.maximum(values, least))
    modulus = lambda values, least: curves(solid.lattice, solid.x, log(values, least), problem.surfaces.log_modulus)
    score = Mahalanobis().fit(network.features[::2])
    return AlloyBeliefs(
        correction=correction,
        ground=ground,
        landscape=problem.landscape(table, enthalpy),
        log_bulk=modulus(solid.bulk, floor.bulk_floor),
        log_shear=modulus(solid.shear, floor.shear_floor),
        born=curves(solid.lattice, solid.x, solid.born, BORN),
        draws=draws(n_member, key),
        novelty=score,
        limit=novelty_limit(score.score(network.features[1::2])),
        doubt=doubt,
        compounds=tuple(problem.compounds(measured)),
    )


def _support(problem: AlloyProblem) -> AlloyCells:
    """Equimolar alloys of four elements on every lattice of the space, unmeasured: NaN energies and moduli."""
    n, groups = problem.space.n_site, list(itertools.combinations(problem.elements, min(4, len(problem.elements))))
    chosen = [groups[i] for i in np.unique(np.linspace(0, len(groups) - 1, min(problem.support, len(groups))).astype(int))]
    share = lambda group: {s: n // len(group) + (i < n % len(group)) for i, s in enumerate(group)}
    candidates = [solution(lattice, share(group)) for group in chosen for lattice in problem.space.lattices]
    return AlloyCells.unmeasured(problem.elements, candidates, [problem.cells(c)[0] for c in candidates])
