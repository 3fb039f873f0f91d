"""Shifts: what is held out is held out, parts are disjoint, sizes are honoured, the same key gives the same split."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matjax.data import LeaveElementOut, LeaveOut, PropertyTail, Random, Shift, Sizes, contains, domain_labels, elements, matched, overlaps
from matjax.types import Crystal, Dataset, Split

PARTS = ("train", "validation", "calibration", "test_inside", "test_outside", "target")
LABELLED_INSIDE = PARTS[:4]
KEY = jax.random.key(0)
SMALL = Sizes(max_train=300, max_test=100)
SHIFTS: list[Shift] = [
    Random(sizes=SMALL),
    LeaveOut("anion", only="nitride", sizes=SMALL),
    LeaveOut("crystal_system", only=("cubic", "triclinic"), sizes=SMALL),
    LeaveOut("n_elements", above=3.0, sizes=SMALL),
    LeaveElementOut(("Li", "Fe"), sizes=SMALL),
    PropertyTail("formation_energy_per_atom", side="low", sizes=SMALL),
]


def parts(split: Split) -> dict[str, Dataset]:
    return {name: getattr(split, name) for name in PARTS}


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Forty to eighty crystals of one to three of six elements."""
    n = draw(st.integers(40, 80))
    rows = draw(st.lists(st.lists(st.sampled_from([3, 8, 13, 26, 28, 29]), min_size=1, max_size=3), min_size=n, max_size=n))
    crystals = tuple(Crystal(np.eye(3) * 5, np.arange(3 * len(z)).reshape(-1, 3) * 0.7, np.array(z)) for z in rows)
    return Dataset(crystals, tuple(f"c{i}" for i in range(n)), {"energy": np.arange(n, dtype=float)})


