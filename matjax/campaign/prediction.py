"""What was predicted of a pick before it was measured, and how the predictions of a round did afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from matjax.campaign.problem import Surrogate
from matjax.campaign.records import Record
from matjax.types import Candidate

LEVEL = 0.9
"""Of the intervals that are kept with a prediction."""


def summary(samples: np.ndarray) -> list[dict[str, float]]:
    """Mean, spread and 90% interval of each column of samples [n_sample, n].

    The interval is Student's, mean ± t sqrt(1 + 1 / n_sample) std: where a further draw like the samples would fall.
    One sample has no spread, and its interval is a point.
    """
    n_sample = len(samples)
    mean = samples.mean(0)
    std = samples.std(0, ddof=1) if n_sample > 1 else np.zeros_like(mean)
    half = std * np.sqrt(1 + 1 / n_sample) * (stdtrit(n_sample - 1, (1 + LEVEL) / 2) if n_sample > 1 else 0.0)
    columns = zip(mean, std, mean - half, mean + half, strict=True)
    return [{"mean": float(m), "std": float(s), "low": float(a), "high": float(b)} for m, s, a, b in columns]


def predicted(surrogate: Surrogate, candidates: Sequence[Candidate], log_utility: np.ndarray) -> list[dict[str, Any]]:
    """What is kept of the predictions of picks, as plain values.

    Args:
      surrogate: The model of the round.
      candidates: The picks.
      log_utility: Its samples for them [n_sample, n].

    Returns:
      Per pick, {property: {mean, std, low, high}} for every property and the utility; reward; novelty or None; notes.
    """
    properties = surrogate.properties(candidates)
    columns = {name: summary(samples) for name, samples in properties.samples.items()}
    utility = [
        {part: min(max(v, 0.0), 1.0) if part in ("low", "high") else v for part, v in one.items()} for one in summary(np.exp(log_utility))
    ]
    columns |= {"utility": utility, "log_utility": summary(log_utility)}
    reward = np.asarray(surrogate.reward(candidates), float)
    return [
        {name: column[i] for name, column in columns.items()}
        | {
            "reward": float(reward[i]),
            "novelty": None if properties.novelty is None else float(properties.novelty[i]),
            "notes": dict(properties.notes[i]) if properties.notes else {},
        }
        for i in range(len(candidates))
    ]


def prospective(records: Iterable[Record]) -> dict[str, float | int | None]:
    """How the predictions of a round did on what was measured after they were made.

    Returns:
      n_compared; mae_stability (eV/atom); mae_utility; rms_z, the root mean square error of stability in predicted
      spreads; coverage_90, the share of stabilities inside their interval. None where there is nothing to compare.
    """
    pairs = [(r.predicted, r.truth) for r in records if r.truth and r.predicted]
    stability = [(p["stability"], t["stability"]) for p, t in pairs if "stability" in p and t.get("stability") is not None]
    spread = [(p["mean"] - t) / p["std"] for p, t in stability if p["std"] > 0]
    mean = lambda values: float(np.mean(values)) if len(values) else None
    return {
        "n_compared": len(pairs),
        "mae_stability": mean([abs(p["mean"] - t) for p, t in stability]),
        "mae_utility": mean([abs(p["utility"]["mean"] - t["utility"]) for p, t in pairs if t.get("utility") is not None]),
        "rms_z": float(np.sqrt(np.mean(np.square(spread)))) if spread else None,
        "coverage_90": mean([p["low"] <= t <= p["high"] for p, t in stability if p["std"] > 0]),
    }
