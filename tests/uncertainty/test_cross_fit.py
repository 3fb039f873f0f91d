"""Dealing domains to members, and errors on what a member did not see."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matjax.data import LeaveOut, Sizes
from matjax.types import Dataset
from matjax.uncertainty.cross_fit import FEWEST, MOST, TooFewDomains, cross_fit, deal, memberships
from tests.stress_test.ridge import LABEL, RidgeEnsemble


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(5, 80), min_size=3, max_size=9), members=st.integers(1, 5), seed=st.integers(0, 5))
def test_no_domain_is_dealt_twice_and_members_keep_most_crystals(sizes: list[int], members: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    groups = {str(d): labels == d for d in range(len(sizes))}
    if sum(size >= FEWEST for size in sizes) < 2:
        return
    hands = deal(groups, members, jax.random.key(seed))
    dealt = [name for hand in hands for name in hand]
    assert len(hands) == members and len(set(dealt)) == len(dealt)
    assert all(groups[name].sum() >= FEWEST for name in dealt)
    for hand in hands:
        held = np.any([groups[name] for name in hand], axis=0) if hand else np.zeros(1, bool)
        assert len(hand) <= 1 or held.mean() <= MOST


def test_one_domain_cannot_be_left_out() -> None:
    with pytest.raises(TooFewDomains, match="two or more"):
        deal({"oxide": np.ones(50, bool)}, 3, jax.random.key(0))


def test_elements_are_multi_label(flla: Dataset) -> None:
    groups = memberships(flla, "elements")
    assert groups["O"].sum() == sum(8 in c.numbers for c in flla.crystals)
    assert (groups["O"] & groups["Fe"]).any()


@pytest.mark.parametrize("column", ["anion", "elements"])
def test_errors_are_those_of_members_that_never_saw_the_domain(flla: Dataset, column: str) -> None:
    """Second implementation: every dealt domain is refitted alone, by removing its member's whole hand from the data."""
    split = next(LeaveOut("anion", only="nitride", sizes=Sizes(max_train=300))(flla, jax.random.key(0)))
    visible = split.visible()
    seen: list[np.ndarray] = []

    class Watched(RidgeEnsemble):
        def fit(self, visible, key, *, held_from=None, report=None):
            seen.append(np.asarray(held_from))
            return super().fit(visible, key, held_from=held_from, report=report)

    cross = cross_fit(Watched(), visible, column=column, label=LABEL, key=jax.random.key(1))
    groups = memberships(visible.train, column)
    for name in np.unique(cross.domain):
        held = (seen[0][groups[name]] >> np.arange(3)[:, None]) & 1
        assert held.all(1).any(), f"no member was kept from all of {name}"
    assert np.isfinite(cross.error).all() and (cross.distance >= 0).all()
    inside = RidgeEnsemble().fit(visible, jax.random.key(1))(visible.calibration.crystals).mean - visible.calibration.labels[LABEL]
    assert np.abs(cross.error).mean() > np.abs(inside).mean()
