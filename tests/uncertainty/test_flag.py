"""The flag: its share of inside crystals, what it catches, and what it says."""

import numpy as np
import pytest

from matjax.types import Crystal
from matjax.uncertainty.flag import Flag


def crystal(*numbers):
    return Crystal(4.0 * np.eye(3), np.zeros((len(numbers), 3)) + np.arange(len(numbers))[:, None], np.array(numbers))


def test_share_of_inside_crystals_flagged_is_exact_over_draws():
    """floor(share (n + 1)) / (n + 1) without ties: 5 / 101 of n = 100."""
    rng = np.random.default_rng(0)
    flagged = [Flag(0.05).fit(rng.normal(size=100)).flagged(rng.normal(size=50)).mean() for _ in range(4000)]
    assert np.mean(flagged) == pytest.approx(5 / 101, abs=0.002)


def test_p_value_is_a_naive_count():
    rng = np.random.default_rng(0)
    inside, score = rng.integers(10, size=60).astype(float), rng.integers(-2, 14, size=40).astype(float)
    naive = [(1 + sum(c >= s for c in inside)) / 61 for s in score]
    np.testing.assert_allclose(Flag().fit(inside).p_value(score), naive)


def test_a_nan_score_is_flagged():
    assert Flag().fit(np.arange(100.0)).flagged(np.array([np.nan, 3.0])).tolist() == [True, False]


def test_an_unseen_element_is_flagged_whatever_the_score():
    fitted = Flag().fit(np.arange(100.0), known=np.array([3, 8, 26]))
    crystals = [crystal(3, 26), crystal(43, 8), crystal(9, 43)]
    assert fitted.flagged(np.zeros(3), crystals).tolist() == [False, True, True]
    assert fitted.reasons(np.zeros(3), crystals=crystals) == (
        "",
        "contains element Tc never seen in training",
        "contains elements F, Tc never seen in training",
    )


def test_reasons_name_the_parts_and_their_size():
    inside = np.arange(1.0, 101.0)
    limit = np.quantile(inside, 0.95)
    fitted = Flag().fit(inside, {"latent distance": inside, "ensemble spread": inside})
    score = np.array([500.0, 500.0, 10.0, 500.0])
    parts = {"latent distance": np.array([4.1 * limit, 1.0, 9 * limit, 2 * limit]), "ensemble spread": np.array([1.0, 2.0, 1.0, 3 * limit])}
    assert fitted.reasons(score, parts) == (
        "latent distance 4.1x the 95% inside quantile",
        "shift score above that of 99% of inside crystals",
        "",
        "latent distance 2.0x the 95% inside quantile; ensemble spread 3.0x the 95% inside quantile",
    )


def test_every_flagged_crystal_has_a_reason_and_no_other():
    rng = np.random.default_rng(0)
    fitted = Flag(0.1).fit(rng.normal(size=200), {"latent distance": rng.gamma(2.0, size=200)}, [8])
    score, crystals = rng.normal(size=300) + 1, [crystal(8 if rng.random() < 0.8 else 9) for _ in range(300)]
    reasons = fitted.reasons(score, {"latent distance": rng.gamma(2.0, size=300)}, crystals)
    assert [bool(r) for r in reasons] == fitted.flagged(score, crystals).tolist()


def test_errors_say_what_came():
    with pytest.raises(ValueError, match="10 calibration crystals cannot flag 0.05 of the inside; need at least 19"):
        Flag(0.05).fit(np.arange(10.0))
    with pytest.raises(ValueError, match="1 calibration scores are NaN"):
        Flag().fit(np.r_[np.arange(30.0), np.nan])
    with pytest.raises(ValueError, match="share is 5"):
        Flag(5)
