"""From measured compounds to a round's surrogate: train the ensemble, find out how wrong it is, calibrate its doubt."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from matjax.campaign.arrays import replace_arrays
from matjax.campaign.crystals.cells import AlloyCells
from matjax.campaign.crystals.compound_surrogate import CompoundBeliefs, CompoundSurrogate, Correction, Modulus, columns_of, say
from matjax.campaign.crystals.rounds import claim, doubt_of, draws, errors_of_candidates, errors_so_far, facts_of, remembered, train
from matjax.campaign.crystals.surrogate import Network
from matjax.campaign.problem import Measured
from matjax.keys import child
from matjax.simulate.prototypes import LATTICES
from matjax.types import Candidate
from matjax.uncertainty import Mahalanobis
from matjax.value import novelty_limit

if TYPE_CHECKING:
    from matjax.campaign.crystals.compounds import CompoundProblem

EVERY = 4
"""One in so many compounds of the known set is kept from the first round's networks, to tell how far their spread can be believed."""


def learn(problem: CompoundProblem, measured: Mapping[str, Measured], round: int, run_dir: Path, key: jax.Array) -> CompoundSurrogate:
    """The surrogate of a round.

    A quarter of the known compounds, by a hash of what they are, is not shown to the first round's networks: their errors there
    calibrate the doubt. Later rounds go on from the last ensemble with everything measured; the batch that it had predicted before it was
    measured joins the evidence.

    Args:
      problem: Settings.
      measured: Everything that converged.
      round: From 0.
      run_dir: Of the campaign; the ensemble is kept in `rounds/NNN`.
      key: Of the round's learning.
    """
    folder, table = run_dir / "rounds" / f"{round:03d}", problem.table(measured)
    known = {c.key for c in problem.known()}
    ground = problem.ground({k: m for k, m in measured.items() if k in known})
    claim(folder, problem, table, key)
    predictor = train(problem, [m for m in measured.values() if round or not _is_kept_back(m.candidate)], round, run_dir, key)
    cells = remembered(folder / "cells.npz", table.keys)
    if cells is None:
        relaxed = say(problem, predictor, ground, table.prototypes, table.crystals)
        cells = {"enthalpy": relaxed.enthalpy, "features": relaxed.features}
        if round == 0:
            unseen = np.array([_is_kept_back(measured[k].candidate) for k in table.keys])
            told = cells["enthalpy"]
            cells["errors"] = _errors(problem, table.select(~unseen), told[:, ~unseen], table.select(unseen), told[:, unseen])
        else:
            ask = lambda ensemble, new: say(problem, ensemble, ground, new.prototypes, new.crystals).enthalpy
            cells["errors"] = errors_so_far(run_dir, round, table, ask, partial(_errors, problem))
        replace_arrays(folder / "cells.npz", {"keys": np.array(table.keys), **cells})
    doubt = doubt_of(problem, *cells["errors"])
    correction = _correction(table, cells["enthalpy"])
    left = table.energy - (cells["enthalpy"] + correction.at(table.prototypes, table.x)).mean(0)
    columns, score = columns_of(table.x, cells["features"]), Mahalanobis().fit(cells["features"][::2])
    log = lambda values, least: np.log(np.maximum(values, least))
    beliefs = CompoundBeliefs(
        correction=correction,
        ground=ground,
        log_bulk=Modulus.fit(columns, log(table.bulk, problem.surfaces.bulk_floor)),
        log_shear=Modulus.fit(columns, log(table.shear, problem.surfaces.shear_floor)),
        born=Modulus.fit(columns, table.born / np.maximum(table.bulk, problem.surfaces.bulk_floor)),
        draws=draws(len(cells["enthalpy"]), child(key, "draws")),
        novelty=score,
        limit=novelty_limit(score.score(cells["features"][1::2])),
        doubt=doubt,
        compounds=tuple(problem.compounds({k: m for k, m in measured.items() if k in known})),
    )
    facts = facts_of(doubt, cells["errors"], left, measured)
    network = Network(predictor, cells["enthalpy"], cells["features"])
    return CompoundSurrogate(problem, network, beliefs, facts, folder / "predictions.npz")


def _is_kept_back(candidate: Candidate) -> bool:
    """Whether the first round's networks do not see it: a share of the compounds, the same whatever else is known."""
    return candidate.prototype not in LATTICES and int(candidate.key, 16) % EVERY == 0


def _correction(table: AlloyCells, enthalpy: np.ndarray) -> Correction:
    return Correction.fit(table.prototypes, table.x, table.energy - enthalpy)


def _errors(problem: CompoundProblem, known: AlloyCells, told: np.ndarray, new: AlloyCells, said: np.ndarray) -> np.ndarray:
    """Errors of corrected enthalpies per candidate, and the spread of the members [2, n], eV/atom."""
    if not len(new) or len(said) < 2:
        return np.zeros((2, 0))
    guess = said + _correction(known, told).at(new.prototypes, new.x)
    return errors_of_candidates(new, guess, problem.n_imagined)
