"""Results as bytes: exact round trips, equal bytes, refusals."""

import dataclasses

import numpy as np
import pytest

from matjax.campaign import Emt, Recipe
from matjax.campaign.codec import decode, encode
from matjax.types import Crystal, Dataset, Metadata, Result

A = 3.8
CELL = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]) * A


def crystal(*numbers: int) -> Crystal:
    return Crystal(np.eye(3) * A, CELL[: len(numbers)], np.array(numbers))


def same_arrays(a, b) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def assert_same(a: Result, b: Result) -> None:
    for name in ("status", "labels", "evidence", "cost", "error"):
        assert repr(getattr(a, name)) == repr(getattr(b, name))  # repr, so that NaN is like NaN
    assert (a.crystal is None) == (b.crystal is None) and (a.frames is None) == (b.frames is None)
    assert (a.elastic is None) == (b.elastic is None)
    assert a.crystal is None or a.crystal.key == b.crystal.key
    assert a.elastic is None or same_arrays(a.elastic, b.elastic)
    if a.frames is not None:
        assert a.frames.key == b.frames.key and a.frames.metadata == b.frames.metadata
        assert a.frames.ids == b.frames.ids
        for name, column in a.frames.labels.items():
            other = b.frames.labels[name]
            assert type(column) is type(other)
            pairs = [(column, other)] if isinstance(column, np.ndarray) else zip(column, other, strict=True)
            assert all(same_arrays(*pair) for pair in pairs)
        for name, column in a.frames.domains.items():
            other = b.frames.domains[name]
            assert same_arrays(column, other) if column.dtype != object else (column == other).all() and other.dtype == object


def frames() -> Dataset:
    draw = np.random.default_rng(0)
    crystals = (crystal(29, 47, 79), crystal(29))
    return Dataset(
        crystals,
        ("a", "b"),
        {
            "energy": draw.normal(size=2),
            "forces": tuple(draw.normal(size=(len(c), 3)) for c in crystals),
            "stress": draw.normal(size=(2, 3, 3)),
        },
        {
            "lattice": np.array(["fcc", "hcp"]),
            "made": np.array(["here", "far"], object),
            "order": np.array([1, 3]),
            "share": np.array([0.1, np.nan]),
        },
        Metadata("é", {"energy": "eV"}, set_aside=(("x", "why"),)),
    )


@pytest.mark.parametrize(
    "result",
    [
        Result("failed", error="physical: it exploded: ü\n"),
        Result("unconverged", crystal(29, 47), {"energy_per_atom": np.nan, "volume_per_atom": np.inf}, evidence={"n_step": 3.0}, cost=0.1),
        Result(
            "converged", crystal(29), {"energy_per_atom": 0.1 + 0.2}, np.random.default_rng(1).normal(size=(6, 6)), frames(), {}, 1e-300
        ),
        Result("converged", crystal(29), frames=dataclasses.replace(frames(), domains={})),
        Result("converged", crystal(29), frames=frames().select([1])),
        Result("converged", crystal(29), frames=frames().select([])),
    ],
)
def test_round_trip_is_exact_and_bytes_are_equal(result):
    data = encode(result)
    assert_same(decode(data), result)
    assert encode(decode(data)) == data


def test_what_emt_measures_survives():
    (result,) = Emt(Recipe(n_copy=1)).measure([crystal(29, 29, 47, 79)], elastic=True, frames=True)
    assert result.converged and result.frames is not None
    assert_same(decode(encode(result)), result)


def test_labels_of_numpy_become_plain_numbers():
    (value,) = decode(encode(Result("converged", labels={"energy_per_atom": np.float32(0.1)}))).labels.values()
    assert type(value) is float and value == float(np.float32(0.1))


def test_damaged_or_foreign_bytes_are_refused():
    data = encode(Result("converged", crystal(29)))
    for bad in (b"", data[:-1], data[: len(data) // 2], b"\x00" * 200, b"not a result at all"):
        with pytest.raises(ValueError, match="hold no result"):
            decode(bad)


def test_what_is_no_result_is_refused():
    with pytest.raises(ValueError, match="a Result per crystal, not dict"):
        encode({"energy": 1.0})
