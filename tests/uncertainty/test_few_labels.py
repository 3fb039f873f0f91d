"""Corrections from a few labels: what they recover, what they cost where nothing is wrong, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from matjax.types import Crystal, Dataset, Metadata, Prediction
from matjax.uncertainty.few_labels import FORMS, FewLabels

ELEMENTS = (3, 8, 13, 22, 26, 29)


def _crystals(n: int, seed: int = 0) -> tuple[Crystal, ...]:
    draw = np.random.default_rng(seed)
    return tuple(Crystal(np.eye(3) * 4, draw.random((4, 3)), draw.choice(ELEMENTS, 4)) for _ in range(n))


def _size(crystals) -> np.ndarray:
    """A property: mean over sites of a number of their own."""
    return np.array([c.positions.sum() / 3 for c in crystals])


def _predictor(crystals, derivatives=()) -> Prediction:
    """Three samples around the property, with forces that all are one."""
    mean = _size(crystals)
    forces = np.ones((3, 4 * len(crystals), 3)) if "forces" in derivatives else None
    return Prediction(mean + np.array([[-0.1], [0.0], [0.1]]), forces=forces)


def _labelled(crystals, value) -> Dataset:
    ids = tuple(map(str, range(len(crystals))))
    return Dataset(crystals, ids, {"gap": np.asarray(value, float)}, metadata=Metadata(units={"gap": "eV/atom"}))


def _amounts(crystals) -> np.ndarray:
    return np.array([(c.numbers == 8).mean() - 0.5 * (c.numbers == 26).mean() for c in crystals])


@pytest.mark.parametrize(
    ("form", "change"),
    [
        ("offset", lambda c: _size(c) + 0.7),
        ("scale", lambda c: 1.4 * _size(c) - 0.3),
        ("composition", lambda c: 1.4 * _size(c) + _amounts(c)),
    ],
)
def test_a_form_recovers_its_own_law(form, change):
    few, tests = _crystals(60), _crystals(50, seed=1)
    noise = np.random.default_rng(2).normal(size=60) * 0.01
    corrected = FewLabels(form).fit(_predictor, _labelled(few, change(few) + noise))
    error = corrected(tests).mean - change(tests)
    assert np.abs(error).mean() < 0.02
    simpler = FORMS[max(FORMS.index(form) - 1, 0)]
    if simpler != form:
        assert np.abs(FewLabels(simpler).fit(_predictor, _labelled(few, change(few)))(tests).mean - change(tests)).mean() > 0.1


def test_samples_keep_their_order_and_forces_scale():
    few = _crystals(40)
    corrected = FewLabels("scale").fit(_predictor, _labelled(few, 2 * _size(few) + 1))
    said, was = corrected(few, derivatives=("forces",)), _predictor(few)
    assert corrected.factor == pytest.approx(2, abs=0.02)
    np.testing.assert_allclose(said.samples - said.mean, corrected.factor * (was.samples - was.mean), atol=1e-12)
    assert said.forces is not None
    np.testing.assert_allclose(said.forces, corrected.factor)
    assert (said.total_std >= said.std - 1e-12).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_it_costs_little_where_nothing_is_wrong(form, k):
    """Unbiased errors of 0.2: the root mean square error rises by a tenth at most, that of a plain mean by sqrt(1 + 1/k)."""
    tests = _crystals(30, seed=1)
    square = []
    for seed in range(40):
        few = _crystals(k, seed=10 + seed)
        label = _size(few) + 0.2 * np.random.default_rng(seed).normal(size=k)
        found = FewLabels(form, expected=0.2).fit(_predictor, _labelled(few, label))(tests).mean
        square.append(np.mean((found - _size(tests)) ** 2))
    assert np.sqrt(1 + np.mean(square) / 0.2**2) < 1.1


def test_ten_labels_remove_an_offset_of_several_times_the_noise():
    tests, ratio = _crystals(30, seed=1), []
    for seed in range(20):
        few = _crystals(10, seed=10 + seed)
        label = _size(few) + 0.6 + 0.2 * np.random.default_rng(seed).normal(size=10)
        found = FewLabels("composition").fit(_predictor, _labelled(few, label))(tests).mean
        ratio.append(np.abs(found - _size(tests) - 0.6).mean() / 0.6)
    assert np.mean(ratio) < 0.25


def test_a_single_label_is_compared_with_the_expected_error():
    few = _crystals(1)
    moved = lambda expected: FewLabels("offset", expected=expected).fit(_predictor, _labelled(few, _size(few) + 1)).offset
    assert moved(0.05) > 0.7
    assert moved(1.0) < 0.5
    assert moved(20.0) < moved(1.0)


def test_intervals_cover_crystals_like_the_labelled_ones():
    """Expected coverage of the split conformal rank; leave-one-out errors are nearly exchangeable with new ones."""
    tests, covered = _crystals(200, seed=1), []
    truth = lambda c, draw: _size(c) + 0.5 + 0.2 * draw.standard_t(4, size=len(c))
    for seed in range(40):
        draw, few = np.random.default_rng(seed), _crystals(20, seed=10 + seed)
        corrected = FewLabels("scale").fit(_predictor, _labelled(few, truth(few, draw)))
        found = corrected(tests)
        half_width = corrected.interval(0.9).half_width(found.total_std)
        covered.append(np.mean(np.abs(found.mean - truth(tests, draw)) <= half_width))
    assert 0.87 < np.mean(covered) < 0.95


def test_too_few_labels_for_an_interval_are_refused():
    few = _crystals(5)
    corrected = FewLabels().fit(_predictor, _labelled(few, _size(few) + 1))
    with pytest.raises(ValueError, match="need at least 9"):
        corrected.interval(0.9)


def test_crystals_without_a_label_are_left_out():
    few = _crystals(6)
    value = np.where(np.arange(6) < 4, _size(few) + 1, np.nan)
    corrected = FewLabels().fit(_predictor, _labelled(few, value))
    assert len(corrected.errors) == 4
    assert corrected.offset == FewLabels().fit(_predictor, _labelled(few[:4], value[:4])).offset


def test_bad_input_is_refused():
    few = _crystals(3)
    with pytest.raises(ValueError, match="absent"):
        FewLabels().fit(_predictor, _labelled(few, np.full(3, np.nan)))
    with pytest.raises(ValueError, match="allowed: offset"):
        FewLabels("affine")
    with pytest.raises(ValueError, match="expected is -1"):
        FewLabels(expected=-1.0)
    in_kj = Dataset(few, ("a", "b", "c"), {"gap": np.zeros(3)}, metadata=Metadata(units={"gap": "kJ/mol"}))
    with pytest.raises(ValueError, match="convert the labels"):
        FewLabels().fit(_predictor, in_kj)
    nan = lambda crystals: Prediction(np.full((1, len(crystals)), np.nan))
    with pytest.raises(ValueError, match="labelled crystal 0 is not finite"):
        FewLabels().fit(nan, _labelled(few, np.zeros(3)))
