"""Hygiene and bad input: twins across a split are those of a brute-force search, and what has no answer is refused."""

import dataclasses

import jax
import numpy as np
import pytest

from matjax.data import LeaveOut, PropertyTail, Random, Sizes, domain_labels, overlaps
from matjax.types import Crystal, Dataset

KEY = jax.random.key(0)
LABEL = "formation_energy_per_atom"


def test_twins_are_those_of_a_brute_force_search(flla: Dataset) -> None:
    split = next(Random(sizes=Sizes(max_train=500, max_test=120))(flla, KEY))
    seen = [(i, *names) for part in (split.train, split.validation, split.calibration) for i, *names in described(part)]
    for overlap in overlaps(split):
        tests = described(getattr(split, overlap.part))
        same = {"composition": lambda a, b: a[1] == b[1], "prototype": lambda a, b: a[2] == b[2], "structure": near}[overlap.kind]
        expected = {a[0]: {b[0] for b in seen if same(a, b)} for a in tests}
        assert dict(overlap.pairs).keys() == {name for name, twins in expected.items() if twins}
        assert all(twin in expected[name] for name, twin in overlap.pairs)
        assert overlap.n_part == len(tests)


def described(part: Dataset) -> list[tuple[str, str, str, str, float]]:
    columns = [domain_labels(part, column).tolist() for column in ("composition", "prototype", "space_group")]
    return list(zip(part.ids, *columns, [c.volume / len(c) for c in part.crystals], strict=True))


def near(a: tuple[str, str, str, str, float], b: tuple[str, str, str, str, float]) -> bool:
    return a[1] == b[1] and a[3] == b[3] and abs(b[4] / a[4] - 1) <= 0.05


def test_a_domain_of_one_crystal_is_refused(flla: Dataset) -> None:
    some = flla.select(np.arange(60)).with_domains(laboratory=np.array(["A"] * 59 + ["B"]))
    with pytest.raises(ValueError, match="min_size=50"):
        next(LeaveOut("laboratory", only="B")(some, KEY))
    with pytest.raises(ValueError, match="one error is no measurement"):
        next(LeaveOut("laboratory", only="B", min_size=1, sizes=Sizes(target=0.0))(some, KEY))


def test_a_column_without_a_domain_is_refused(flla: Dataset) -> None:
    some = flla.select(np.arange(60)).with_domains(laboratory=np.array([""] * 60))
    with pytest.raises(ValueError, match="no domain with 50 crystals"):
        next(LeaveOut("laboratory")(some, KEY))


def test_a_tail_of_labels_that_are_all_absent_is_refused(flla: Dataset) -> None:
    nothing = dataclasses.replace(flla, labels={LABEL: np.full(len(flla), np.nan)})
    with pytest.raises(ValueError, match="NaN for all 3938"):
        next(PropertyTail(LABEL)(nothing, KEY))


def test_an_empty_set_is_refused() -> None:
    crystal = Crystal(np.eye(3), np.zeros((1, 3)), np.array([3]))
    for shift in (Random(), LeaveOut("anion"), LeaveOut("elements")):
        with pytest.raises(ValueError, match="no domain|smaller parts|outside"):
            next(shift(Dataset((), ()), KEY))
        with pytest.raises(ValueError, match="no domain|smaller parts|outside"):
            next(shift(Dataset((crystal,), ("one",)), KEY))
