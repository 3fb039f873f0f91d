"""Forward chaining: nothing is learned from the future, and what is tested is the next block."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matjax.data import ForwardChaining, Sizes
from matjax.types import Crystal, Dataset

CRYSTAL = Crystal(np.eye(3), np.zeros((1, 3)), np.array([3]))
SEEN = ("train", "validation", "calibration", "test_inside")


def of_years(years: np.ndarray) -> Dataset:
    return Dataset((CRYSTAL,) * len(years), tuple(map(str, range(len(years)))), {}, {"year": years})


@given(st.lists(st.sampled_from([2004.0, 2007, 2010, 2011, 2015, 2019, np.nan]), min_size=60, max_size=120), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_nothing_is_learned_from_the_future(years: list[float], k: int) -> None:
    dataset = of_years(np.array(years))
    try:
        splits = list(ForwardChaining("year", k=k, sizes=Sizes(target=0.0))(dataset, jax.random.key(0)))
    except ValueError as error:
        assert "lower k" in str(error) or "smaller parts" in str(error) or "outside" in str(error)
        return
    assert len(splits) == k
    for split, later in zip(splits, [*splits[1:], None], strict=True):
        known = max(float(getattr(split, name).domains["year"].max()) for name in SEEN)
        assert known < split.test_outside.domains["year"].min()
        if later is not None:
            assert split.test_outside.domains["year"].max() < later.test_outside.domains["year"].min()
    assert splits[-1].test_outside.domains["year"].max() == np.nanmax(years)


def test_blocks_are_named_by_their_years() -> None:
    splits = list(ForwardChaining("year", k=2)(of_years(np.repeat(np.arange(2001, 2007), 10)), jax.random.key(0)))
    assert [split.domain for split in splits] == ["year 2003 to 2004", "year 2005 to 2006"]
    assert {split.shift for split in splits} == {"forward_chaining(year)"}


@pytest.mark.parametrize(
    ("years", "k", "message"),
    [(np.array(["old", "new"] * 20), 1, "holds text"), (np.full(40, 2010), 1, "lower k"), (np.repeat([2010, 2011], 20), 3, "lower k")],
)
def test_what_has_no_order_is_refused(years: np.ndarray, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(ForwardChaining("year", k=k)(of_years(years), jax.random.key(0)))


def test_a_chain_without_links_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ForwardChaining("year", k=0)
