"""One row of a stress test: what the predictions of one fit say about one shift, as plain numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from matjax.stress_test import metrics
from matjax.types import Dataset, Prediction
from matjax.uncertainty.scores import gaussian_crps, gaussian_nll, miscalibration_area
from matjax.uncertainty.trust import Judgement


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """One test set with everything that was said of it.

    Attributes:
      data: The crystals.
      target: Labels [n].
      prediction: What the model said.
      judgement: Intervals, scores, flags.
      baseline: What the composition baseline said [n].
    """

    data: Dataset
    target: np.ndarray
    prediction: Prediction
    judgement: Judgement
    baseline: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """Signed errors [n]."""
        return self.prediction.mean - self.target


def metrics_row(inside: Part, outside: Part, level: float) -> dict[str, Any]:
    """The figures of a row that follow from its two test sets and the level of its intervals."""
    errors = np.concatenate([inside.error, outside.error])
    scores = np.concatenate([inside.judgement.score, outside.judgement.score])
    return {
        "n_test_inside": len(inside.data),
        "n_test": len(outside.data),
        "mae_in": metrics.mae(inside.error),
        "mae_out": metrics.mae(outside.error),
        "rmse_in": metrics.rmse(inside.error),
        "rmse_out": metrics.rmse(outside.error),
        "bias_out": metrics.bias(outside.error),
        "worst_tenth_in": metrics.worst_error(inside.error),
        "worst_tenth_out": metrics.worst_error(outside.error),
        "forces_mae_in": _forces_mae(inside),
        "forces_mae_out": _forces_mae(outside),
        **_intervals(inside, outside, level),
        **_spread(inside, outside),
        "selection_shift_low": metrics.selection_shift(outside.error, outside.prediction.mean),
        "selection_shift_high": metrics.selection_shift(outside.error, outside.prediction.mean, lowest=False),
        "auroc_domain": metrics.auroc_domain(inside.judgement.score, outside.judgement.score),
        "auroc_error": metrics.auroc_error(scores, errors, inside.error),
        "aurc": metrics.aurc(errors, scores),
        "aurc_oracle": metrics.aurc_oracle(errors),
        "aurc_random": metrics.aurc_random(errors),
        "spearman_in": metrics.spearman(inside.error, inside.judgement.score),
        "spearman_out": metrics.spearman(outside.error, outside.judgement.score),
        "flagged_in": float(inside.judgement.flag.mean()),
        "flagged_out": float(outside.judgement.flag.mean()),
        "baseline_in": metrics.mae(inside.baseline - inside.target),
        "baseline_out": metrics.mae(outside.baseline - outside.target),
    }


def _forces_mae(part: Part) -> float | None:
    """Mean absolute error of the ensemble's mean force components, eV/Å; None without forces."""
    if part.prediction.forces is None or "forces" not in part.data.labels:
        return None
    error = part.prediction.forces.mean(0) - np.concatenate(part.data.labels["forces"])
    error = error[np.isfinite(error).all(1)]
    return metrics.mae(error.ravel()) if len(error) else None


def _intervals(inside: Part, outside: Part, level: float) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, part in (("in", inside), ("out", outside)):
        judged = part.judgement
        row[f"coverage_{name}"] = metrics.coverage(part.error, judged.half_width)
        wide = judged.half_width_outside
        row[f"coverage_{name}_ldo"] = None if wide is None else metrics.coverage(part.error, wide)
    wide = outside.judgement.half_width_outside
    row["width"] = metrics.width(outside.judgement.half_width)
    row["width_ldo"] = None if wide is None else metrics.width(wide)
    row["interval_score_out"] = metrics.interval_score(outside.error, outside.judgement.half_width, level)
    row["interval_score_out_ldo"] = None if wide is None else metrics.interval_score(outside.error, wide, level)
    return row


def _spread(inside: Part, outside: Part) -> dict[str, Any]:
    """Scores of the recalibrated spread, read as that of a Gaussian; None where there is none."""
    row: dict[str, Any] = {}
    for name, part in (("in", inside), ("out", outside)):
        std, known = part.judgement.std, bool((part.judgement.std > 0).all())
        row[f"crps_{name}"] = gaussian_crps(part.error, std) if known else None
        row[f"nll_{name}"] = gaussian_nll(part.error, std) if known else None
        row[f"miscalibration_{name}"] = miscalibration_area(part.error, std) if known else None
    return row


def arrays(inside: Part, outside: Part) -> dict[str, np.ndarray]:
    """What is kept of a row's predictions: one array per quantity and part, named `inside_...` and `outside_...`."""
    kept: dict[str, np.ndarray] = {}
    for name, part in (("inside", inside), ("outside", outside)):
        judged, said = part.judgement, part.prediction
        columns = {
            "index": np.array(part.data.ids),
            "target": part.target,
            "mean": said.mean,
            "std": said.std,
            "total_std": judged.std,
            "half_width": judged.half_width,
            "half_width_ldo": np.full(len(part.data), np.nan) if judged.half_width_outside is None else judged.half_width_outside,
            "score": judged.score,
            "flag": judged.flag,
            "features": np.asarray(said.features, np.float32),
            "baseline": part.baseline,
            "elements": np.array([np.bincount(c.numbers, minlength=119)[:119] > 0 for c in part.data.crystals]),
        }
        kept |= {f"{name}_{key}": value for key, value in columns.items()}
    return kept
