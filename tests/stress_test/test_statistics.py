"""Tests over domains against scipy called directly, closed forms, and simulation."""

import math

import jax
import numpy as np
import pytest
from scipy import stats

from matjax.stress_test.statistics import crossed_interval, detectable_effect, equivalence, fewest_domains, holm, wilcoxon


def test_wilcoxon_is_scipys_and_needs_six_domains():
    values = np.random.default_rng(0).normal(0.05, 0.1, 17)
    assert wilcoxon(values) == stats.wilcoxon(values).pvalue
    assert wilcoxon(np.zeros(9)) == 1.0
    assert wilcoxon(np.full(5, -0.1) * np.arange(1, 6)) == pytest.approx(2.0**-4)
    assert (fewest_domains(0.95), fewest_domains(0.9)) == (6, 5)
    half_chosen_zero = np.array([0.0] * 6 + [-0.1, -0.2, 0.15, -0.05])
    assert 0.05 < wilcoxon(half_chosen_zero) < 1


def test_wilcoxon_rejects_as_often_as_it_says():
    rng = np.random.default_rng(1)
    rejected = np.mean([wilcoxon(0.1 * rng.standard_t(4, 12)) < 0.05 for _ in range(800)])
    assert rejected == pytest.approx(0.05, abs=0.02)  # the exact test's own size is 0.042


def test_equivalence_is_two_one_sided_tests_of_scipy():
    values, bound = np.random.default_rng(2).normal(0.005, 0.02, 12), math.log(1.03)
    above = stats.ttest_1samp(values, -bound, alternative="greater").pvalue
    below = stats.ttest_1samp(values, bound, alternative="less").pvalue
    assert equivalence(values) == pytest.approx(max(above, below))
    assert equivalence(np.zeros(4)) == 0.0
    assert equivalence(np.full(4, 0.1)) == 1.0
    with pytest.raises(ValueError, match="margin=0"):
        equivalence(values, 0.0)
    with pytest.raises(ValueError, match="two or more finite"):
        equivalence(values[:1])


def test_equivalence_is_claimed_in_error_as_rarely_as_it_says():
    """At a true difference of exactly the margin."""
    rng, bound = np.random.default_rng(3), math.log(1.03)
    claimed = np.mean([equivalence(rng.normal(bound, 0.02, 10)) < 0.05 for _ in range(800)])
    assert claimed == pytest.approx(0.05, abs=0.02)


def test_holm_is_the_step_down_rule():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1.0, 1.0])
    assert len(holm(np.array([]))) == 0
    rng = np.random.default_rng(4)
    p = rng.random(20) ** 3
    rejected, naive = set(np.flatnonzero(holm(p) < 0.05)), set()
    for rank, i in enumerate(np.argsort(p)):
        if p[i] * (20 - rank) >= 0.05:
            break
        naive.add(i)
    assert rejected == naive


def test_detectable_effect_is_found_with_that_power():
    rng, spread, n = np.random.default_rng(5), 0.1, 9
    effect = detectable_effect(spread, n)
    found = np.mean([stats.ttest_1samp(rng.normal(effect, spread, n), 0).pvalue < 0.05 for _ in range(1000)])
    assert found == pytest.approx(0.8, abs=0.04)
    assert detectable_effect(spread, 400) == pytest.approx(2.8 * spread / 20, rel=0.01)  # the normal limit
    assert detectable_effect(0.0, 5) == 0.0
    with pytest.raises(ValueError, match="1 domains"):
        detectable_effect(0.1, 1)


def crossed(rng, n_domain=12, n_cluster=40, per_cluster=3, share=0.3, common=0.0):
    """Errors of two methods: domains overlap in clusters, each of which has its own ratio."""
    member = rng.random((n_domain, n_cluster)) < share
    effect = rng.normal(0, common, n_cluster)
    domain, cluster = np.nonzero(member)
    domain, cluster = np.repeat(domain, per_cluster), np.repeat(cluster, per_cluster)
    reference = rng.gamma(2.0, size=len(domain))
    return reference * np.exp(effect[cluster]), reference, domain, cluster


def test_crossed_interval_of_a_constant_ratio_is_a_point_and_a_naive_loop_agrees():
    rng = np.random.default_rng(6)
    _, reference, domain, cluster = crossed(rng)
    centre, low, high = crossed_interval(1.2 * reference, reference, domain, domain, cluster, n_draw=500, key=jax.random.key(0))
    assert (centre, low, high) == pytest.approx((1.2, 1.2, 1.2))
    error = reference * rng.lognormal(0, 0.3, len(reference))
    naive = np.exp(np.mean([np.log(error[domain == d].mean() / reference[domain == d].mean()) for d in np.unique(domain)]))
    centre, low, high = crossed_interval(error, reference, domain, domain, cluster, n_draw=500, key=jax.random.key(0))
    assert centre == pytest.approx(naive) and low < centre < high
    twice = [np.concatenate([a, a]) for a in (error, reference, domain, cluster)]
    seeds = np.char.add(twice[2].astype(str), np.repeat(["/0", "/1"], len(error)))
    again = crossed_interval(twice[0], twice[1], seeds, twice[2], twice[3], n_draw=500, key=jax.random.key(0))
    assert again == pytest.approx((centre, low, high))  # a second seed that is the first adds nothing


@pytest.mark.slow
def test_crossed_interval_covers_where_one_over_domains_alone_does_not():
    """Differences that live in chemical systems: every domain sees the same few, so domains look alike."""
    rng, crossed_hit, naive_hit, n_trial = np.random.default_rng(7), 0, 0, 150
    for trial in range(n_trial):
        error, reference, domain, cluster = crossed(rng, n_cluster=25, share=0.5, common=0.3)
        truth = math.exp(0.3**2 / 2)  # of a ratio of means: E[reference exp(effect)] / E[reference]
        _, low, high = crossed_interval(error, reference, domain, domain, cluster, n_draw=500, key=jax.random.key(trial))
        crossed_hit += low <= truth <= high
        logs = [np.log(error[domain == d].mean() / reference[domain == d].mean()) for d in np.unique(domain)]
        half = stats.t.ppf(0.975, len(logs) - 1) * np.std(logs, ddof=1) / math.sqrt(len(logs))
        naive_hit += abs(np.mean(logs) - math.log(truth)) <= half
    assert crossed_hit / n_trial > 0.9
    assert naive_hit / n_trial < 0.8
