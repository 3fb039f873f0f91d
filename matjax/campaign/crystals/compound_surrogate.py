"""What an ensemble of networks believes of compounds that nobody has measured.

Every member relaxes a candidate's cell with its own forces; what it gets wrong on measured cells, as a linear function of composition and
structure, is taken off. The landscape that a candidate is weighed against is the oracle's own, of the known set: only the candidate is
in doubt. Moduli are regressions on the network's features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.linear_model import BayesianRidge, Ridge

from matjax.campaign.crystals.cells import compositions
from matjax.campaign.crystals.surrogate import RAW, Beliefs, CrystalSurrogate
from matjax.simulate.prototypes import LATTICES
from matjax.thermo import Landscape, Stability, evaluate
from matjax.types import Candidate, Crystal
from matjax.value import density
from matjax.value.relaxed import Ensemble, Relaxed, relaxed_energies

if TYPE_CHECKING:
    from matjax.campaign.crystals.compounds import CompoundProblem

SHRINK = 0.04
"""Penalty on the coefficients of the correction: the square of an error of 10 meV/atom over one of 50."""


class Solid(NamedTuple):
    """What a compound's free energy is made of, by the oracle or by every member [n_member, n].

    enthalpy: eV/atom; volume: Å³/atom; bulk, shear: moduli, eV/Å³, NaN where unknown; born: smallest eigenvalue of the elastic
    constants, eV/Å³.
    """

    enthalpy: np.ndarray
    volume: np.ndarray
    bulk: np.ndarray
    shear: np.ndarray
    born: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Correction:
    """What measured energies add to the members', linear in composition and structure.

    Attributes:
      prototypes: Structures with a coefficient of their own; of another one, composition alone counts.
      model: The regression.
    """

    prototypes: tuple[str, ...]
    model: Ridge

    @classmethod
    def fit(cls, prototypes: Sequence[str], x: np.ndarray, left: np.ndarray) -> Correction:
        """Learns what is left [n_member, n] of cells of these structures [n] and compositions [n, n_element]."""
        names = tuple(sorted(set(prototypes)))
        return cls(names, Ridge(alpha=SHRINK).fit(_columns(names, prototypes, x), left.T))

    def at(self, prototypes: Sequence[str], x: np.ndarray) -> np.ndarray:
        """The correction [n_member, n], eV/atom."""
        return self.model.predict(_columns(self.prototypes, prototypes, x)).reshape(len(x), -1).T


@dataclasses.dataclass(frozen=True, eq=False)
class Modulus:
    """A modulus by Bayesian ridge regression on composition and the network's features, standardised.

    Attributes:
      mean: Of the columns [n_column].
      scale: Of the columns [n_column].
      model: The regression.
    """

    mean: np.ndarray
    scale: np.ndarray
    model: BayesianRidge

    @classmethod
    def fit(cls, columns: np.ndarray, y: np.ndarray) -> Modulus:
        """Learns from columns [n, n_column] and values [n], NaN where unknown."""
        known = np.isfinite(y)
        mean, scale = columns[known].mean(0), columns[known].std(0)
        scale = np.where(scale > 1e-9, scale, 1.0)
        return cls(mean, scale, BayesianRidge().fit((columns[known] - mean) / scale, y[known]))

    def draw(self, columns: np.ndarray, where: np.ndarray) -> np.ndarray:
        """Values [n_member, n], each member `where` [n_member] standard deviations from the mean."""
        mean, std = self.model.predict((columns - self.mean) / self.scale, return_std=True)
        return mean + where[:, None] * std


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CompoundBeliefs(Beliefs):
    """See `Beliefs`; `ground` is that of the known set.

    Attributes:
      correction: What is added to the members' enthalpies.
      log_bulk: Logarithm of the bulk modulus, eV/Å³.
      log_shear: Of the shear modulus.
      born: Smallest eigenvalue of the elastic constants over the bulk modulus.
    """

    correction: Correction
    log_bulk: Modulus
    log_shear: Modulus
    born: Modulus


@dataclasses.dataclass(frozen=True, eq=False)
class CompoundSurrogate(CrystalSurrogate):
    """One round's model of the compounds; see `CrystalSurrogate`."""

    problem: CompoundProblem
    beliefs: CompoundBeliefs

    def stability(self, candidates: Sequence[Candidate], temperature: float) -> tuple[Stability, Solid, np.ndarray]:
        """Stability by every member, spread not yet calibrated; what it is made of; the network's features [n, n_feature]."""
        problem, beliefs = self.problem, self.beliefs
        cells = [problem.cells(c)[: problem.n_imagined] for c in candidates]
        names = [c.prototype for c, part in zip(candidates, cells, strict=True) for _ in part]
        crystals = [crystal for part in cells for crystal in part]
        x = compositions(problem.elements, crystals)
        relaxed = say(problem, self.network.predictor, beliefs.ground, names, crystals)
        of = np.repeat(np.arange(len(cells)), [len(part) for part in cells])
        mean = lambda values: np.stack([values[..., of == i].mean(-1) for i in range(len(cells))], -1)
        columns = columns_of(x, relaxed.features)
        bulk, shear = (np.exp(mean(m.draw(columns, beliefs.draws[k]))) for k, m in enumerate((beliefs.log_bulk, beliefs.log_shear)))
        enthalpy = mean(relaxed.enthalpy + beliefs.correction.at(names, x))
        solid = Solid(enthalpy, mean(relaxed.volume), bulk, shear, bulk * mean(beliefs.born.draw(columns, beliefs.draws[2])))
        return problem.stability(beliefs.ground, candidates, solid, temperature), solid, mean(relaxed.features.T).T

    def foresee(self, candidates: Sequence[Candidate]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Samples of every property [n_member, n], and novelty [n]."""
        problem, beliefs = self.problem, self.beliefs
        found, solid, features = self.stability(candidates, problem.temperature)
        widen = lambda samples: beliefs.doubt.widen(samples, beliefs.draws[3])
        mixing = problem.gibbs_mixing(beliefs.ground, candidates, np.asarray(found.gibbs))
        samples = problem.properties(candidates, widen(np.asarray(found.value)), widen(mixing))
        samples |= problem.moduli(solid.bulk, solid.shear, solid.born) | {RAW: np.asarray(found.value)}
        samples["density"] = np.asarray(density(problem.elements, problem.compositions(candidates), solid.volume))
        return samples, beliefs.novelty.score(features)


def say(problem: CompoundProblem, ensemble: Ensemble, ground: Landscape, names: Sequence[str], crystals: Sequence[Crystal]) -> Relaxed:
    """Relaxed energies of cells by every member."""
    return relaxed_energies(ensemble, names, crystals, mixed_moduli(ground, compositions(problem.elements, crystals))[0])


def mixed_moduli(ground: Landscape, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bulk and shear modulus (eV/Å³) [n] of the elements' stable lattices, mixed by their logarithms, at compositions [n, n_element]."""
    pure = np.eye(x.shape[1])
    at = lambda surface: np.asarray(evaluate(surface._replace(mean=surface.mean[0]), pure)).reshape(len(LATTICES), -1)
    stable = np.argmin(at(ground.enthalpy), 0)
    bulk, shear = (at(surface)[stable, np.arange(len(stable))] for surface in (ground.log_bulk, ground.log_shear))
    return np.exp(x @ bulk), np.exp(x @ shear)


def columns_of(x: np.ndarray, features: np.ndarray) -> np.ndarray:
    """What moduli are regressed on [n, n_element + n_feature]."""
    return np.concatenate([x, features], 1)


def _columns(names: Sequence[str], prototypes: Sequence[str], x: np.ndarray) -> np.ndarray:
    """Composition, and which structure [n, n_element + n_prototype]."""
    return np.concatenate([x, np.array([[float(p == name) for name in names] for p in prototypes])], 1)
