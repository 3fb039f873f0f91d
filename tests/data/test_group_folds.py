"""Group folds: no group on both sides, every crystal outside once, folds of about equal size that do not depend on the key."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matjax.data import GroupFolds, Sizes, domain_labels, overlaps
from matjax.types import Crystal, Dataset

ALL_OUTSIDE = Sizes(target=0.0)
KEY = jax.random.key(0)


@given(st.lists(st.integers(0, 12), min_size=40, max_size=90), st.integers(2, 4), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_no_group_is_on_both_sides_and_every_crystal_is_outside_once(groups: list[int], k: int, seed: int) -> None:
    crystal = Crystal(np.eye(3), np.zeros((1, 3)), np.array([3]))
    names = np.array([f"paper {g}" if g else "" for g in groups])
    n_known, n_group = int((names != "").sum()), len(set(names) - {""})
    dataset = Dataset((crystal,) * len(groups), tuple(map(str, range(len(groups)))), {}, {"paper": names})
    shift = GroupFolds("paper", k=k, sizes=ALL_OUTSIDE)
    if n_group < k:
        with pytest.raises(ValueError, match="lower k"):
            list(shift(dataset, jax.random.key(seed)))
        return
    try:
        splits = list(shift(dataset, jax.random.key(seed)))
    except ValueError as error:
        assert "outside" in str(error) or "smaller parts" in str(error)
        return
    outside = [name for split in splits for name in split.test_outside.ids]
    assert sorted(outside) == sorted(np.array(dataset.ids)[names != ""]) and len(splits) == k
    for split in splits:
        seen = {g for part in (split.train, split.validation, split.calibration, split.test_inside) for g in part.domains["paper"]}
        assert not seen & set(split.test_outside.domains["paper"]) and "" not in seen
    largest = max(int((names == name).sum()) for name in set(names) - {""})
    assert max(len(s.test_outside) for s in splits) <= n_known / k + largest


@pytest.mark.parametrize("column", ["composition", "chemical_system", "prototype"])
def test_folds_hold_no_twin_of_their_column(flla: Dataset, column: str) -> None:
    some = flla.select(np.arange(800))
    splits = list(GroupFolds(column, sizes=ALL_OUTSIDE)(some, KEY))
    assert sum(len(split.test_outside) for split in splits) == len(some)
    other = next(GroupFolds(column, sizes=ALL_OUTSIDE)(some, jax.random.key(1)))
    assert set(other.test_outside.ids) == set(splits[0].test_outside.ids) and other.train.ids != splits[0].train.ids
    if column in ("composition", "prototype"):
        found = {(o.kind, o.part): o for o in overlaps(splits[0])}
        assert (
            not found[column, "test_outside"].pairs
            and found["prototype" if column == "composition" else "composition", "test_outside"].pairs
        )


def test_hygiene_removes_the_twins_of_another_column(flla: Dataset) -> None:
    split = next(GroupFolds("prototype", apart="composition", sizes=ALL_OUTSIDE)(flla.select(np.arange(800)), KEY))
    assert not set(domain_labels(split.train, "composition")) & set(domain_labels(split.test_outside, "composition"))


def test_one_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two"):
        GroupFolds("composition", k=1)
