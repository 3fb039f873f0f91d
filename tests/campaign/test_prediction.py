"""Predictions that are kept, and how they did: against scipy, by simulation, and by hand."""

import numpy as np
import pytest
from scipy import stats

from matjax.campaign.prediction import prospective, summary
from matjax.campaign.records import Record
from matjax.types import Candidate

AB = Candidate("fcc", ((("Ag", 1), ("Cu", 1)),))


def test_intervals_hold_the_next_draw_nine_times_in_ten():
    draws = np.random.default_rng(0).normal(3.0, 0.2, (6, 40_000))
    rows = summary(draws[:5])
    low, high = (np.array([row[name] for row in rows]) for name in ("low", "high"))
    covered = np.mean((low <= draws[5]) & (draws[5] <= high))
    assert abs(covered - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 40_000)


def test_intervals_are_scipys():
    samples = np.random.default_rng(1).normal(size=(7, 3))
    for row, column in zip(summary(samples), samples.T, strict=True):
        wanted = stats.t.interval(0.9, 6, column.mean(), column.std(ddof=1) * np.sqrt(1 + 1 / 7))
        assert (row["low"], row["high"]) == pytest.approx(wanted)
        assert (row["mean"], row["std"]) == pytest.approx((column.mean(), column.std(ddof=1)))


def test_one_sample_is_a_point():
    assert summary(np.array([[0.5]])) == [{"mean": 0.5, "std": 0.0, "low": 0.5, "high": 0.5}]


def record(mean: float, std: float, truth: float | None) -> Record:
    said = {"mean": mean, "std": std, "low": mean - 2 * std, "high": mean + 2 * std}
    true = None if truth is None else {"stability": truth, "utility": 0.5}
    return Record(AB, 0, 0, "why", {"stability": said, "utility": {"mean": 0.25}}, true, ())


def test_prospective_figures_by_hand():
    found = prospective([record(0.0, 0.1, 0.1), record(0.0, 0.1, -0.3), record(0.0, 0.0, 0.2), record(9.0, 1.0, None)])
    assert found["n_compared"] == 3
    assert found["mae_stability"] == pytest.approx(0.2) and found["mae_utility"] == pytest.approx(0.25)
    assert found["rms_z"] == pytest.approx(np.sqrt((1 + 9) / 2))  # what has no spread has no z
    assert found["coverage_90"] == pytest.approx(1 / 2)  # nor an interval


def test_nothing_to_compare_is_none():
    assert prospective([record(0.0, 1.0, None)]) == {
        "n_compared": 0,
        "mae_stability": None,
        "mae_utility": None,
        "rms_z": None,
        "coverage_90": None,
    }
