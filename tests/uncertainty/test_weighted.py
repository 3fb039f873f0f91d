"""Weighted conformal against brute force and a known covariate shift; where it must abstain, and where it must refuse."""

import jax
import numpy as np
import pytest
from scipy import stats

from matjax.risk import Refusal, classifier_ratio, kernel_mean_matching, kliep, relative_ratio
from matjax.uncertainty import SplitConformal, WeightedConformal


def brute_force(score, weight, own, level):
    """The smallest t for which the probability of scores up to t, the crystal's own mass at infinity included, reaches the level."""
    for t in sorted(score):
        mass = sum(w for s, w in zip(score, weight, strict=True) if s <= t)
        if mass / (sum(weight) + own) >= level - 1e-9:
            return t
    return np.inf


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_half_widths_are_the_brute_force_quantile(level):
    rng = np.random.default_rng(0)
    error, weight, scale = rng.normal(size=57), rng.gamma(2.0, size=57), rng.gamma(5.0, size=57)
    own, new_scale = rng.gamma(0.5, 20.0, size=40), rng.gamma(5.0, size=40)
    interval = WeightedConformal(level=level, floor=0.0).fit(error, weight, scale)
    expected = [brute_force(np.abs(error) / scale, weight, w, level) * s for w, s in zip(own, new_scale, strict=True)]
    np.testing.assert_allclose(interval.half_width(own, new_scale), expected)
    assert np.isinf(expected).any() == (level > 0.5) and np.isfinite(expected).any()


@pytest.mark.parametrize("n", [9, 20, 57])
def test_equal_weights_are_split_conformal(n):
    rng = np.random.default_rng(n)
    error, scale = rng.normal(size=n), rng.gamma(5.0, size=n)
    split = SplitConformal(level=0.9).fit(error, scale).half_width(scale)
    for factor in (1.0, 1e-3, 1e3):
        found = WeightedConformal(level=0.9).fit(error, np.full(n, factor), scale).half_width(np.full(n, factor), scale)
        np.testing.assert_allclose(found, split)


def covariate_shift(rng, n):
    """Calibration x ~ N(0, 1), target x ~ N(1, 0.8); the error grows with x, and its law given x is the same."""
    x, new = rng.normal(size=n), 1 + 0.8 * rng.normal(size=n)
    error = lambda x: np.exp(x) * rng.normal(size=len(x))
    return x, error(x), new, error(new)


def test_coverage_holds_under_a_known_shift_where_split_conformal_fails():
    """The bound is exact from below: coverage is at least the level even for 60 crystals, because of the crystal's own mass."""
    rng = np.random.default_rng(0)
    ratio = lambda x: stats.norm.pdf(x, 1, 0.8) / stats.norm.pdf(x)
    weighted, plain, naive = [], [], []
    for _ in range(1000):
        x, error, new, new_error = covariate_shift(rng, 60)
        weight = ratio(x)
        if weight.sum() ** 2 / (weight**2).sum() < 9:
            continue
        half = WeightedConformal(level=0.9).fit(error, weight).half_width(ratio(new))
        weighted.append(np.mean(np.abs(new_error) <= half))
        order = np.argsort(np.abs(error))
        without = np.abs(error)[order][np.searchsorted(np.cumsum(weight[order]) / weight.sum(), 0.9)]
        naive.append(np.mean(np.abs(new_error) <= without))
        plain.append(np.mean(np.abs(new_error) <= SplitConformal(level=0.9).fit(error).factor))
    assert 0.895 <= np.mean(weighted) <= 0.94
    assert np.mean(naive) < 0.89  # the mass of the crystal itself is what makes it hold
    assert np.mean(plain) < 0.8


@pytest.mark.parametrize("estimate", [classifier_ratio, relative_ratio, kliep, kernel_mean_matching])
def test_estimated_ratios_repair_most_of_it(estimate):
    rng = np.random.default_rng(1)
    x, error, new, new_error = covariate_shift(rng, 1600)
    target = (1 + 0.8 * rng.normal(size=500))[:, None]
    ratio = estimate(x[:800, None], target, refusal=Refusal(clip=np.inf), key=jax.random.key(0))
    interval = WeightedConformal(level=0.9).fit(error[800:], ratio.at(x[800:, None]))
    covered = np.mean(np.abs(new_error) <= interval.half_width(ratio.at(new[:, None])))
    split = np.mean(np.abs(new_error) <= SplitConformal(level=0.9).fit(error[800:]).factor)
    assert covered > split + 0.6 * (0.9 - split)
    assert f"of {len(error) - 800})" in interval.guarantee and "has not changed" in interval.guarantee


def test_a_shift_of_the_label_goes_unnoticed_as_the_documentation_says():
    """Weights know inputs alone: with the tail of the target held out every weight is about one and coverage is lost."""
    rng = np.random.default_rng(2)
    error = rng.normal(size=500)
    tail = rng.normal(size=20_000)
    tail = tail[tail > np.quantile(tail, 0.9)]
    half = WeightedConformal(level=0.8).fit(error, np.ones(500)).half_width(np.ones(len(tail)))
    assert np.isfinite(half).all() and np.mean(np.abs(tail) <= half) < 0.2


def test_disjoint_supports_are_refused_in_words():
    rng = np.random.default_rng(3)
    here, there = rng.normal(size=(400, 2)), rng.normal(size=(100, 2)) + 30
    with pytest.raises(ValueError, match="do not cover the target"):
        classifier_ratio(here, there, key=jax.random.key(0))
    weight = np.r_[1e6, np.full(199, 1e-6)]
    with pytest.raises(ValueError, match=r"effective sample size of 1\.0; 9 are needed for 90%.*leave-domain-out"):
        WeightedConformal(level=0.9).fit(rng.normal(size=200), weight)


def test_errors_say_what_came():
    fit = WeightedConformal().fit
    with pytest.raises(ValueError, match="20 weights for 30 errors"):
        fit(np.ones(30), np.ones(20))
    with pytest.raises(ValueError, match=r"weight 1 is -1\.0"):
        fit(np.ones(3), np.array([1.0, -1.0, 1.0]))
    with pytest.raises(ValueError, match="30 of 30 calibration errors are not finite"):
        fit(np.full(30, np.nan), np.ones(30))
    with pytest.raises(ValueError, match="effective sample size of 0.0"):
        fit(np.ones(30), np.zeros(30))
    with pytest.raises(ValueError, match="level is 2"):
        WeightedConformal(level=2.0)