@given(datasets(), st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_a_held_out_element_is_in_no_part_that_a_learner_sees(dataset: Dataset, seed: int) -> None:
    common = [s for s in ("Li", "O", "Al", "Fe", "Ni", "Cu") if 5 <= contains(dataset, s).sum() <= len(dataset) - 8]
    for split in LeaveElementOut(tuple(common), min_size=5)(dataset, jax.random.key(seed)) if common else ():
        z = elements.number(split.domain)
        for name in LABELLED_INSIDE:
            assert not any((crystal.numbers == z).any() for crystal in getattr(split, name).crystals)
        for name in ("test_outside", "target"):
            assert all((crystal.numbers == z).any() for crystal in getattr(split, name).crystals)


@given(st.integers(30, 200), st.floats(0.01, 0.25), st.floats(0.01, 0.25), st.integers(1, 6), st.floats(0.0, 0.5), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_parts_are_disjoint_and_cover_all_without_limits(
    n: int, validation: float, calibration: float, n_test: int, target: float, seed: int
) -> None:
    crystal = Crystal(np.eye(3), np.zeros((1, 3)), np.array([3]))
    dataset = Dataset((crystal,) * n, tuple(map(str, range(n))), {"energy": np.zeros(n)})
    sizes = Sizes(validation=validation, calibration=calibration, test_inside=float(n_test), target=target)
    split = next(Random(sizes=sizes)(dataset, jax.random.key(seed)))
    names = [name for part in parts(split).values() for name in part.ids]
    assert sorted(names) == sorted(dataset.ids)
    n_inside = n - round(0.2 * n)
    assert len(split.validation) == max(1, round(validation * n_inside))
    assert len(split.calibration) == max(1, round(calibration * n_inside))
    assert len(split.test_inside) == n_test


@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.describe())
def test_every_shift_keeps_its_promises(flla: Dataset, shift: Shift) -> None:
    splits, again = list(shift(flla, KEY)), list(shift(flla, KEY))
    other = list(shift(flla, jax.random.key(1)))
    for split, same, different in zip(splits, again, other, strict=True):
        names = [name for part in parts(split).values() for name in part.ids]
        assert len(names) == len(set(names))
        assert len(split.train) == 300
        assert all(0 < len(part) for part in parts(split).values())
        assert len(split.test_inside) == 100 and len(split.test_outside) <= 100
        assert all(part.ids == getattr(same, name).ids for name, part in parts(split).items())
        assert split.train.ids != different.train.ids
        assert not split.target.labels and split.train.labels


def test_a_learner_does_not_see_the_tests(flla: Dataset) -> None:
    split = next(SHIFTS[1](flla, KEY))
    visible = split.visible()
    assert not hasattr(visible, "test_inside") and not hasattr(visible, "test_outside")


def test_leave_out_holds_out_its_domain(flla: Dataset) -> None:
    for split in LeaveOut("crystal_system", min_size=600)(flla, KEY):
        assert all(split.domain not in domain_labels(getattr(split, name), "crystal_system") for name in LABELLED_INSIDE)
        assert set(domain_labels(split.test_outside, "crystal_system")) == {split.domain}


def test_leave_out_takes_every_large_domain_the_largest_first(flla: Dataset) -> None:
    domains = [split.domain for split in LeaveOut("anion", min_size=198)(flla, KEY)]
    assert domains == ["oxide", "intermetallic", "sulfide", "fluoride"]
    assert {split.shift for split in LeaveOut("anion", min_size=198)(flla, KEY)} == {"leave_out(anion)"}


def test_above_trains_at_most_there_and_tests_beyond(flla: Dataset) -> None:
    (split,) = LeaveOut("n_elements", above=3.0)(flla, KEY)
    assert split.domain == "n_elements > 3"
    assert max(len(np.unique(crystal.numbers)) for crystal in split.train.crystals) == 3
    assert min(len(np.unique(crystal.numbers)) for crystal in split.test_outside.crystals) == 4


def test_crystals_of_unknown_domain_take_no_part(flla: Dataset) -> None:
    some = flla.select(np.arange(300))
    laboratory = np.array(["A", "B", ""] * 100)
    for split in LeaveOut("laboratory")(some.with_domains(laboratory=laboratory), KEY):
        assert all("unknown" not in domain_labels(part, "laboratory") for part in parts(split).values())


@pytest.mark.parametrize("side", ["high", "low"])
def test_property_tail_is_a_tail(flla: Dataset, side: str) -> None:
    (split,) = PropertyTail("energy_above_hull", fraction=0.05, side=side, sizes=Sizes(target=0.0))(flla, KEY)
    inside = np.concatenate([getattr(split, name).labels["energy_above_hull"] for name in LABELLED_INSIDE])
    outside = split.test_outside.labels["energy_above_hull"]
    assert len(outside) == round(0.05 * len(flla))
    assert inside.max() <= outside.min() if side == "high" else outside.max() <= inside.min()


def test_property_tail_of_a_total_energy_counts_per_atom_and_skips_the_unlabelled() -> None:
    crystals = tuple(Crystal(np.eye(3) * 9, np.arange(3 * n).reshape(n, 3) * 0.5, np.full(n, 3)) for n in [1, 10] * 20)
    energy = np.array([-1.0, -5.0] * 20)  # -1.0 and -0.5 eV/atom
    energy[0] = np.nan
    dataset = Dataset(crystals, tuple(map(str, range(40))), {"energy": energy})
    (split,) = PropertyTail("energy", fraction=0.4, sizes=Sizes(target=0.0))(dataset, KEY)
    assert {len(crystal) for crystal in split.test_outside.crystals} == {10}
    assert all("0" not in part.ids for part in parts(split).values())


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        (LeaveOut("anion", only="nitrid"), "did you mean 'nitride'"),
        (LeaveOut("anion", only="hydride"), "min_size=50"),
        (LeaveOut("anion", min_size=2000), "lower min_size"),
        (LeaveOut("anion", above=2.0), "column of numbers"),
        (LeaveOut("n_elements", above=9.0), "min_size=50"),
        (LeaveElementOut("Xe"), "min_size=50"),
        (LeaveElementOut("Og", min_size=1), "no domain 'Og'"),
        (PropertyTail("formation_energy"), "did you mean 'formation_energy_per_atom'"),
        (Random(sizes=Sizes(validation=3000.0, calibration=400.0)), "smaller parts"),
        (LeaveOut("anion", only="nitride", sizes=Sizes(target=500.0)), "lower target"),
    ],
)
def test_what_cannot_be_split_is_refused_with_advice(flla: Dataset, shift: Shift, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(shift(flla, KEY))


def test_wrong_settings_are_refused_when_made() -> None:
    with pytest.raises(ValueError, match="Fe"):
        LeaveElementOut("fe")
    with pytest.raises(ValueError, match="give one"):
        LeaveOut("n_elements", only="3", above=3.0)
    with pytest.raises(ValueError, match="allowed: high, low"):
        PropertyTail("energy", side="top")
    for make in (
        lambda: Sizes(validation=-0.1),
        lambda: Sizes(max_train=0),
        lambda: Random(outside=1.0),
        lambda: PropertyTail("energy", 0.0),
    ):
        with pytest.raises(ValueError, match="no size|no share"):
            make()


def test_shifts_are_specs() -> None:
    assert LeaveOut("anion", only="nitride") == LeaveOut("anion", only="nitride")
    assert len({*SHIFTS, *SHIFTS}) == len(SHIFTS)
    leaves, structure = jax.tree.flatten(SHIFTS)
    assert jax.tree.unflatten(structure, leaves) == SHIFTS


@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.describe())
def test_matched_splits_the_outside_in_two_at_equal_training_size(flla: Dataset, shift: Shift) -> None:
    split = next(shift(flla, KEY))
    other = matched(split, KEY)
    joined = set(other.train.ids) & set(split.test_outside.ids)
    assert len(other.train) == len(split.train) == len(set(other.train.ids))
    assert joined and not joined & set(other.test_outside.ids)
    assert set(other.train.ids) - joined <= set(split.train.ids)
    assert set(other.test_outside.ids) < set(split.test_outside.ids)
    assert len(other.test_outside) == (len(split.test_outside) + 1) // 2
    assert other.validation is split.validation and other.calibration is split.calibration
    row = other.train.ids.index(sorted(joined)[0])
    assert other.train.labels["energy_above_hull"][row] == flla.labels["energy_above_hull"][flla.ids.index(other.train.ids[row])]
    assert matched(split, KEY).train.ids == other.train.ids


