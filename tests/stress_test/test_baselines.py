"""Baselines against what they reach on real crystals."""

import jax
import numpy as np
import pytest

from matjax.stress_test.baselines import (
    CompositionForest,
    CompositionRidge,
    CompositionTrees,
)
from matjax.types import Crystal

SPECS = [CompositionTrees(), CompositionForest(), CompositionRidge()]


def crystal(*numbers):
    return Crystal(4.0 * np.eye(3), np.arange(3.0 * len(numbers)).reshape(-1, 3), np.array(numbers))


@pytest.mark.parametrize("spec", SPECS)
def test_same_key_same_numbers_and_a_target_that_is_learned(spec, flla):
    order = np.random.default_rng(0).permutation(len(flla))[:400]
    crystals, target = [flla.crystals[i] for i in order], flla.labels["formation_energy_per_atom"][order]
    first, second = (spec.fit(crystals[:300], target[:300], jax.random.key(3))(crystals[300:]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (100,)
    assert np.abs(first - target[300:]).mean() < 0.5 * np.abs(target[:300].mean() - target[300:]).mean()


def test_real_crystals_are_predicted_as_well_as_published(flla):
    """Measured on these crystals before: trees 0.221, forest 0.245 eV/atom on 400 random ones after 1,000."""
    target = flla.labels["formation_energy_per_atom"]
    order = np.random.default_rng(0).permutation(len(flla))
    test, train = order[:400], order[400:1400]
    for spec, most in zip(SPECS, (0.23, 0.26, 0.32), strict=True):
        predict = spec.fit([flla.crystals[i] for i in train], target[train], jax.random.key(0))
        error = predict([flla.crystals[i] for i in test]) - target[test]
        assert 0.15 < np.abs(error).mean() < most


def test_errors_say_what_came():
    with pytest.raises(ValueError, match=r"shape \(2,\) for 3 crystals"):
        CompositionRidge().fit([crystal(1)] * 3, np.zeros(2), jax.random.key(0))
    with pytest.raises(ValueError, match="target of crystal 1 is not finite"):
        CompositionRidge().fit([crystal(1)] * 3, np.array([0.0, np.nan, 1.0]), jax.random.key(0))
