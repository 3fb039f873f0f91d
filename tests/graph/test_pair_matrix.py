"""Pair matrices: no crystal is cut, every pair has its entry, and what has no room says so."""

import jax
import numpy as np
import pytest

from matjax.graph import pack, shape_for, to_graphs
from matjax.graph.pair_matrix import blocks_needed, enough_blocks, first_fit, pair_matrix
from matjax.testing.crystals import random_crystal

CUTOFF = 4.0
SIZES = ((8, 22, 26), (8,), (22, 26, 16, 8, 3), (26, 8))


def _batch():
    random = np.random.default_rng(0)
    graphs = to_graphs([random_crystal(random, numbers) for numbers in SIZES], cutoff=CUTOFF)
    return pack(graphs, shape_for(graphs, 6), cutoff=CUTOFF)


@pytest.mark.parametrize("paired", [True, False])
def test_a_sum_over_entries_is_the_sum_over_images(paired: bool) -> None:
    """Oracle: sums of a function of the edge over receivers and senders, one crystal after another, in NumPy."""
    batch = _batch()
    if not paired:
        batch = batch._replace(edges=batch.edges._replace(pair=None, first=None))
    width, n_block = 6, 3
    layout = jax.jit(pair_matrix, static_argnums=(1, 2))(batch, width, n_block)
    value = np.linalg.norm(batch.edges.vectors, axis=1)
    n_entry = n_block * width**2
    matrix = np.zeros(n_entry + 1)
    np.add.at(matrix, np.asarray(layout.entry), layout.share * value[layout.edge])
    matrix = matrix[:-1].reshape(n_block, width, width)
    matrix += matrix.swapaxes(1, 2)
    real = batch.nodes.mask[batch.receivers]
    expected = np.zeros((len(batch.nodes.mask),) * 2)
    np.add.at(expected, (batch.receivers[real], batch.senders[real]), value[real])
    row = np.asarray(layout.row)
    for i, j in np.argwhere(batch.nodes.mask[:, None] & batch.nodes.mask[None, :]):
        (block, to), (other, by) = divmod(row[i], width), divmod(row[j], width)
        found = matrix[block, to, by] if block == other else 0.0
        np.testing.assert_allclose(found, expected[i, j], rtol=1e-5)
    np.testing.assert_allclose(matrix.sum(), expected.sum(), rtol=1e-5)
    assert layout.fits[batch.globals.mask].all()


@pytest.mark.parametrize("seed", range(3))
def test_blocks_are_never_overfull_and_never_cut_a_crystal(seed: int) -> None:
    random = np.random.default_rng(seed)
    width = 32
    for _ in range(20):
        n_atom = random.integers(1, width + 1, 12).astype(np.int32)
        n_block = blocks_needed([n_atom], width)
        assert n_block <= enough_blocks(int(n_atom.sum()), len(n_atom), width)
        start = np.asarray(first_fit(n_atom, width, n_block))
        taken = np.concatenate([s + np.arange(n) for s, n in zip(start, n_atom, strict=True)])
        assert len(set(taken.tolist())) == n_atom.sum() and taken.max() < n_block * width
        assert (start // width == (start + n_atom - 1) // width).all()


def test_what_has_no_room_is_named() -> None:
    n_atom = np.array([6, 9, 6, 3], np.int32)
    np.testing.assert_array_equal(first_fit(n_atom, 8, 2), [0, 16, 8, 16])  # nine atoms are too many; the three find two and two free
    with pytest.raises(ValueError, match="crystal of 9 atoms does not fit blocks of 8"):
        blocks_needed([n_atom], 8)
    assert blocks_needed([[6, 6, 3], [2, 2, 2]], 8) == 3


def test_padding_has_neither_row_nor_entry() -> None:
    batch = _batch()
    layout = pair_matrix(batch, 8, 3)
    assert (np.asarray(layout.row)[~batch.nodes.mask] == 24).all()
    padding = ~batch.nodes.mask[batch.receivers[np.asarray(layout.edge)]]
    assert padding.any() and (np.asarray(layout.entry)[padding] == 3 * 64).all()


def test_padding_finds_room_in_a_full_block() -> None:
    n_atom = sum(map(len, SIZES))
    assert pair_matrix(_batch(), n_atom, 1).fits.all()
    assert not pair_matrix(_batch(), n_atom - 1, 1).fits.all()
