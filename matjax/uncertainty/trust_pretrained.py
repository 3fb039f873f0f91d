"""Interval, shift score and flag for a model that is trained already, from labelled crystals and no fit."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from matjax.data.memberships import memberships
from matjax.keys import generator
from matjax.training.supervision import default_label, target_per_atom
from matjax.types import Dataset, Prediction
from matjax.uncertainty.cross_fit import FEWEST, LARGEST, CrossFit, TooFewDomains
from matjax.uncertainty.novelty import Novelty
from matjax.uncertainty.trust import FittedTrust, Trust


def trust_pretrained(
    predictor: Any, labelled: Dataset, *, column: str = "", label: str = "", settings: Trust | None = None, key: jax.Array
) -> FittedTrust:
    """Learns how far a model can be trusted where these labelled crystals are; the model itself is not touched.

    Half of the crystals say where latent space is known, the other half give the errors that interval, score and flag are
    calibrated on. With a domain column there is a leave-domain-out interval too, at no price: no crystal was fitted, so that the
    errors on a domain are errors of a model to which its labels were new; its distance is that from the first half without the domain.
    What the model saw elsewhere, in its own training, is not known here: a domain can be new among these crystals and old to the model.

    Errors must be those of the model, not of another reference energy: fit offsets first (`LastLayer`, `FewLabels`), on other crystals.

    Args:
      predictor: Crystals in, `Prediction` with features out, such as `matjax.potential(name)` or a `LastLayer` ensemble around it.
      labelled: Crystals that it was not fitted on; those without the label are left out.
      column: Domain column, `elements` or `periodic_groups`; empty for no leave-domain-out interval.
      label: Label; empty for the one that a learner would take.
      settings: Level, latent distance, share of flags; `Trust()` where left out.
      key: Halves the crystals.

    Raises:
      ValueError: If too few crystals have the label for the level or the share of flags.
      TooFewDomains: If fewer than two domains of the column are large enough.
    """
    settings = settings or Trust()
    target = target_per_atom(labelled, label or default_label(labelled))
    order = generator(key).permutation(np.flatnonzero(np.isfinite(target)))
    if len(order) < 4:
        raise ValueError(f"{len(order)} of {len(labelled)} crystals have the label; a shift score and an interval need tens at least")
    reference, calibration = (labelled.select(rows) for rows in np.array_split(order, 2))
    said = predictor(reference.crystals), predictor(calibration.crystals)
    error = np.concatenate([p.mean for p in said]) - target[order]
    cross = _cross(labelled.select(order), column, error, said, settings.novelty) if column else None
    taught = getattr(getattr(predictor, "supervision", None), "elements", ())
    return settings.fit(said[0], said[1], error[len(reference) :], reference, cross, known=taught or None)


def _cross(data: Dataset, column: str, error: np.ndarray, said: tuple[Prediction, ...], novelty: Novelty) -> CrossFit:
    """Errors on every domain, with the latent distance from the reference crystals (the first rows) outside it."""
    if any(p.features is None for p in said):
        raise ValueError("the model gives no features; a latent distance needs them")
    features, n_reference = np.concatenate([np.asarray(p.features) for p in said]), len(said[0])
    groups = {name: inside for name, inside in memberships(data, column).items() if FEWEST <= inside.sum() <= LARGEST * len(data)}
    if len(groups) < 2:
        raise TooFewDomains(f"{len(groups)} domains of {column!r} have at least {FEWEST} crystals; leaving domains out needs two or more")
    distance = {name: novelty.fit(features[:n_reference][~inside[:n_reference]]).score(features[inside]) for name, inside in groups.items()}
    names = [np.full(int(inside.sum()), name) for name, inside in groups.items()]
    return CrossFit(np.concatenate([error[i] for i in groups.values()]), np.concatenate(names), np.concatenate(list(distance.values())))
