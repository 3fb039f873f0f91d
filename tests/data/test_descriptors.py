"""Composition features against naive loops over atoms."""

import numpy as np
import pytest

from matjax.data.descriptors import PROPERTIES, composition_features, element_fractions
from matjax.data.elements import table
from matjax.types import Crystal


def crystal(*numbers):
    return Crystal(4.0 * np.eye(3), np.arange(3.0 * len(numbers)).reshape(-1, 3), np.array(numbers))


def test_features_are_naive_loops_over_atoms():
    numbers = (26, 8, 8, 3, 26, 26)
    features = composition_features([crystal(*numbers)])[0]
    values = np.array([[table()[name][z] for name in PROPERTIES] for z in numbers])
    np.testing.assert_allclose(
        features[: 4 * len(PROPERTIES)], np.r_[values.mean(0), values.std(0), values.min(0), values.max(0)], atol=1e-6
    )
    fractions = features[4 * len(PROPERTIES) :]
    assert fractions.shape == (118,)
    assert {z + 1: fractions[z] for z in np.flatnonzero(fractions)} == pytest.approx({26: 1 / 2, 8: 1 / 3, 3: 1 / 6})


def test_features_know_the_composition_alone():
    one = crystal(26, 8, 8)
    double = Crystal(8.0 * np.eye(3), np.random.default_rng(0).normal(size=(6, 3)), np.array([8, 26, 8, 8, 26, 8]))
    np.testing.assert_allclose(*composition_features([one, double]), atol=1e-12)
    assert element_fractions([]).shape == (0, 118)
