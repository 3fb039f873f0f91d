"""Shift scores of several kinds on the same crystals, and how well each finds large errors: the test of an off-distribution flag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from matjax.data.descriptors import element_fractions, property_statistics
from matjax.graph.descriptors import structure_descriptors
from matjax.stress_test.metrics import aurc, aurc_oracle, aurc_random, auroc_domain, auroc_error, mae, spearman
from matjax.types import Crystal
from matjax.uncertainty import Combination, Mahalanobis, NearestNeighbours

OURS = "latent and spread"
"""The score of the library's flag: latent distance and spread, each in units of its inside range."""


class Side(NamedTuple):
    """What scores may look at: latent features [n, n_feature], spread [n], element fractions [n, 118], fixed descriptors [n, n_fixed]."""

    features: np.ndarray
    spread: np.ndarray
    fractions: np.ndarray
    fixed: np.ndarray


def side(crystals: Sequence[Crystal], features: np.ndarray, spread: np.ndarray) -> Side:
    """Everything about some crystals."""
    fractions = element_fractions(crystals)
    structure = np.stack([structure_descriptors(c) for c in crystals])
    return Side(np.asarray(features, np.float64), spread, fractions, np.concatenate([property_statistics(fractions), structure], 1))


def shift_scores(train: Side, calibration: Side, test: Side) -> dict[str, np.ndarray]:
    """{score: [n_test]}, higher where further; fitted on training and calibration crystals alone."""
    neighbours = NearestNeighbours().fit(train.features)
    inside = neighbours.score(calibration.features)
    distance = neighbours.score(test.features)
    return {
        OURS: Combination().fit(inside, calibration.spread).score(distance, test.spread),
        "latent neighbours": distance,
        "Mahalanobis": Mahalanobis().fit(train.features).score(test.features),
        "spread": test.spread,
        "composition": cdist(test.fractions, train.fractions, "cityblock").min(1) / 2,
        "fixed descriptors": NearestNeighbours().fit(train.fixed).score(test.fixed),
    }


def flag_rows(
    family: str, domain: str, inside: dict[str, np.ndarray], outside: dict[str, np.ndarray], error_in: np.ndarray, error_out: np.ndarray
) -> list[dict[str, Any]]:
    """One row per score: does it find the crystals whose |error| is above the inside 90 % quantile, inside and outside together?"""
    error = np.concatenate([error_in, error_out])
    above = float(np.mean(np.abs(error_out) > np.quantile(np.abs(error_in), 0.9)))
    common = {"family": family, "domain": domain, "n_inside": len(error_in), "n_outside": len(error_out), "share_above": above}
    common |= {"mae_in": mae(error_in), "mae_out": mae(error_out), "aurc_oracle": aurc_oracle(error), "aurc_random": aurc_random(error)}
    rows = []
    for name in inside:
        score = np.concatenate([inside[name], outside[name]])
        found = {"auroc_error": auroc_error(score, error, error_in), "auroc_domain": auroc_domain(inside[name], outside[name])}
        rows.append({**common, "score": name, **found, "aurc": aurc(error, score), "spearman_out": spearman(error_out, outside[name])})
    return rows


def mean_by_score(rows: list[dict[str, Any]], column: str = "auroc_error") -> list[dict[str, Any]]:
    """Per family and score the mean of a column over the domains where it is defined."""
    lines = []
    for family in dict.fromkeys(r["family"] for r in rows):
        for score in dict.fromkeys(r["score"] for r in rows):
            found = [r[column] for r in rows if r["family"] == family and r["score"] == score and r[column] is not None]
            if found:
                lines.append({"family": family, "score": score, column: float(np.mean(found)), "n_domain": len(found)})
    return lines
