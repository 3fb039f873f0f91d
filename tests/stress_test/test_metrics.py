"""Metrics against scikit-learn, scipy and naive loops."""

import itertools
import math

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from matjax.stress_test import metrics


def draw(n=200, seed=0, n_level=None):
    """Errors, and scores that know something of their size; `n_level` makes ties."""
    rng = np.random.default_rng(seed)
    error = rng.standard_t(3, n)
    score = np.abs(error) + rng.gamma(1.0, size=n)
    return error, score if n_level is None else np.digitize(score, np.quantile(score, np.linspace(0, 1, n_level + 1)[1:-1])).astype(float)


def test_errors_are_scikit_learns():
    target, (error, _) = np.random.default_rng(1).normal(size=200), draw()
    assert metrics.mae(error) == pytest.approx(sk.mean_absolute_error(target, target + error))
    assert metrics.rmse(error) == pytest.approx(sk.root_mean_squared_error(target, target + error))
    assert metrics.bias(error) == pytest.approx(np.mean(error))


@pytest.mark.parametrize("n", [1, 7, 200])
def test_worst_tenth_is_a_naive_mean(n):
    error, _ = draw(n)
    naive = sorted((abs(e) for e in error), reverse=True)[: max(1, round(n / 10))]
    assert metrics.worst_error(error) == pytest.approx(sum(naive) / len(naive))
    assert metrics.worst_error(error, share=1.0) == pytest.approx(metrics.mae(error))


def test_matched_ratio():
    error, _ = draw()
    assert metrics.log_ratio(3 * error, error[::-1]) == pytest.approx(math.log(3))
    with pytest.raises(ValueError, match="200 errors and 199 matched errors"):
        metrics.log_ratio(error, error[1:])


def test_bootstrap_covers_the_true_ratio_as_often_as_it_says():
    """95% intervals over 24 domains of spread 0.13, the ladder's for elements: they should cover in 95% of draws."""
    rng = np.random.default_rng(0)
    hit = 0
    for seed in range(300):
        _, low, high = metrics.bootstrap_ratio(0.14 + 0.13 * rng.normal(size=24), n_draw=400, key=jax.random.key(seed))
        hit += low <= math.exp(0.14) <= high
    assert hit / 300 == pytest.approx(0.95, abs=0.05)


def test_bootstrap_mean_is_the_geometric_mean_and_the_key_fixes_it():
    key, ratios = jax.random.key(0), np.array([1.1, 1.7, 3.0, 0.9])
    centre, low, high = metrics.bootstrap_ratio(np.log(ratios), key=key)
    assert centre == pytest.approx(stats.gmean(ratios))
    assert low < centre < high
    assert metrics.bootstrap_ratio(np.log(ratios), key=key) == (centre, low, high)
    assert metrics.bootstrap_ratio(np.log(ratios[:1]), key=key) == (pytest.approx(1.1), None, None)
    assert metrics.bootstrap_ratio(np.zeros(5), key=key) == (1.0, 1.0, 1.0)


def test_coverage_and_width_are_naive_counts_and_abstention_covers():
    error, half_width = np.array([0.5, -1.0, 2.0, 9.0]), np.array([0.4, 1.0, 2.5, np.inf])
    assert metrics.coverage(error, half_width) == 3 / 4
    assert metrics.width(half_width) == pytest.approx(2 * (0.4 + 1.0 + 2.5) / 3)
    assert metrics.width(np.full(3, np.inf)) is None


def test_interval_score_is_written_out_and_least_at_the_quantile():
    error, half_width = np.array([0.5, -1.0, 3.0]), np.array([1.0, 1.0, 2.0])
    assert metrics.interval_score(error, half_width, 0.9) == pytest.approx((2 + 2 + 4 + 20 * 1.0) / 3)
    assert metrics.interval_score(error, np.array([1.0, np.inf, 1.0]), 0.9) is None
    sample = np.random.default_rng(0).normal(size=20_000)
    widths = np.linspace(1.2, 2.2, 41)
    scores = [metrics.interval_score(sample, np.full(len(sample), w), 0.9) for w in widths]
    assert widths[int(np.argmin(np.array(scores)))] == pytest.approx(stats.norm.ppf(0.95), abs=0.05)


def test_selection_shift_is_a_naive_ratio():
    error, _ = draw(100)
    mean = np.random.default_rng(3).normal(size=100)
    lowest = sorted(range(100), key=lambda i: mean[i])[:10]
    assert metrics.selection_shift(error, mean) == pytest.approx(np.abs(error[lowest]).mean() / np.abs(error).mean())
    assert metrics.selection_shift(error, mean, lowest=False) == metrics.selection_shift(error, -mean)
    assert metrics.selection_shift(error[:20], mean[:20]) is None
    curse = np.random.default_rng(4).normal(size=2000)  # targets all alike: what is picked is picked for its error
    assert metrics.selection_shift(curse, curse) > 1.9


