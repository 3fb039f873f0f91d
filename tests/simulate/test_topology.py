"""Topologies against the neighbour search of graphs, with padding and strained lattices."""

import numpy as np
import pytest

from matjax.graph import neighbours
from matjax.simulate import edge_vectors, stack, topology
from matjax.simulate.topology import PADDING
from matjax.types import Crystal

CRYSTAL = Crystal(
    np.array([[3.0, 0.2, 0.0], [0.3, 3.4, 0.1], [1.1, 0.0, 4.2]]),
    np.array([[0.1, 0.2, 0.3], [1.9, 1.4, 2.2], [7.0, -3.0, 1.0]]),
    np.array([13, 28, 29]),
)


def as_set(senders, receivers, vectors):
    rows = np.column_stack([senders, receivers, np.round(vectors, 4) + 0.0])
    return rows[np.lexsort(rows.T)]


def test_vectors_are_those_of_the_neighbour_search() -> None:
    senders, receivers, vectors, *_ = neighbours(CRYSTAL, 4.5)
    found = topology(CRYSTAL, 4.5, n_edge=4 * 60, n_atom=4)
    positions = np.concatenate([CRYSTAL.positions, [[np.nan] * 3]]).astype("float32")
    moved = np.asarray(edge_vectors(positions, CRYSTAL.lattice.astype("float32"), found))
    assert found.mask.sum() == len(senders) > 60
    assert np.all(np.diff(found.receivers) >= 0)
    ours = as_set(found.senders[found.mask], found.receivers[found.mask], moved[found.mask])
    np.testing.assert_allclose(ours, as_set(senders, receivers, vectors), atol=2e-4)
    np.testing.assert_allclose(np.linalg.norm(moved[~found.mask], axis=1), PADDING)
    assert found.numbers.tolist() == [13, 28, 29, 0]


def test_vectors_follow_positions_and_lattice() -> None:
    deformation = np.eye(3) + 0.01 * np.arange(9).reshape(3, 3)
    found = topology(CRYSTAL, 4.0)
    before = np.asarray(edge_vectors(CRYSTAL.positions.astype("float32"), CRYSTAL.lattice.astype("float32"), found))
    after = edge_vectors((CRYSTAL.positions @ deformation).astype("float32"), (CRYSTAL.lattice @ deformation).astype("float32"), found)
    np.testing.assert_allclose(np.asarray(after)[found.mask], before[found.mask] @ deformation, atol=1e-5)


def test_cutoffs_by_pair_keep_only_their_pairs() -> None:
    table = np.zeros((119, 119))
    table[28, 29] = table[29, 28] = 4.5
    found = topology(CRYSTAL, table)
    pairs = set(zip(found.numbers[found.senders[found.mask]], found.numbers[found.receivers[found.mask]], strict=True))
    assert pairs == {(28, 29), (29, 28)}
    receivers = neighbours(CRYSTAL, 4.5).receivers
    assert found.mask.sum() < len(receivers)


def test_stacks_have_a_leading_axis() -> None:
    found = topology(CRYSTAL, 4.0)
    assert stack([found, found]).images.shape == (2, *found.images.shape)


def test_what_does_not_fit_or_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit 3 atoms and 12 edges"):
        topology(CRYSTAL, 4.5, n_edge=12)
    with pytest.raises(ValueError, match="do not fit 2 atoms"):
        topology(CRYSTAL, 4.5, n_atom=2)
    with pytest.raises(ValueError, match="must be positive"):
        topology(CRYSTAL, 0.0)
