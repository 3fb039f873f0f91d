"""The sum: what adds up, what is refused, and how it goes through TOML."""

import jax
import numpy as np
import pytest

from matjax.risk import DANN, Coral, GroupDRO, Importance, LowDensity, Risk, RiskShape, VREx
from matjax.toml import from_toml, to_toml

FULL = Risk(GroupDRO(0.02), weights=Importance(clip=5.0)) + Coral(0.1) + DANN(0.2, hidden=4) + Coral(0.3) + LowDensity()


def test_value_is_the_sum_of_its_parts(outcome):
    random = np.random.default_rng(0)
    batch = outcome(random.uniform(size=8), np.arange(8) % 2, features=random.normal(size=(8, 2)))
    shape, key = RiskShape(2, 2), jax.random.key(0)
    apply = lambda risk: risk.apply(*risk.init(key, shape), batch)
    base, alone = float(apply(Risk(VREx()))[0]), float(apply(Risk() + Coral(0.5))[0] - apply(Risk())[0])
    value, _, metrics = apply(Risk(VREx()) + Coral(0.5) + Coral(1.0))
    assert value == pytest.approx(base + 3 * alone, rel=1e-5)
    assert {"risk", "base/value", "coral/mean_distance", "coral_2/mean_distance"} <= set(metrics)


def test_only_penalties_are_added():
    for other in (GroupDRO(), Risk(), Importance()):
        with pytest.raises(ValueError, match="only penalties"):
            Risk().__add__(other)  # type: ignore[arg-type]


def test_says_whether_it_looks_at_target_crystals():
    assert not Risk(GroupDRO()).uses_target
    assert FULL.uses_target


def test_toml_round_trip():
    assert from_toml(to_toml(FULL), Risk) == FULL
    risk = from_toml('[base]\nkind = "vrex"\nbeta = 3\n[[penalties]]\nkind = "coral"\nstrength = 1', Risk)
    assert risk == Risk(VREx(3.0)) + Coral(1.0)


def test_unlabelled_crystals_feed_penalties_only(outcome):
    random = np.random.default_rng(1)
    features, labelled = random.normal(size=(8, 2)), np.arange(8) < 4
    risk = Risk() + Coral(1.0)
    state = risk.init(jax.random.key(0), RiskShape(2, 2))
    batch = outcome(np.ones(8), np.repeat([0, 1], 4), features=features, labelled=labelled)
    metrics = risk.apply(*state, batch)[2]
    moved = risk.apply(*state, batch._replace(features=batch.features.at[4:].add(5.0)))[2]
    assert moved["base/value"] == metrics["base/value"] == 1.0
    assert moved["coral/mean_distance"] > metrics["coral/mean_distance"]
