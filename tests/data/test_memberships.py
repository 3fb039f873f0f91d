"""Memberships: a crystal belongs to all of its elements, groups and periods; what is held out is in no part that a learner sees."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Element

from matjax.data import LeaveOut, domain_labels, memberships
from matjax.types import Crystal, Dataset

SEEN = ("train", "validation", "calibration", "test_inside")
OUTSIDE = ("test_outside", "target")


def values(crystal: Crystal, column: str) -> set[str]:
    """What pymatgen says of each atom of a crystal."""
    elements = [Element.from_Z(int(z)) for z in crystal.numbers]
    of = {"elements": lambda e: e.symbol, "periodic_groups": lambda e: str(e.group), "periods": lambda e: str(e.row)}[column]
    f_element = lambda e: e.is_lanthanoid or e.is_actinoid
    return {"3" if column == "periodic_groups" and f_element(e) else of(e) for e in elements}


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Thirty to fifty crystals of one to four of ten elements."""
    n = draw(st.integers(30, 50))
    zs = st.lists(st.sampled_from([1, 3, 8, 13, 26, 28, 29, 58, 79, 92]), min_size=1, max_size=4)
    crystals = tuple(
        Crystal(np.eye(3) * 5, np.arange(3 * len(z)).reshape(-1, 3) * 0.7, np.array(z)) for z in draw(st.lists(zs, min_size=n, max_size=n))
    )
    return Dataset(crystals, tuple(f"c{i}" for i in range(n)), {"energy": np.arange(n, dtype=float)})


@pytest.mark.parametrize("column", ["elements", "periodic_groups", "periods"])
@given(dataset=datasets(), seed=st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_what_is_held_out_is_in_no_part_that_a_learner_sees(column: str, dataset: Dataset, seed: int) -> None:
    large = tuple(d for d, of in memberships(dataset, column).items() if 5 <= of.sum() <= len(dataset) - 8)
    splits = list(LeaveOut(column, only=large, min_size=5)(dataset, jax.random.key(seed))) if large else []
    assert [split.domain for split in splits] == list(large)
    for split in splits:
        assert not any(split.domain in values(crystal, column) for name in SEEN for crystal in getattr(split, name).crystals)
        assert all(split.domain in values(crystal, column) for name in OUTSIDE for crystal in getattr(split, name).crystals)
        assert sum(len(getattr(split, name)) for name in (*SEEN, *OUTSIDE)) == len(dataset)


@pytest.mark.parametrize("column", ["elements", "periodic_groups", "periods"])
def test_memberships_are_a_naive_count(flla: Dataset, column: str) -> None:
    some = flla.select(np.arange(0, len(flla), 13))
    found = memberships(some, column)
    for i, crystal in enumerate(some.crystals):
        assert {name for name, of in found.items() if of[i]} == values(crystal, column)


def test_a_column_of_one_value_is_its_labels_and_unknown_is_no_domain(flla: Dataset) -> None:
    some = flla.select(np.arange(30)).with_domains(laboratory=np.array(["A", "B", ""] * 10), elements=np.array(["mine", "yours"] * 15))
    assert set(memberships(some, "laboratory")) == {"A", "B"}
    np.testing.assert_array_equal(memberships(some, "laboratory")["A"], domain_labels(some, "laboratory") == "A")
    assert set(memberships(some, "elements")) == {"mine", "yours"}  # the data's own columns answer first


def test_an_unknown_column_names_those_of_several_values_too(flla: Dataset) -> None:
    with pytest.raises(ValueError, match="did you mean 'elements'"):
        memberships(flla, "element")


def test_sides_kept_apart_share_no_composition(flla: Dataset) -> None:
    some = flla.select(np.arange(800))
    plain, apart = (next(LeaveOut("crystal_system", only="cubic", apart=c)(some, jax.random.key(0))) for c in (None, "composition"))
    compositions = lambda split, names: {c for name in names for c in domain_labels(getattr(split, name), "composition")}
    assert compositions(plain, SEEN) & compositions(plain, OUTSIDE)
    assert not compositions(apart, SEEN) & compositions(apart, OUTSIDE)
    assert compositions(apart, SEEN) == compositions(plain, SEEN) - compositions(plain, OUTSIDE)
    assert {*apart.test_outside.ids, *apart.target.ids} == {*plain.test_outside.ids, *plain.target.ids}
