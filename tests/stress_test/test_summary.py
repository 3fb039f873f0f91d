"""What a family lost, against numbers written out."""

import numpy as np
import pytest
from scipy import stats

from matjax.stress_test.summary import summarise


def rows():
    return [
        {
            "shift": "leave_out(anion)",
            "domain": f"d{d}",
            "method": "ERM",
            "seed": s,
            "mae_in": 0.1 + 0.01 * s,
            "mae_out": 0.2 + 0.1 * d,
            "matched_ratio": 1.0 + 0.5 * d + 0.1 * s,
            "level": 0.9,
            "coverage_out": 0.95 - 0.06 * d,
            "coverage_out_ldo": None if d == 0 else 0.9,
            "width": 1.0,
            "width_ldo": None if d == 0 else 1.5,
            "effective_robustness": 0.8,
        }
        for d in range(4)
        for s in range(2)
    ]


def test_numbers_are_written_out():
    (found,) = summarise([*rows(), {**rows()[0], "shift": "random", "mae_out": 99.0}])
    matched = np.array([1.05, 1.55, 2.05, 2.55])
    assert found.n_domain == 4
    assert found.matched_ratio == pytest.approx(stats.gmean(matched))
    assert found.matched_low < found.matched_ratio < found.matched_high
    assert found.matched_p90 == pytest.approx(np.quantile(matched, 0.9))
    assert (found.worst_domain, found.worst_ratio) == ("d3", pytest.approx(2.55))
    assert found.mae_in == pytest.approx(0.105)
    assert found.coverage_out == pytest.approx(0.86) and found.coverage_low == pytest.approx(0.77)
    assert found.share_short == 0.5  # 0.83 and 0.77 are below 0.85
    assert (found.coverage_out_ldo, found.share_short_ldo, found.width_ratio) == pytest.approx((0.9, 0.0, 1.5))
    assert found.effective_robustness == pytest.approx(0.8)


def test_what_no_row_has_is_none():
    (found,) = summarise([{"shift": "leave_out(a)", "domain": "d", "method": "m", "mae_out": 0.3}])
    assert found.matched_ratio is None and found.coverage_out is None and found.worst_domain == "d" and found.information == "L0"
