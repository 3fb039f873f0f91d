"""Interval, score and flag together, as a checkpoint keeps them."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from matjax.data import LeaveOut, Sizes
from matjax.types import Dataset, Prediction
from matjax.uncertainty import Trust
from matjax.uncertainty.cross_fit import cross_fit
from tests.stress_test.ridge import LABEL, RidgeEnsemble


@pytest.fixture(scope="module")
def fitted(flla: Dataset):
    split = next(LeaveOut("anion", only="fluoride", sizes=Sizes(max_train=400))(flla, jax.random.key(0)))
    learner, visible = RidgeEnsemble(members=4), split.visible()
    predictor = learner.fit(visible, jax.random.key(0))
    cross = cross_fit(learner, visible, column="anion", label=LABEL, key=jax.random.key(1))
    said = predictor(visible.calibration.crystals)
    error = said.mean - visible.calibration.labels[LABEL]
    return split, predictor, Trust().fit(predictor(visible.train.crystals), said, error, visible.train, cross)


def test_intervals_cover_inside_and_the_flag_keeps_its_share(fitted) -> None:
    split, predictor, trust = fitted
    said = predictor(split.test_inside.crystals)
    judged = trust(said, split.test_inside.crystals)
    error = np.abs(said.mean - split.test_inside.labels[LABEL])
    assert 0.83 < np.mean(error <= judged.half_width) < 0.97
    assert judged.flag.mean() < 0.12
    assert all(bool(reason) == bool(flag) for reason, flag in zip(judged.reason, judged.flag, strict=True))


def test_recalibration_matches_one_standard_deviation_inside(fitted) -> None:
    split, _, trust = fitted
    total = trust.evidence["calibration_total_std"] * trust.factor
    assert np.mean(np.abs(trust.evidence["calibration_error"]) <= total) == pytest.approx(0.6827, abs=0.01)


def test_the_evidence_gives_the_same_trust_back(fitted) -> None:
    split, predictor, trust = fitted
    said = predictor(split.test_outside.crystals)
    mine, theirs = (t(said, split.test_outside.crystals) for t in (trust, Trust().from_evidence(trust.evidence)))
    for one, two in zip(
        (mine.half_width, mine.half_width_outside, mine.score), (theirs.half_width, theirs.half_width_outside, theirs.score), strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_a_single_model_gets_constant_intervals(flla: Dataset) -> None:
    part = flla.select(np.arange(120))
    said = Prediction(np.zeros((1, 120)), features=np.random.default_rng(0).normal(size=(120, 4)))
    trust = Trust().fit(said, said, part.labels[LABEL], part)
    assert np.ptp(trust(said, part.crystals).half_width) == 0
    assert trust.factor == 1.0
