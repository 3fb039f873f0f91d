"""Recipes: a stable key per shift and data; refused where either was changed; every shift comes back from its file."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from matjax.data import ForwardChaining, GroupFolds, LeaveElementOut, LeaveOut, PropertyTail, Random
from matjax.stress_test import LeaveClusterOut, SelectionShift, load_recipe, save_recipe, shift_key
from matjax.stress_test.baselines import CompositionRidge
from matjax.types import Dataset

LABEL = "formation_energy_per_atom"
SHIFTS = [
    Random(),
    LeaveOut("periodic_groups", only=("1", "2"), min_size=20),
    LeaveElementOut("O", min_size=20),
    GroupFolds("composition", k=3),
    ForwardChaining("year", k=2),
    LeaveClusterOut("composition", n_cluster=4, smallest=0.05, largest=0.5),
    PropertyTail(LABEL),
    SelectionShift(LABEL, selector=CompositionRidge()),
]


@pytest.fixture(scope="module")
def some(flla: Dataset) -> Dataset:
    few = flla.select(np.arange(300))
    return few.with_domains(year=np.arange(300) // 30 + 2000)


@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.describe())
def test_every_shift_comes_back_from_its_file(some: Dataset, shift: LeaveOut, tmp_path: Path) -> None:
    save_recipe(tmp_path / "recipe.json", shift, some, seed=3)
    back, seed = load_recipe(tmp_path / "recipe.json", some)
    assert back == shift and seed == 3 and shift_key(back, some) == shift_key(shift, some)
    content = json.loads((tmp_path / "recipe.json").read_text())
    splits = list(shift(some, jax.random.key(3)))
    assert [s["domain"] for s in content["splits"]] == [s.domain for s in splits]
    assert all(s["n"]["test_outside"] == len(split.test_outside) for s, split in zip(content["splits"], splits, strict=True))


def test_keys_tell_recipes_and_data_apart(some: Dataset) -> None:
    other = dataclasses.replace(some, labels={LABEL: some.labels[LABEL] + 1e-6})
    keys = {shift_key(shift, data) for shift in SHIFTS for data in (some, other)}
    assert len(keys) == 2 * len(SHIFTS)
    assert shift_key(Random(), some) == shift_key(Random(outside=0.2), some.select(np.arange(300)))


def test_what_was_changed_is_refused(some: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    save_recipe(path, LeaveOut("anion", only="oxide", min_size=20), some)
    with pytest.raises(ValueError, match=r"n=300.*n=299"):
        load_recipe(path, some.select(np.arange(299)))
    content = json.loads(path.read_text())
    for change, message in (
        ({"shift": {**content["shift"], "min_size": 30}}, "was changed"),
        ({"splits": [{**content["splits"][0], "key": "0" * 16}]}, r"gives another split \(oxide\)"),
        ({"splits": []}, "1 domains for 0"),
        ({"version": 9}, "version 9"),
    ):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(ValueError, match=message):
            load_recipe(path, some)
    path.write_text("{}")
    with pytest.raises(ValueError, match="no recipe"):
        load_recipe(path, some)