@pytest.mark.parametrize("n_level", [None, 2, 5])
def test_auroc_is_scikit_learns_with_ties(n_level):
    error, score = draw(n_level=n_level)
    positive = np.abs(error) > 1
    assert metrics.auroc(score, positive) == pytest.approx(sk.roc_auc_score(positive, score))
    assert metrics.auroc(np.exp(score), positive) == pytest.approx(metrics.auroc(score, positive))
    assert metrics.auroc(-score, positive) == pytest.approx(1 - metrics.auroc(score, positive))


def test_auroc_of_one_class_is_none():
    assert metrics.auroc(np.arange(4.0), np.zeros(4, bool)) is None
    assert metrics.auroc(np.arange(4.0), np.ones(4, bool)) is None
    assert metrics.auroc(np.ones(4), np.arange(4) > 1) == 0.5
    assert metrics.auroc_error(np.arange(4.0), np.zeros(4), np.ones(4)) is None


def test_auroc_of_domain_and_error():
    error_inside, score_inside = draw(100, 0)
    error, score = draw(150, 1)
    score = score + 0.3
    assert metrics.auroc_domain(score_inside, score) == pytest.approx(
        sk.roc_auc_score(np.r_[np.zeros(100), np.ones(150)], np.r_[score_inside, score])
    )
    threshold = np.quantile(np.abs(error_inside), 0.9)
    assert metrics.auroc_error(score, error, error_inside) == pytest.approx(sk.roc_auc_score(np.abs(error) > threshold, score))


def test_risk_coverage_is_a_naive_loop():
    error, score = draw(50)
    order = sorted(range(50), key=lambda i: score[i])
    naive = [np.mean([abs(error[i]) for i in order[:k]]) for k in range(1, 51)]
    coverage, risk = metrics.risk_coverage(error, score)
    np.testing.assert_allclose(risk, naive)
    np.testing.assert_allclose(coverage, np.arange(1, 51) / 50)
    assert metrics.aurc(error, score) == pytest.approx(np.mean(naive))


def test_risk_coverage_with_ties_is_the_mean_over_all_orders():
    error, score = np.array([1.0, -4.0, 2.0, 0.5, 3.0]), np.array([0.0, 1.0, 1.0, 1.0, 2.0])
    curves = []
    for order in itertools.permutations(range(5)):
        if all(score[a] <= score[b] for a, b in itertools.pairwise(order)):
            curves.append([np.mean(np.abs(error[list(order[:k])])) for k in range(1, 6)])
    assert len(curves) == 6
    np.testing.assert_allclose(metrics.risk_coverage(error, score)[1], np.mean(curves, 0))


def test_aurc_lies_between_the_oracle_and_its_opposite_and_constant_scores_are_random():
    error, score = draw()
    oracle, random = metrics.aurc_oracle(error), metrics.aurc_random(error)
    assert oracle < metrics.aurc(error, score) < random < metrics.aurc(error, -np.abs(error))
    assert metrics.aurc(error, np.ones(200)) == pytest.approx(random)
    shuffled = [metrics.aurc(error, np.random.default_rng(s).permutation(200)) for s in range(300)]
    assert np.mean(shuffled) == pytest.approx(random, rel=0.03)


@pytest.mark.parametrize("n_level", [None, 4])
def test_spearman_is_scipys(n_level):
    error, score = draw(n_level=n_level)
    assert metrics.spearman(error, score) == pytest.approx(stats.spearmanr(np.abs(error), score)[0])
    assert metrics.spearman(error, np.ones(200)) is None
    assert metrics.spearman(np.ones(200), score) is None


def test_metrics_do_not_depend_on_the_order_of_crystals():
    error, score = draw(n_level=6)
    order = np.random.default_rng(0).permutation(200)
    for metric in (metrics.aurc, metrics.spearman, metrics.coverage):
        assert metric(error[order], score[order]) == pytest.approx(metric(error, score))


def test_errors_say_what_came():
    with pytest.raises(ValueError, match=r"shape \(0,\)"):
        metrics.mae(np.array([]))
    with pytest.raises(ValueError, match="NaN for crystal 1"):
        metrics.rmse(np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match="3 and 4 crystals"):
        metrics.aurc(np.ones(3), np.ones(4))
