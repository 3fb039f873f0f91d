"""Effective robustness against points on a known line."""

import numpy as np
import pytest

from matjax.stress_test.effective_robustness import effective_robustness

INSIDE = np.array([0.1, 0.15, 0.2, 0.4])
LADDER = np.stack([INSIDE, 3.0 * INSIDE**0.7], 1)


def test_on_the_line_is_one_and_off_it_the_factor():
    assert effective_robustness(0.12, 3.0 * 0.12**0.7, LADDER)[0] == pytest.approx(1.0)
    assert effective_robustness(0.12, 1.5 * 0.12**0.7, LADDER)[0] == pytest.approx(2.0)


def test_better_everywhere_is_not_robust():
    """A model twice as good inside that is as good outside as the line says gains nothing."""
    first, second = (effective_robustness(mae, 3.0 * mae**0.7, LADDER)[0] for mae in (0.2, 0.1))
    assert first == pytest.approx(second)


def test_no_line_no_number():
    assert effective_robustness(0.01, 0.1, LADDER)[0] is None
    assert "off those of the baselines" in effective_robustness(0.01, 0.1, LADDER)[1]
    assert "no line" in effective_robustness(0.1, 0.1, np.full((5, 2), 0.1))[1]
    assert effective_robustness(0.1, 0.1, LADDER[:2])[0] is None
