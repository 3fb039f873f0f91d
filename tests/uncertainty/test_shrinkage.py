"""Averaged shrinkage against brute force, closed forms and limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_t

from matjax.uncertainty.shrinkage import WIDTHS, shrunken

BOTH = np.array([0, 1])


def _points(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    design = np.c_[np.ones(n), draw.normal(size=n)]
    return design, 0.3 + 0.1 * design[:, 1] + 0.2 * draw.normal(size=n)


def test_left_out_errors_are_those_of_refits():
    design, value = _points(7)
    found = shrunken(design, value, BOTH, expected=0.2).left_out
    for i in range(7):
        others = np.arange(7) != i
        refit = shrunken(design[others], value[others], BOTH, expected=0.2)
        assert found[i] == pytest.approx(value[i] - design[i] @ refit.coefficient, abs=1e-12)


def test_weights_are_the_evidence_of_a_multivariate_t():
    """Integrating coefficients and noise out leaves t with prior_count degrees and shape expected² (1 + X W X')."""
    design, value = _points(5)
    found = shrunken(design, value, BOTH, expected=0.2, prior_count=2.0)
    log = {}
    for width in found.weight:
        shape = 0.2**2 * (np.eye(5) + (design * np.square(width)) @ design.T)
        log[width] = multivariate_t(np.zeros(5), shape, df=2.0).logpdf(value)
    highest = max(log.values())
    total = sum(np.exp(v - highest) for v in log.values())
    for width, weight in found.weight.items():
        assert weight == pytest.approx(np.exp(log[width] - highest) / total, rel=1e-9)


def test_one_value_moves_by_the_average_of_w2_over_1_plus_w2():
    widths = np.array(WIDTHS)
    evidence = (1 + widths**2) ** -0.5 / (1 + 1 / (1 + widths**2))  # prior_count 1, value = expected = 1
    expected = (evidence / evidence.sum()) @ (widths**2 / (1 + widths**2))
    found = shrunken(np.ones((1, 1)), np.ones(1), np.array([0]), expected=1.0)
    assert found.coefficient[0] == pytest.approx(expected)
    assert found.left_out[0] == pytest.approx(1.0)  # without it nothing is known


def test_many_values_give_least_squares():
    design, value = _points(4000)
    found = shrunken(design, value, BOTH, expected=0.2)
    np.testing.assert_allclose(found.coefficient, np.linalg.lstsq(design, value, rcond=None)[0], atol=2e-3)
    assert found.noise == pytest.approx(0.2, rel=0.05)


def test_a_column_that_does_not_matter_is_left_out():
    design, value = _points(300)
    noise = np.random.default_rng(1).normal(size=(300, 40))
    found = shrunken(np.c_[design, noise], value, np.minimum(np.arange(42), 2), expected=0.2)
    assert sum(p for width, p in found.weight.items() if width[2] <= WIDTHS[1]) > 0.99
    assert np.abs(found.coefficient[2:]).max() < 0.02


def test_predicted_spread_is_noise_and_doubt():
    design, value = _points(12)
    found = shrunken(design, value, BOTH, expected=0.2)
    mean, std = found.predict(np.array([[1.0, 0.0], [1.0, 30.0]]))
    assert mean[0] == found.coefficient[0]
    assert std[0] > found.noise and std[1] > 3 * std[0]