@given(st.integers(2, 30), st.integers(10, 100), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_matched_keeps_the_share_of_the_joined_half(n_outside: int, n_train: int, seed: int) -> None:
    crystal = Crystal(np.eye(3), np.zeros((1, 3)), np.array([3]))
    set_of = lambda letter, n: Dataset((crystal,) * n, tuple(f"{letter}{i}" for i in range(n)), {"energy": np.zeros(n)})
    empty = set_of("x", 0)
    split = Split("s", "d", set_of("a", n_train), empty, empty, empty, set_of("b", n_outside), empty)
    other = matched(split, jax.random.key(seed))
    n_joined = sum(name.startswith("b") for name in other.train.ids)
    assert len(other.train) == n_train
    assert n_joined + len(other.test_outside) <= n_outside
    assert n_joined <= n_outside // 2


def test_matched_needs_two_crystals_outside(flla: Dataset) -> None:
    split = next(Random(sizes=Sizes(max_test=1))(flla, KEY))
    with pytest.raises(ValueError, match="it needs 2"):
        matched(split, KEY)


def test_twins_across_a_split_are_counted_and_named(flla: Dataset) -> None:
    first = flla.select(np.arange(40))
    twins = Dataset(first.crystals, tuple(f"twin of {name}" for name in first.ids), first.labels, first.domains)
    empty = flla.select([])
    rest = flla.select(flla.domains["crystal_system"] == "cubic")
    split = Split("s", "d", first, empty, empty, twins, rest.select(contains(rest, "Xe")), empty)
    found = {(o.kind, o.part): o for o in overlaps(split)}
    assert [name for name, _ in found["structure", "test_inside"].pairs] == list(twins.ids)
    assert not found["composition", "test_outside"].pairs
    assert str(found["structure", "test_inside"]).startswith("40 of 40 crystals in test_inside share their structure")


def test_an_element_held_out_leaves_no_twin_outside(flla: Dataset) -> None:
    split = next(LeaveElementOut("Fe", sizes=SMALL)(flla, KEY))
    found = {(o.kind, o.part): o for o in overlaps(split)}
    assert not found["composition", "test_outside"].pairs and not found["structure", "test_outside"].pairs
    assert found["prototype", "test_outside"].pairs
