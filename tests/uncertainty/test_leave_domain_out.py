"""Leave-domain-out intervals: coverage of new domains by many draws, both sides of the promise, and what few domains are worth."""

import math

import numpy as np
import pytest

from matjax.uncertainty.conformal import SplitConformal, conformal_quantile
from matjax.uncertainty.leave_domain_out import LeaveDomainOut, domain_quantile


def hierarchical(rng, n_domain, n_crystal=40):
    """Errors whose size depends on the domain: log-normal scale per domain; [n_domain, n_crystal]."""
    return rng.normal(size=(n_domain, n_crystal)) * np.exp(0.7 * rng.normal(size=(n_domain, 1)))


def mean_coverage(fit, draw, n_draw):
    """Mean over draws of the coverage of a new batch of errors."""
    return float(np.mean([np.mean(np.abs(new) <= fit(old)) for old, new in (draw() for _ in range(n_draw))]))


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


@pytest.mark.parametrize("n_domain", [4, 16])
def test_asymptotic_coverage_lies_between_its_bounds(n_domain):
    """Without the new domain's mass at infinity a 0.9-quantile of few domains is one: about the level, not at least."""
    rng = np.random.default_rng(n_domain)
    domain = np.repeat(np.arange(n_domain), 40)
    spec = LeaveDomainOut(level=0.9, bound="asymptotic")
    draw = lambda: (hierarchical(rng, n_domain), hierarchical(rng, 1, 200)[0])
    covered = mean_coverage(lambda e: spec.fit(e.ravel(), domain).factor, draw, 1500)
    assert 0.9 * n_domain / (n_domain + 1) <= covered <= (0.9 * n_domain + 1) / (n_domain + 1)
    said = spec.fit(hierarchical(rng, n_domain).ravel(), domain).guarantee
    assert said.startswith("about 90%") and f"between {90 * n_domain / (n_domain + 1):.3g}%" in said


def test_asymptotic_is_marginal_at_a_lower_level_and_is_narrower():
    error, domain = hierarchical(np.random.default_rng(0), 12).ravel(), np.repeat(np.arange(12), 40)
    narrow = LeaveDomainOut(level=0.9, bound="asymptotic").fit(error, domain).factor
    assert narrow == LeaveDomainOut(level=0.9 * 12 / 13).fit(error, domain).factor
    assert narrow < LeaveDomainOut(level=0.9).fit(error, domain).factor


def test_one_domain_says_nothing_of_another():
    interval = LeaveDomainOut(level=0.9, bound="asymptotic").fit(np.ones(40), np.full(40, "a"))
    assert "40% promised" in interval.guarantee


def test_domain_quantile_is_numpys_inverted_distribution_for_equal_domains():
    rng = np.random.default_rng(1)
    score, member = rng.normal(size=120), rng.permutation(np.repeat(np.arange(6), 20))
    for level in (0.5, 0.83, 0.9):
        assert domain_quantile(score, member, level) == np.quantile(score, level, method="inverted_cdf")
    assert domain_quantile(score, member, 0.9, at_infinity=1) == math.inf
