"""Mondrian intervals: coverage in every group, merging, and groups that calibration did not have."""

import numpy as np
import pytest

from matjax.uncertainty import LeaveDomainOut, Mondrian, SplitConformal
from matjax.uncertainty.mondrian import _merged

SIZES = {"interpolative": 1.0, "partial": 2.0, "extrapolative": 6.0}


def draw(rng, counts):
    group = np.repeat(list(SIZES), counts)
    return np.array([SIZES[g] for g in group]) * rng.normal(size=len(group)), group


def test_every_group_is_covered_where_one_factor_for_all_is_not():
    rng = np.random.default_rng(0)
    covered, pooled = {name: [] for name in SIZES}, []
    for _ in range(600):
        interval = Mondrian(SplitConformal(0.9)).fit(*draw(rng, (60, 40, 30)))
        error, group = draw(rng, (50, 50, 50))
        inside = np.abs(error) <= interval.half_width(group)
        for name in SIZES:
            covered[name].append(inside[group == name].mean())
        one = SplitConformal(0.9).fit(draw(rng, (60, 40, 30))[0]).factor
        pooled.append(np.mean(np.abs(error[group == "extrapolative"]) <= one))
    for values in covered.values():
        assert 0.89 <= np.mean(values) <= 0.935
    assert np.mean(pooled) < 0.8


def test_groups_are_separate_fits():
    rng = np.random.default_rng(1)
    error, group = draw(rng, (30, 30, 30))
    scale = rng.gamma(5.0, size=90)
    interval = Mondrian(SplitConformal(0.8)).fit(error, group, scale)
    for name in SIZES:
        mine = group == name
        alone = SplitConformal(0.8).fit(error[mine], scale[mine])
        np.testing.assert_array_equal(interval.half_width(group, scale)[mine], alone.half_width(scale[mine]))
        assert f"{name}: {alone.guarantee}" in interval.guarantee


def test_small_groups_are_merged_smallest_first_and_share_an_interval():
    members = {"a": set(range(30)), "b": set(range(4)), "c": set(range(3)), "d": set(range(12))}
    assert _merged({k: {f"{k}{i}" for i in v} for k, v in members.items()}, 9) == (("a",), ("b", "c", "d"))
    rng = np.random.default_rng(2)
    error, group = rng.normal(size=49), np.repeat(list("abcd"), (30, 4, 3, 12))
    interval = Mondrian(SplitConformal(0.9)).fit(error, group)
    assert interval.merged == (("a",), ("b", "c", "d"))
    assert interval.intervals["b"] == SplitConformal(0.9).fit(error[30:])
    assert Mondrian(SplitConformal(0.9), fewest=40).fit(error, group).merged == (("a", "b", "c", "d"),)


def test_classes_of_domains_choose_the_factor_of_leave_domain_out():
    rng = np.random.default_rng(3)
    n_domain = {"interpolative": 12, "extrapolative": 10}
    rows = [(c, f"{c} {d}", SIZES[c] * rng.normal(size=30)) for c, n in n_domain.items() for d in range(n)]
    group, domain = (np.repeat(np.array([str(r[i]) for r in rows]), 30) for i in (0, 1))
    error = np.concatenate([r[2] for r in rows])
    interval = Mondrian(LeaveDomainOut(0.9)).fit(error, group, domain=domain)
    far = group == "extrapolative"
    assert interval.intervals["extrapolative"] == LeaveDomainOut(0.9).fit(error[far], domain[far])
    assert interval.intervals["extrapolative"].factor > 4 * interval.intervals["interpolative"].factor
    few = Mondrian(LeaveDomainOut(0.95)).fit(error, group, domain=domain)  # 19 domains are needed: the classes are merged
    assert few.merged == (("extrapolative", "interpolative"),) and len(set(few.half_width(np.array(list(n_domain))))) == 1


def test_a_group_missing_from_calibration_is_refused_by_name_or_abstains():
    error, group = draw(np.random.default_rng(4), (20, 20, 0))
    with pytest.raises(ValueError, match="no calibration crystal is of group 'extrapolative'; calibrated: interpolative, partial"):
        Mondrian().fit(error, group).half_width(np.array(["extrapolative", "partial"]))
    half = Mondrian(unseen="abstain").fit(error, group).half_width(np.array(["extrapolative", "partial"]))
    assert half[0] == np.inf and np.isfinite(half[1])


def test_errors_say_what_came():
    with pytest.raises(ValueError, match="unseen is 'guess'"):
        Mondrian(unseen="guess")
    with pytest.raises(ValueError, match="5 calibration crystals cannot give 90% coverage; need at least 9"):
        Mondrian().fit(np.ones(5), np.array(list("aabbb")))
    with pytest.raises(ValueError, match="40 of 40 calibration errors are not finite"):
        Mondrian().fit(np.full(40, np.nan), np.full(40, "a"))
    with pytest.raises(ValueError, match="3 errors, 2 groups"):
        Mondrian().fit(np.ones(3), np.array(["a", "b"]))
    with pytest.raises(ValueError, match="LeaveDomainOut needs the domain"):
        Mondrian(LeaveDomainOut()).fit(np.ones(3), np.array(["a", "b", "b"]))
    with pytest.raises(ValueError, match="1 scales for 2 groups"):
        Mondrian().fit(np.ones(20), np.full(20, "a")).half_width(np.array(["a", "a"]), np.ones(1))
