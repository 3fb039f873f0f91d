"""Neighbours against brute force over images and against ASE, on cells of every kind."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from matjax.graph import neighbours
from matjax.types import Crystal, Dataset

CUTOFF = 4.0


def as_set(senders, receivers, vectors):
    """Rows (sender, receiver, vector) in an order of their own."""
    rows = np.column_stack([senders, receivers, np.round(vectors, 6) + 0.0])
    return rows[np.lexsort(np.round(rows.T, 4)[::-1])]


def brute_force(crystal: Crystal, cutoff: float):
    """Every pair over as many images as the cutoff can reach (27 at the least)."""
    heights = crystal.volume / np.linalg.norm(np.cross(crystal.lattice[[1, 2, 0]], crystal.lattice[[2, 0, 1]]), axis=1)
    frac = crystal.positions @ np.linalg.inv(crystal.lattice)
    reach = np.where(crystal.pbc, np.ceil(cutoff / heights + np.ptp(frac, axis=0)).astype(int) + 1, 0)
    found = []
    for image in np.ndindex(*(2 * reach + 1)):
        shift = (np.array(image) - reach) @ crystal.lattice
        for i in range(len(crystal)):
            for j in range(len(crystal)):
                vector = crystal.positions[i] - crystal.positions[j] + shift
                if 1e-9 < np.linalg.norm(vector) < cutoff:
                    found.append((j, i, *vector))
    rows = np.array(found).reshape(-1, 5)
    return rows[:, 0], rows[:, 1], rows[:, 2:]


PRIMITIVE = np.array([[0.0, 1.8, 1.8], [1.8, 0.0, 1.8], [1.8, 1.8, 0.0]])
SKEW = np.array([[1, 0, 0], [3, 1, 0], [-2, 2, 1]])
CELLS = {
    "one atom, many images": Crystal(PRIMITIVE, np.zeros((1, 3)), np.array([29])),
    "two atoms": Crystal(1.5 * PRIMITIVE, np.array([[0.0, 0, 0], [1.35, 1.35, 1.35]]), np.array([11, 17])),
    "left-handed": Crystal(PRIMITIVE[[1, 0, 2]], np.zeros((1, 3)), np.array([29])),
    "skewed": Crystal(SKEW @ PRIMITIVE, np.zeros((1, 3)), np.array([29])),
    "outside its cell": Crystal(3 * np.eye(3), np.array([[7.0, -5.0, 0.5], [0.2, 0.1, -8.0]]), np.array([26, 8])),
    "a slab": Crystal(
        np.diag([3.0, 3.1, 20.0]), np.array([[0, 0, 1.0], [1.5, 1.5, 3.0]]), np.array([26, 8]), np.array([True, True, False])
    ),
    "a wire": Crystal(np.diag([3.0, 9.0, 9.0]), np.array([[0, 0, 0.0], [1, 1, 8.5]]), np.array([26, 8]), np.array([True, False, False])),
    "a molecule": Crystal(2 * np.eye(3), np.array([[0, 0, 0.0], [0, 0, 3.5]]), np.array([26, 8]), np.zeros(3, bool)),
}


@pytest.mark.parametrize("crystal", CELLS.values(), ids=CELLS)
def test_every_image_is_found(crystal: Crystal) -> None:
    found, expected = neighbours(crystal, CUTOFF)[:3], brute_force(crystal, CUTOFF)
    assert len(found[0]) == len(expected[0]) > 0
    np.testing.assert_allclose(as_set(*found), as_set(*expected), atol=1e-5)


def test_fcc_shells_count_twelve_and_six() -> None:
    lengths = np.linalg.norm(neighbours(CELLS["one atom, many images"], CUTOFF).vectors, axis=1)
    np.testing.assert_allclose(np.sort(lengths), [3.6 / np.sqrt(2)] * 12 + [3.6] * 6)


def test_agrees_with_ase_on_real_crystals(flla: Dataset) -> None:
    sizes = np.array([len(c) for c in flla.crystals])
    rows = [i for n in (1, 2, 3, 4, 8) for i in np.flatnonzero(sizes == n)[:4]]
    for crystal in (flla.crystals[i] for i in rows):
        atoms = Atoms(crystal.numbers, crystal.positions, cell=crystal.lattice, pbc=crystal.pbc)
        i, j, vector = neighbor_list("ijD", atoms, CUTOFF, self_interaction=False)
        np.testing.assert_allclose(as_set(*neighbours(crystal, CUTOFF)[:3]), as_set(j, i, -vector), atol=2e-5)


def test_edges_are_sorted_and_come_in_pairs(flla: Dataset) -> None:
    senders, receivers, vectors, *_ = neighbours(flla.crystals[7], CUTOFF)
    assert senders.dtype == receivers.dtype == np.int32
    assert (np.diff(receivers) >= 0).all()
    np.testing.assert_allclose(as_set(senders, receivers, vectors), as_set(receivers, senders, -vectors), atol=1e-5)


@pytest.mark.parametrize("crystal", CELLS.values(), ids=CELLS)
def test_a_pair_is_an_edge_and_its_mirror_image(crystal: Crystal) -> None:
    found = neighbours(crystal, CUTOFF)
    n_pair = len(found.first)
    assert found.pair.dtype == found.first.dtype == np.int32
    np.testing.assert_array_equal(np.bincount(found.pair, minlength=n_pair), np.full(n_pair, 2))
    np.testing.assert_array_equal(found.pair[found.first], np.arange(n_pair))
    second = np.setdiff1d(np.arange(2 * n_pair), found.first)
    first = found.first[found.pair[second]]
    np.testing.assert_array_equal(found.vectors[second], -found.vectors[first])
    np.testing.assert_array_equal(found.senders[second], found.receivers[first])
    np.testing.assert_array_equal(found.receivers[second], found.senders[first])


def test_an_atom_pairs_with_its_own_images() -> None:
    found = neighbours(CELLS["one atom, many images"], CUTOFF)
    assert len(found.first) == 9 and not found.senders.any() and not found.receivers.any()
    images = found.vectors[found.first]
    both = np.concatenate([images, -images])
    assert len(np.unique(both.round(6) + 0.0, axis=0)) == 18, "an image and its mirror image are one pair, not two"


def test_no_neighbours_is_an_answer() -> None:
    found = neighbours(Crystal(9 * np.eye(3), np.zeros((1, 3)), np.array([18])), CUTOFF)
    assert [len(x) for x in found] == [0] * 5 and found.vectors.shape == (0, 3)


def test_single_precision_rounds_and_changes_nothing_else(flla: Dataset) -> None:
    double, single = (neighbours(flla.crystals[7], CUTOFF, dtype) for dtype in (np.float64, np.float32))
    assert single.vectors.dtype == np.float32
    for a, b in zip(double, single, strict=True):
        np.testing.assert_array_equal(a.astype(b.dtype), b)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan])
def test_a_cutoff_that_is_not_positive_is_refused(cutoff: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        neighbours(CELLS["two atoms"], cutoff)
