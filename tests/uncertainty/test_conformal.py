"""Coverage of split conformal intervals by many draws, the parts that all intervals share, and the words they say."""

import math

import numpy as np
import pytest

from matjax.uncertainty.conformal import SplitConformal, conformal_quantile, n_domain_needed
from matjax.uncertainty.leave_domain_out import LeaveDomainOut


def mean_coverage(fit, draw, n_draw):
    """Mean over draws of the coverage of a new batch of errors."""
    return float(np.mean([np.mean(np.abs(new) <= fit(old)) for old, new in (draw() for _ in range(n_draw))]))


def test_split_coverage_is_exact_over_ten_thousand_draws():
    """Exact value ceil((n + 1) level) / (n + 1), here 0.9020 for n = 50."""
    rng = np.random.default_rng(0)
    spec = SplitConformal(level=0.9)
    covered = mean_coverage(lambda e: spec.fit(e).factor, lambda: (rng.standard_t(3, 50), rng.standard_t(3, 20)), 10_000)
    assert covered == pytest.approx(math.ceil(51 * 0.9) / 51, abs=0.003)


def test_normalised_coverage_is_exact_and_adapts():
    """Scaled scores cover as well, with an interval that is narrower where the error is."""
    rng = np.random.default_rng(0)
    scale = lambda n: np.exp(rng.normal(size=n))
    covered, ratio = [], []
    for _ in range(4000):
        s, t = scale(60), scale(20)
        interval = SplitConformal(level=0.9).fit(s * rng.normal(size=60), s)
        covered.append(np.mean(np.abs(t * rng.normal(size=20)) <= interval.half_width(t)))
        ratio.append(interval.half_width(np.array([2.0, 1.0])))
    assert np.mean(covered) == pytest.approx(math.ceil(61 * 0.9) / 61, abs=0.005)
    ratio = np.array(ratio)
    np.testing.assert_allclose(ratio[:, 0], 2 * ratio[:, 1])


@pytest.mark.parametrize("n", [9, 10, 19, 20, 57])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_quantile_is_the_order_statistic(n, level):
    score = np.random.default_rng(n).normal(size=n)
    rank = next(k for k in range(1, n + 2) if k * 100 >= (n + 1) * round(level * 100))
    assert conformal_quantile(score, level) == (sorted(score)[rank - 1] if rank <= n else math.inf)


def test_needed_number_has_no_rounding_trouble():
    assert [n_domain_needed(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]
    for level in (0.5, 0.8, 0.9, 0.95, 0.99):
        need = n_domain_needed(level)
        assert math.isfinite(conformal_quantile(np.arange(need), level))
        assert math.isinf(conformal_quantile(np.arange(need - 1), level)) or need == 1


def test_too_few_crystals_are_refused_with_the_number_needed():
    with pytest.raises(ValueError, match="12 calibration crystals cannot give 95% coverage; need at least 19"):
        SplitConformal(level=0.95).fit(np.ones(12))
    SplitConformal(level=0.95).fit(np.ones(19))


def test_a_bound_over_domains_too_small_to_judge_abstains_and_is_counted():
    error = np.random.default_rng(0).normal(size=45)
    interval = LeaveDomainOut(bound="domain").fit(error, np.repeat(np.arange(9), 5))
    assert np.isinf(interval.half_width(np.ones(3))).all()
    assert interval.n_abstained(np.ones(3)) == 3
    split = SplitConformal().fit(error)
    assert split.n_abstained(np.array([1.0, np.inf, 2.0])) == 1


def test_floor_keeps_a_collapsed_spread_from_a_zero_interval():
    rng = np.random.default_rng(0)
    scale = rng.gamma(3.0, size=200)
    interval = SplitConformal(floor=0.1).fit(scale * rng.normal(size=200), scale)
    assert interval.half_width(np.zeros(1))[0] == pytest.approx(interval.factor * 0.1 * np.median(scale))
    with pytest.raises(ValueError, match="200 of 200 scales are zero"):
        SplitConformal().fit(np.ones(200), np.zeros(200))


def test_intervals_do_not_depend_on_order_or_unit():
    rng = np.random.default_rng(0)
    error, scale, domain = rng.normal(size=300), rng.gamma(3.0, size=300), rng.integers(12, size=300)
    order = rng.permutation(300)
    for fit in (lambda e, s, d: SplitConformal().fit(e, s), lambda e, s, d: LeaveDomainOut().fit(e, d, s)):
        expected = fit(error, scale, domain)
        assert fit(error[order], scale[order], domain[order]) == expected
        thousandfold = fit(1000 * error, 1000 * scale, domain)
        np.testing.assert_allclose(thousandfold.half_width(1000 * scale), 1000 * expected.half_width(scale))


def test_errors_say_what_came():
    with pytest.raises(ValueError, match="level is 90"):
        SplitConformal(level=90)
    with pytest.raises(ValueError, match="bound is 'group'"):
        LeaveDomainOut(bound="group")
    with pytest.raises(ValueError, match="floor is -1"):
        LeaveDomainOut(floor=-1.0)
    with pytest.raises(ValueError, match="1 of 4 calibration errors are not finite"):
        SplitConformal().fit(np.array([1.0, 1, 1, np.nan]))
    with pytest.raises(ValueError, match="no calibration crystals"):
        SplitConformal().fit(np.array([]))
    with pytest.raises(ValueError, match="both must be"):
        SplitConformal().fit(np.ones(30), np.ones(20))
    with pytest.raises(ValueError, match="20 domains for 30 errors"):
        LeaveDomainOut().fit(np.ones(30), np.ones(20))
    with pytest.raises(ValueError, match="5 calibration crystals cannot give 90% coverage; need at least 9"):
        LeaveDomainOut().fit(np.ones(5), np.arange(5))
    with pytest.raises(ValueError, match="crystal 1 is negative or NaN"):
        SplitConformal().fit(np.ones(30)).half_width(np.array([1.0, -1.0]))
