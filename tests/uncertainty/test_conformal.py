"""Coverage of conformal intervals by many draws, their conditions, and the words they say."""

import math

import numpy as np
import pytest

from matjax.uncertainty.conformal import LeaveDomainOut, SplitConformal, conformal_quantile, n_domain_needed


def hierarchical(rng, n_domain, n_crystal=40):
    """Errors whose size depends on the domain: log-normal scale per domain; [n_domain, n_crystal]."""
    return rng.normal(size=(n_domain, n_crystal)) * np.exp(0.7 * rng.normal(size=(n_domain, 1)))


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


@pytest.mark.parametrize("bound", ["marginal", "domain"])
def test_leave_domain_out_covers_new_domains_where_split_conformal_does_not(bound):
    """Few domains: pooling their crystals forgets that the next domain may be worse than all of them."""
    rng = np.random.default_rng(0)
    domain = np.repeat(np.arange(12), 40)
    draw = lambda: (hierarchical(rng, 12), hierarchical(rng, 1, 200)[0])
    split = mean_coverage(lambda e: SplitConformal(level=0.9).fit(e.ravel()).factor, draw, 1500)
    ldo = mean_coverage(lambda e: LeaveDomainOut(level=0.9, bound=bound).fit(e.ravel(), domain).factor, draw, 1500)
    assert split < 0.89
    assert ldo >= 0.895


def test_split_conformal_under_covers_when_calibrated_inside_the_training_domains():
    """The usual practice: inside errors are small because the models saw these domains. Errors of a new domain are not."""
    rng = np.random.default_rng(1)
    domain = np.repeat(np.arange(15), 40)
    inside, outside, held_out = [], [], []
    for _ in range(400):
        left_out, new = hierarchical(rng, 15), hierarchical(rng, 1, 200)[0]
        inside.append(np.mean(np.abs(new) <= SplitConformal().fit(rng.normal(size=600)).factor))
        outside.append(np.mean(np.abs(new) <= SplitConformal().fit(left_out.ravel()).factor))
        held_out.append(np.mean(np.abs(new) <= LeaveDomainOut().fit(left_out.ravel(), domain).factor))
    assert np.mean(inside) < 0.87
    assert np.mean(held_out) >= max(0.895, np.mean(outside))


def test_domain_bound_holds_in_most_domains():
    rng = np.random.default_rng(0)
    domain = np.repeat(np.arange(19), 60)
    covered = [
        np.abs(hierarchical(rng, 1, 400)[0]) <= LeaveDomainOut(bound="domain").fit(hierarchical(rng, 19, 60).ravel(), domain).factor
        for _ in range(600)
    ]
    assert np.mean(np.mean(covered, 1) >= 0.9) >= 0.9 - 0.03


def test_marginal_factor_is_the_naive_weighted_quantile():
    """Sort, add 1/(n_domain + 1) per domain shared by its crystals, stop at the level."""
    rng = np.random.default_rng(0)
    domain = rng.integers(14, size=300)
    error = rng.normal(size=300)
    weight = {d: 1 / 15 / np.sum(domain == d) for d in range(14)}
    total, factor = 0.0, math.inf
    for size, d in sorted(zip(np.abs(error), domain, strict=True)):
        total += weight[d]
        if total >= 0.9 - 1e-9:
            factor = size
            break
    assert LeaveDomainOut(bound="marginal").fit(error, domain).factor == factor


def test_domain_factor_is_an_order_statistic_of_the_domains():
    rng = np.random.default_rng(0)
    error = hierarchical(rng, 19)
    interval = LeaveDomainOut(bound="domain").fit(error.ravel(), np.repeat([f"d{i:02d}" for i in range(19)], 40))
    own = sorted(conformal_quantile(np.abs(row), 0.9) for row in error)
    assert interval.factor == own[17]  # rank 18 of 19
    assert sorted(f for _, f in interval.domain_factor) == own


def test_each_domain_counts_once_however_many_crystals_it_has():
    """Ten times as many copies of one easy domain do not narrow the interval; they do narrow the pooled one."""
    rng = np.random.default_rng(0)
    error = hierarchical(rng, 20)
    domain = np.repeat(np.arange(20), 40)
    easy = int(np.argmin(np.abs(error).mean(1)))
    more, more_domain = np.r_[error.ravel(), np.tile(error[easy], 30)], np.r_[domain, np.full(1200, easy)]
    assert LeaveDomainOut().fit(more, more_domain).factor == LeaveDomainOut().fit(error.ravel(), domain).factor
    assert SplitConformal().fit(more).factor < SplitConformal().fit(error.ravel()).factor


def test_few_domains_fall_back_to_the_worst_of_them_and_say_so():
    rng = np.random.default_rng(0)
    error = hierarchical(rng, 4)
    interval = LeaveDomainOut(level=0.9).fit(error.ravel(), np.repeat(list("abcd"), 40))
    assert interval.factor == max(conformal_quantile(np.abs(row), 0.9) for row in error)
    assert "4 calibration domains are fewer than the 9" in interval.guarantee
    assert "70% promised" in interval.guarantee  # 0.9 - 1 / 5
    single = LeaveDomainOut(level=0.9).fit(error[0], np.full(40, "a"))
    assert single.factor == SplitConformal(level=0.9).fit(error[0]).factor
    assert "40% promised" in single.guarantee


def test_fallback_keeps_its_promise_and_small_domains_only_count_in_the_pool():
    rng = np.random.default_rng(3)
    domain = np.repeat(np.arange(4), 40)
    covered = mean_coverage(
        lambda e: LeaveDomainOut().fit(e.ravel(), domain).factor, lambda: (hierarchical(rng, 4), hierarchical(rng, 1)[0]), 1000
    )
    assert covered >= 0.9 - 1 / 5
    error = np.r_[hierarchical(rng, 3).ravel(), 100.0, 100.0]
    interval = LeaveDomainOut().fit(error, np.r_[np.repeat(list("abc"), 40), ["tiny", "tiny"]])
    assert math.isfinite(interval.factor)
    assert dict(interval.domain_factor)["tiny"] == math.inf


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
    with pytest.raises(ValueError, match="calibration error 3 is not finite"):
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
