"""The learner on fixed features: the contract of a learner, features by name and by function, members that leave crystals out."""

import dataclasses

import jax
import numpy as np
import pytest

from matjax.data.split import Sizes, cut
from matjax.training.head_learner import HeadLearner, HeadPredictor, features_of
from matjax.training.head_network import HeadNetwork, Pace
from matjax.training.loss import Loss
from matjax.types import Crystal, Dataset, Split
from matjax.uncertainty.cross_fit import cross_fit

LABEL = "formation_energy_per_atom"
LEARNER = HeadLearner(
    "composition", HeadNetwork((8,), variance=True), Loss(shape="nll"), pace=Pace(4, 25, 32), domain="anion", label=LABEL, members=2
)


@pytest.fixture(scope="module")
def split(flla: Dataset) -> Split:
    first = flla.select(range(0, 2000, 5))
    rows = np.random.default_rng(0).permutation(len(first))
    sizes = Sizes(max_train=200, validation=50, calibration=50, test_inside=40, target=20)
    return cut(first, rows[60:], rows[:60], shift="random", domain="random", sizes=sizes, key=jax.random.key(0))


@pytest.fixture(scope="module")
def predictor(split: Split) -> HeadPredictor:
    return LEARNER.fit(split.visible(), jax.random.key(0))


def test_it_learns_and_speaks_as_a_predictor_does(predictor: HeadPredictor, split: Split) -> None:
    said, test = predictor(split.test_inside.crystals), split.test_inside
    spread = np.std(split.train.labels[LABEL])
    assert said.samples.shape == (2, len(test)) and said.label == LABEL and said.unit == "eV/atom"
    assert said.noise is not None and said.features is not None
    assert np.all(said.noise > 0) and np.all(said.noise < 3 * spread) and said.features.shape == (len(test), 8)
    assert np.abs(said.mean - test.labels[LABEL]).mean() < 0.5 * np.abs(test.labels[LABEL] - np.mean(split.train.labels[LABEL])).mean()
    second = predictor.member(1)(test.crystals)
    np.testing.assert_allclose(second.samples, said.samples[1:], rtol=1e-4, atol=1e-4)
    one = predictor(test.crystals[3:4])
    np.testing.assert_allclose(one.samples, said.samples[:, 3:4], rtol=1e-4, atol=1e-4)


def test_the_same_key_gives_the_same_numbers_and_members_differ(predictor: HeadPredictor, split: Split) -> None:
    said = predictor(split.test_inside.crystals)
    again = LEARNER.fit(split.visible(), jax.random.key(0))(split.test_inside.crystals)
    np.testing.assert_array_equal(said.samples, again.samples)
    assert said.std.min() > 0


def test_a_member_knows_nothing_of_crystals_that_are_held_from_it(split: Split) -> None:
    visible, held = split.visible(), np.zeros(200, int)
    held[:80] = 0b10
    labels = np.array(visible.train.labels[LABEL])
    labels[:80] = 1e3
    lied = dataclasses.replace(visible, train=dataclasses.replace(visible.train, labels={LABEL: labels}))
    fits = [LEARNER.fit(v, jax.random.key(0), held_from=held)(split.test_inside.crystals).samples for v in (visible, lied)]
    np.testing.assert_array_equal(fits[0][1], fits[1][1])
    assert np.abs(fits[0][0] - fits[1][0]).mean() > 10


def test_leave_domain_out_calibration_works_with_it(split: Split) -> None:
    found = cross_fit(LEARNER, split.visible(), column="anion", label=LABEL, key=jax.random.key(1))
    assert len(np.unique(found.domain)) >= 2 and np.isfinite(found.error).all() and np.isfinite(found.distance).all()


def test_features_by_name_and_by_function(split: Split) -> None:
    crystals = split.test_inside.crystals
    composition, both = (features_of(name, crystals) for name in ("composition", "composition+structure"))
    np.testing.assert_array_equal(both[:, : composition.shape[1]], composition)
    assert features_of("elements", crystals).shape == (40, 118)
    np.testing.assert_array_equal(features_of(volumes, crystals)[:, 0], np.float32([c.volume for c in crystals]))
    with pytest.raises(ValueError, match=r"unknown features 'compositon'.*composition, elements, structure"):
        features_of("compositon+structure", crystals)
    with pytest.raises(ValueError, match="crystal 0 has features that are not finite"):
        features_of(lambda some: np.full((len(some), 1), np.nan), crystals)
    with pytest.raises(ValueError, match="40 rows of numbers are needed"):
        features_of(lambda some: np.zeros(len(some)), crystals)


def test_what_cannot_be_learned_is_refused(split: Split) -> None:
    visible = split.visible()
    with pytest.raises(ValueError, match="member 1 has nothing to learn from"):
        LEARNER.fit(visible, jax.random.key(0), held_from=np.full(200, 0b10))
    with pytest.raises(ValueError, match="no target crystals"):
        dataclasses.replace(LEARNER, use_target=True).fit(dataclasses.replace(visible, target=visible.target.select([])), jax.random.key(0))


def volumes(crystals: tuple[Crystal, ...]) -> np.ndarray:
    """Volume of every crystal [n, 1]."""
    return np.array([[c.volume] for c in crystals])
