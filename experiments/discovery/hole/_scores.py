"""Scores of a pool by ensemble, and what a search that maximises each of them ends with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from matjax.uncertainty import Mahalanobis
from matjax.value import Entropic, LowerBound, Mean, Pessimism, inflate, novelty_limit
from matjax.value.audit import best_of_n

SIZES = (1, 16, 256, 4000)
FORBIDDEN = -1e3
"""Score of what a density gate keeps out."""


class Density(NamedTuple):
    """Novelty in the latent space, fitted on one half of what was trained on, its limit taken from the other."""

    score: Any
    limit: tuple[float, float]


def density(features: np.ndarray) -> Density:
    """From the features of the training alloys [n, n_feature]."""
    score = Mahalanobis().fit(features[::2])
    return Density(score, novelty_limit(score.score(features[1::2])))


def scores(
    pessimism: Pessimism, samples: np.ndarray, factor: float, novelty: np.ndarray, limit: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Every score [n] of a pool.

    Args:
      pessimism: The reward that is put to the test.
      samples: Utility by every member [n_member, n].
      factor: That the spread is widened by, for the pessimistic reward and "calibrated".
      novelty: In the latent space [n].
      limit: Of the novelty.
    """
    widened, bound = inflate(samples, factor), lambda kappa: LowerBound(kappa).certainty_equivalent(samples)
    inside = novelty < limit[0]
    return {
        "single": samples[0],
        "mean": Mean().certainty_equivalent(samples),
        "ucb 1": samples.mean(0) + samples.std(0, ddof=1),
        "lcb 1": bound(1.0),
        "lcb 2": bound(2.0),
        "lcb 4": bound(4.0),
        "min": samples.min(0),
        "entropic": Entropic(1.0).certainty_equivalent(samples),
        "entropic calibrated": pessimism.certainty.certainty_equivalent(widened),
        "mean gated": np.where(inside, samples.mean(0), FORBIDDEN),
        "lcb 2 gated": np.where(inside, bound(2.0), FORBIDDEN),
        "pessimistic": np.asarray(pessimism.reward(widened, novelty, limit)),
    }


def outcome(score: np.ndarray, truth: np.ndarray, stable: np.ndarray, n_top: int) -> dict[str, Any]:
    """What the top of a score is, and the truth of the best of n by it.

    Args:
      score: Of the pool [n].
      truth: Utility [n].
      stable: Whether truly stable [n].
      n_top: How many are recommended.
    """
    top = np.argsort(-score, kind="stable")[:n_top]
    sizes = [min(n, len(score)) for n in SIZES]
    return {
        "stable": float(stable[top].mean()),
        "truth": float(truth[top].mean()),
        "proxy": float(score[top].mean()),
        "best_of_n": dict(zip(map(str, SIZES), best_of_n(score, truth, sizes).truth.tolist(), strict=True)),
    }


def hits(score: np.ndarray, truth: np.ndarray, share: float, n_top: int) -> int:
    """How many of the top are among the best share by truth."""
    best = np.argsort(-truth, kind="stable")[: max(round(share * len(truth)), 1)]
    return int(np.isin(np.argsort(-score, kind="stable")[:n_top], best).sum())
