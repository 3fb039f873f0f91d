"""The nouns: what they refuse, what they guarantee."""

import dataclasses

import numpy as np
import pytest

from matjax.types import Crystal, Dataset, Prediction, Split

CUBE = 4.0 * np.eye(3)


def salt(shift=0.0):
    return Crystal(CUBE, np.array([[shift, 0.0, 0.0], [2.0, 2.0, 2.0]]), np.array([11, 17]))


def dataset(n=4):
    crystals = tuple(salt(0.1 * i) for i in range(n))
    labels = {"energy": np.arange(n, dtype=float), "forces": tuple(np.full((2, 3), float(i)) for i in range(n))}
    return Dataset(crystals, tuple(f"c{i}" for i in range(n)), labels, {"anion": np.array(["chloride"] * n)})


def test_crystal_casts_and_is_read_only():
    crystal = Crystal(CUBE.tolist(), [[0, 0, 0]], [6])  # type: ignore[arg-type]
    assert (crystal.lattice.dtype, crystal.positions.dtype, crystal.numbers.dtype, crystal.pbc.dtype) == (float, float, np.int32, bool)
    assert len(crystal) == 1 and crystal.pbc.all()
    with pytest.raises(ValueError, match="read-only"):
        crystal.positions[0, 0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        crystal.lattice = CUBE  # type: ignore[misc]


def test_crystal_does_not_alias_what_it_was_given():
    positions = np.zeros((1, 3))
    crystal = Crystal(CUBE, positions, np.array([6]))
    positions[0, 0] = 9.0
    assert crystal.positions[0, 0] == 0.0


@pytest.mark.parametrize(
    ("field", "value"), [("lattice", np.eye(2)), ("positions", np.zeros((3, 3))), ("numbers", np.array([[11, 17]])), ("pbc", [True])]
)
def test_crystal_refuses_wrong_shapes(field, value):
    with pytest.raises(ValueError, match=f"({field}|positions) of a crystal has shape"):
        dataclasses.replace(salt(), **{field: value})


def test_volume_is_positive_for_a_left_handed_cell():
    assert dataclasses.replace(salt(), lattice=CUBE[[1, 0, 2]]).volume == pytest.approx(64.0)


def test_key_is_the_content():
    assert salt().key == salt().key and len(salt().key) == 16
    others = [salt(1e-9), dataclasses.replace(salt(), pbc=[True, True, False]), dataclasses.replace(salt(), numbers=[17, 11])]
    assert len({salt().key, *(c.key for c in others)}) == 4


def test_dataset_refuses_ragged_columns_and_repeated_ids():
    data = dataset()
    with pytest.raises(ValueError, match="label 'energy' has 3 rows for 4 crystals"):
        dataclasses.replace(data, labels={"energy": np.zeros(3)})
    with pytest.raises(ValueError, match="domain column 'anion' has 1 rows"):
        data.with_domains(anion=np.array(["oxide"]))
    with pytest.raises(ValueError, match="3 ids for 4 crystals"):
        dataclasses.replace(data, ids=("a", "b", "c"))
    with pytest.raises(ValueError, match="id 'b' occurs twice"):
        dataclasses.replace(data, ids=("a", "b", "c", "b"))


def test_select_takes_rows_of_everything_in_order():
    data = dataset()
    part = data.select([2, 0])
    assert part.ids == ("c2", "c0") and [c.key for c in part.crystals] == [salt(0.2).key, salt(0.0).key]
    assert part.labels["energy"].tolist() == [2.0, 0.0] and [f[0, 0] for f in part.labels["forces"]] == [2.0, 0.0]
    assert data.select(np.array([False, True, False, True])).ids == ("c1", "c3")
    assert len(data.select([])) == 0


def test_dataset_key_knows_crystals_ids_and_labels():
    data = dataset()
    renamed = dataclasses.replace(data, ids=("c0", "c1", "c2", "x"))
    relabelled = dataclasses.replace(data, labels={**data.labels, "energy": data.labels["energy"] + 1e-9})
    assert dataset().key == data.key
    assert len({data.key, renamed.key, relabelled.key, data.select([1, 0, 2, 3]).key}) == 4


def test_visible_has_no_tests():
    data = dataset(6)
    split = Split("leave_out(anion)", "chloride", *(data.select([i]) for i in range(6)))
    visible = split.visible()
    assert [f.name for f in dataclasses.fields(visible)] == ["train", "validation", "calibration", "target"]
    seen = {i for part in (visible.train, visible.validation, visible.calibration, visible.target) for i in part.ids}
    assert seen.isdisjoint(split.test_inside.ids + split.test_outside.ids)


def test_prediction_is_its_samples():
    samples = np.array([[1.0, 2.0], [3.0, 6.0]])
    one, two = Prediction(samples[:1]), Prediction(samples, noise=np.array([1.0, 0.0]))
    assert len(two) == 2 and two.mean.tolist() == [2.0, 4.0]
    assert np.allclose(two.std, [2**0.5, 8**0.5]) and np.allclose(two.total_std, [3**0.5, 8**0.5])
    assert one.std.tolist() == one.total_std.tolist() == [0.0, 0.0]
