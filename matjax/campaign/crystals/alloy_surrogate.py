"""What an ensemble of networks believes of alloys that nobody has measured, through the thermodynamic head.

Every member relaxes a candidate's own cells with its own forces. What the members get wrong on measured cells is a smooth
function of composition and is taken off, lattice by lattice; what they disagree about beyond is their doubt. Each member's
candidate is then weighed against the same member's landscape.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from matjax.campaign.crystals.cells import compositions
from matjax.campaign.crystals.surrogate import RAW, Beliefs, CrystalSurrogate
from matjax.simulate.prototypes import LATTICES
from matjax.thermo import Landscape, RedlichKister, Stability, fit_surface, stabilities
from matjax.thermo.alloy.solution import basis
from matjax.types import Candidate, Crystal
from matjax.value import density
from matjax.value.relaxed import Ensemble, Relaxed, relaxed_energies

if TYPE_CHECKING:
    from matjax.campaign.crystals.alloys import AlloyProblem

ROWS = 512
"""Compositions are padded to a multiple of this, so that few shapes are compiled."""


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """Surfaces of one property, one per lattice, evaluated on the host.

    Attributes:
      mean: Coefficients [n_lattice, ..., n_basis].
      covariance: Of the coefficients [n_lattice, n_basis, n_basis].
    """

    mean: np.ndarray
    covariance: np.ndarray

    def at(self, lattice: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The property [..., n] of compositions [n, n_element] on their lattices [n]."""
        rows = basis_rows(x)
        return np.moveaxis(np.einsum("n...b,nb->n...", self.mean[lattice], rows), 0, -1)

    def spread(self, lattice: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Its standard deviation [n]."""
        rows = basis_rows(x)
        return np.sqrt(np.maximum(np.einsum("nb,nbc,nc->n", rows, self.covariance[lattice], rows), 0.0))


def basis_rows(x: np.ndarray) -> np.ndarray:
    """Basis functions [n, n_basis] of compositions [n, n_element]."""
    padded = np.concatenate([x, np.tile(x[:1], (-len(x) % ROWS, 1))])
    return np.asarray(basis(padded), np.float64)[: len(x)]


def curves(lattice: np.ndarray, x: np.ndarray, y: np.ndarray, prior: RedlichKister) -> Curves:
    """Fits a surface per lattice to the data that are on it; y [..., n], NaN where unknown (for every member)."""
    extra = -len(x) % ROWS
    known = np.isfinite(y).reshape(-1, len(x)).all(0)
    filled = np.pad(np.where(known, y, 0.0), [(0, 0)] * (y.ndim - 1) + [(0, extra)])
    grown = np.concatenate([x, np.tile(x[:1], (extra, 1))])
    pure, center = x.max(1) > 1 - 1e-9, np.mean(y[..., known], -1)
    noise = np.where(pure, prior.noise_element, prior.noise)
    fits = []
    for i in range(len(LATTICES)):
        told = np.pad(np.where(known & (lattice == i), noise, np.inf), (0, extra), constant_values=np.inf)
        fits.append(fit_surface(grown, filled, prior, noise=told, center=center))
    return Curves(np.stack([np.asarray(f.mean) for f in fits]), np.stack([np.asarray(f.covariance) for f in fits]))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class AlloyBeliefs(Beliefs):
    """See `Beliefs`; `ground` is made of all measured cells.

    Attributes:
      correction: What is added to the members' enthalpies, by lattice.
      landscape: Each member's.
      log_bulk: Logarithm of the bulk modulus, eV/Å³.
      log_shear: Of the shear modulus.
      born: Smallest eigenvalue of the elastic constants, eV/Å³.
    """

    correction: Curves
    landscape: Landscape
    log_bulk: Curves
    log_shear: Curves
    born: Curves


@dataclasses.dataclass(frozen=True, eq=False)
class AlloySurrogate(CrystalSurrogate):
    """One round's model of the alloys; see `CrystalSurrogate`."""

    problem: AlloyProblem
    beliefs: AlloyBeliefs

    def stability(self, candidates: Sequence[Candidate], temperature: float) -> tuple[Stability, Relaxed]:
        """Stability of candidates on every member's landscape, spread not yet calibrated."""
        problem = self.problem
        keys, names, crystals = _flat(candidates, [self.imagined(c) for c in candidates])
        relaxed = self.relax(names, crystals)
        x = compositions(problem.elements, crystals)
        own = problem.own(candidates, keys, x, relaxed.enthalpy)
        landscape = self.beliefs.landscape
        return stabilities(landscape, *problem.phases(candidates), temperature, terms=problem.terms, own=own), relaxed

    def imagined(self, candidate: Candidate) -> list[Crystal]:
        """The cells of a candidate that the networks look at: the first of those that the oracle will measure."""
        return self.problem.cells(candidate)[: self.problem.n_imagined]

    def relax(self, names: Sequence[str], crystals: Sequence[Crystal]) -> Relaxed:
        """Corrected enthalpies of cells of solutions [n_member, n]."""
        lattice, x = np.array([LATTICES.index(name) for name in names]), compositions(self.problem.elements, crystals)
        relaxed = relax_from(self.network.predictor, self.beliefs.ground, names, crystals, lattice, x)
        return relaxed._replace(enthalpy=relaxed.enthalpy + self.beliefs.correction.at(lattice, x))

    def foresee(self, candidates: Sequence[Candidate]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Samples of every property [n_member, n], and novelty [n]."""
        problem, beliefs = self.problem, self.beliefs
        found, relaxed = self.stability(candidates, problem.temperature)
        counts = [len(self.imagined(c)) for c in candidates]
        of = np.repeat(np.arange(len(candidates)), counts)
        mean = lambda values: np.stack([values[..., of == i].mean(-1) for i in range(len(candidates))], -1)
        mixing = problem.gibbs_mixing(beliefs.landscape, candidates, np.asarray(found.gibbs))
        widen = lambda samples: beliefs.doubt.widen(samples, beliefs.draws[3])
        samples = problem.properties(candidates, widen(np.asarray(found.value)), widen(mixing))
        samples |= self._moduli(candidates, mean(relaxed.volume)) | {RAW: np.asarray(found.value)}
        return samples, mean(beliefs.novelty.score(relaxed.features))

    def _moduli(self, candidates: Sequence[Candidate], volume: np.ndarray) -> dict[str, np.ndarray]:
        """Moduli [n_member, n] by regression on composition, and density."""
        beliefs, problem = self.beliefs, self.problem
        lattice, x = problem.phases(candidates)
        draw = lambda c, row: c.at(lattice, x) + beliefs.draws[row][:, None] * c.spread(lattice, x)
        bulk, shear = np.exp(draw(beliefs.log_bulk, 0)), np.exp(draw(beliefs.log_shear, 1))
        return problem.moduli(bulk, shear, draw(beliefs.born, 2)) | {"density": np.asarray(density(problem.elements, x, volume))}


def relax_from(
    ensemble: Ensemble, ground: Landscape, names: Sequence[str], crystals: Sequence[Crystal], lattice: np.ndarray, x: np.ndarray
) -> Relaxed:
    """Relaxed energies of cells, from volumes and stiffness that are already known of their composition."""
    host = lambda surface: Curves(np.asarray(surface.mean)[0], np.asarray(surface.covariance))
    volume, bulk = np.exp(host(ground.log_volume).at(lattice, x)), np.exp(host(ground.log_bulk).at(lattice, x))
    return relaxed_energies(ensemble, names, [swollen(c, v) for c, v in zip(crystals, volume, strict=True)], bulk)


def swollen(crystal: Crystal, volume_per_atom: float) -> Crystal:
    """The crystal at another volume (Å³/atom)."""
    factor = (volume_per_atom * len(crystal) / crystal.volume) ** (1 / 3)
    return Crystal(crystal.lattice * factor, crystal.positions * factor, crystal.numbers, crystal.pbc)


def _flat(candidates: Sequence[Candidate], crystals: Sequence[Sequence[Crystal]]) -> tuple[list[str], list[str], list[Crystal]]:
    pairs = [(c, crystal) for c, part in zip(candidates, crystals, strict=True) for crystal in part]
    return [c.key for c, _ in pairs], [c.prototype for c, _ in pairs], [crystal for _, crystal in pairs]
