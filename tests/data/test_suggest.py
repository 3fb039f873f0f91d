"""Suggested shifts on real sets: compounds, alloys, and sets in which nothing differs."""

from pathlib import Path

import jax
import numpy as np
import pytest

from matjax.data import LeaveElementOut, LeaveOut, PropertyTail, Random, Sizes, load, suggest_shifts
from matjax.types import Crystal, Dataset

KEY = jax.random.key(0)


def test_compounds_lose_an_anion_a_crystal_system_and_an_element(flla: Dataset) -> None:
    sizes = Sizes(max_train=500)
    shifts, reason = suggest_shifts(flla, sizes)
    assert shifts == [
        Random(sizes=sizes),
        LeaveOut("anion", only="nitride", min_size=20, sizes=sizes),
        LeaveOut("crystal_system", only="cubic", min_size=20, sizes=sizes),
        LeaveElementOut("Cu", min_size=20, sizes=sizes),
    ]
    assert "nitride (177) held out" in reason and "cubic (659)" in reason


def test_alloys_lose_the_crystals_of_most_elements(shared_data: Path) -> None:
    dataset = load(shared_data / "nbmotaw" / "nbmotaw_pbe.extxyz.gz")
    shifts, reason = suggest_shifts(dataset)
    assert LeaveOut("n_elements", above=2.0, min_size=10) in shifts
    assert "16 of more held out" in reason
    (split,) = LeaveOut("n_elements", above=2.0, min_size=10)(dataset, KEY)
    assert {len(np.unique(crystal.numbers)) for crystal in split.test_outside.crystals} == {4}
    assert not any(isinstance(shift, LeaveOut) and shift.column == "crystal_system" for shift in shifts)


@pytest.mark.parametrize("n", [40, 400])
def test_what_is_suggested_can_be_done(flla: Dataset, n: int) -> None:
    some = flla.select(np.arange(n))
    shifts, reason = suggest_shifts(some)
    assert isinstance(shifts[0], Random) and reason.startswith("random")
    for shift in shifts:
        assert len(next(iter(shift(some, KEY))).train) > 0


def test_a_metadata_column_of_few_groups_is_used_and_an_identifier_is_not(flla: Dataset) -> None:
    some = flla.select(np.arange(100)).with_domains(source=np.array(["A", "A", "A", "B"] * 25), serial=np.arange(100))
    columns = [shift.column for shift in suggest_shifts(some)[0] if isinstance(shift, LeaveOut)]
    assert "source" in columns and "serial" not in columns


def test_where_nothing_differs_the_tail_is_left() -> None:
    crystal = Crystal(np.eye(3) * 3, np.zeros((1, 3)), np.array([74]))
    dataset = Dataset((crystal,) * 60, tuple(map(str, range(60))), {"energy": np.arange(60.0), "forces": (np.zeros((1, 3)),) * 60})
    shifts, reason = suggest_shifts(dataset)
    assert shifts == [Random(), PropertyTail("energy")]
    assert "no domains" in reason
