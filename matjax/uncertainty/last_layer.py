"""Uncertainty for a potential that is trained already: a Bayesian posterior over its last layer alone.

A network whose energy is linear in its last features is Bayesian linear regression around its own weights. The posterior
is in closed form, needs a forward pass over labelled crystals and no training, and its samples are an ensemble that shares
everything but the last layer.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import BayesianRidge

from matjax.config import spec
from matjax.data.elements import N_ELEMENT
from matjax.keys import generator
from matjax.nn.sharing import count
from matjax.thermo import References
from matjax.training import GraphPredictor
from matjax.training.supervision import default_label, target_per_atom
from matjax.types import Crystal, Dataset

SHARES = 1e-6
"""Directions of the features with less than this share of the largest variance are left as they were."""


@spec
class LastLayer:
    """Posterior over the last layer of a network with a linear readout, given labelled crystals.

    Strength of the prior (the network as it came) and the noise are found by maximising the evidence. The spread is then
    scaled so that errors on the labelled crystals are one standard deviation: what is left of the error is the network's own,
    not noise that would average out.

    Attributes:
      n_sample: Members of the ensemble that is drawn, in pairs: an even number.
      update: Move the mean to the posterior's; without it the potential keeps its answer (but for the offsets) and gains a spread.
      references: First fit an offset per element, for labels with other reference energies (formation energies, another
        functional).
      strength: Ridge of those offsets, per crystal.

    Source:
      MacKay (1992), Neural Comput. 4, 415 (evidence); Bigi, Chong, Ceriotti & Grasselli (2024), Mach. Learn.: Sci. Technol. 5,
      045018 (last-layer prediction rigidity of potentials).
    """

    n_sample: int = 8
    update: bool = False
    references: bool = True
    strength: float = 1e-8

    def __post_init__(self) -> None:
        """Checks the number of samples."""
        if isinstance(self.n_sample, int) and (self.n_sample < 2 or self.n_sample % 2):
            raise ValueError(f"n_sample is {self.n_sample}; samples come in pairs, so it must be even and at least 2")

    def fit(self, predictor: GraphPredictor, dataset: Dataset, key: jax.Array, *, label: str = "") -> GraphPredictor:
        """An ensemble around a predictor of one member.

        Args:
          predictor: One member, with `readout="linear"`; forces of its samples are derivatives of their energies.
          dataset: Labelled crystals of the domain where it will be used.
          key: Draws the samples.
          label: Energy label; empty to choose from the data.

        Raises:
          ValueError: If the network's energy is not linear in its features, the predictor is an ensemble, or too few labels
            are finite.
        """
        _check(predictor)
        target = target_per_atom(dataset, label or default_label(dataset))
        rows = np.flatnonzero(np.isfinite(target))
        if len(rows) < 10:
            raise ValueError(f"{len(rows)} labelled crystals; a posterior over the last layer needs at least 10")
        crystals = [dataset.crystals[i] for i in rows]
        said = predictor(crystals)
        residual = target[rows] - said.mean
        offsets = _offsets(crystals, residual, self.strength) if self.references else np.zeros_like(predictor.references.energies)
        residual = residual - References(offsets).per_atom(crystals)
        scale = float(predictor.constants["scale"])
        shifts = _posterior(np.asarray(said.features, np.float64) * scale, residual, self.n_sample, self.update, generator(key))
        return _ensemble(predictor, shifts, offsets)


def _posterior(features: np.ndarray, residual: np.ndarray, n_sample: int, update: bool, random: np.random.Generator) -> np.ndarray:
    """Samples of what is added to the kernel [n_sample, n_feature], antithetic, so that their mean is the mean asked for."""
    values, rows = np.linalg.eigh(features.T @ features / len(features))
    kept = values > SHARES * values[-1]
    whiten = rows[:, kept] / np.sqrt(values[kept])
    x = features @ whiten
    found = BayesianRidge(fit_intercept=False, max_iter=1000).fit(x, residual)
    variance = np.einsum("ni,ij,nj->n", x, found.sigma_, x)
    if update:  # errors as they would be on a crystal left out
        residual = (residual - x @ found.coef_) / np.maximum(1 - found.alpha_ * variance, 0.05)
    spread = np.sqrt(np.mean(residual**2 / variance))
    root = spread * np.linalg.cholesky(found.sigma_ + 1e-12 * np.trace(found.sigma_) / len(found.sigma_) * np.eye(len(found.sigma_)))
    half = random.normal(size=(n_sample // 2, kept.sum())) * np.sqrt((n_sample - 1) / n_sample)  # pairs have no mean of their own
    draws = np.concatenate([half, -half]) @ root.T
    return (update * found.coef_[None] + draws) @ whiten.T


def _offsets(crystals: list[Crystal], residual: np.ndarray, strength: float) -> np.ndarray:
    """What is added to the references of each element: a ridge on composition, zero for elements that do not occur."""
    n = 1 + max(int(c.numbers.max()) for c in crystals)
    share = np.stack([np.bincount(c.numbers, minlength=n) / len(c) for c in crystals])
    found = np.linalg.solve(share.T @ share + strength * np.eye(n), share.T @ residual)
    return np.concatenate([found, np.zeros(N_ELEMENT + 1 - n)])


def _ensemble(predictor: GraphPredictor, shifts: np.ndarray, offsets: np.ndarray) -> GraphPredictor:
    """The predictor with one kernel per sample; every other leaf keeps a member axis of one, which all members share."""
    params: Any = dict(predictor.params)
    kernel = np.asarray(params["energy"]["kernel"])  # [1, n_feature, 1]
    params["energy"] = {**params["energy"], "kernel": jnp.asarray(kernel + shifts[:, :, None], jnp.float32)}
    return dataclasses.replace(predictor, params=params, references=References(predictor.references.energies + offsets))


def _check(predictor: GraphPredictor) -> None:
    if getattr(predictor.model, "readout", "") != "linear":
        raise ValueError("the energy of this network is not linear in its features; a posterior over the last layer needs readout='linear'")
    if (members := count(predictor.params)) != 1:
        raise ValueError(f"the predictor has {members} members; a posterior over the last layer starts from one")
