"""Prototypes against their space groups, ASE's builders and counting."""

import numpy as np
import pytest
from ase.build import bulk

from matjax.data.domains import space_group
from matjax.graph import neighbours
from matjax.simulate import COMPOUNDS, LATTICES, MULTI_ORBIT, prototype, representative_cell
from matjax.types import Crystal

SPACE_GROUPS = {
    "fcc": 225,
    "bcc": 229,
    "hcp": 194,
    "L1_0": 123,
    "L1_2": 221,
    "B2": 221,
    "D0_3": 225,
    "C1_b": 216,
    "L2_1": 225,
    "perovskite": 221,
}
NEIGHBOURS = {"fcc": 12, "bcc": 8, "hcp": 12}


def crystal(cell, scale: float = 1.0) -> Crystal:
    return Crystal(cell.vectors * scale, cell.frac_coords @ cell.vectors * scale, cell.orbit + 13)


@pytest.mark.parametrize("name", LATTICES + COMPOUNDS + MULTI_ORBIT)
def test_symmetry_is_that_of_the_structure(name: str) -> None:
    assert space_group(crystal(prototype(name), 2.5)) == SPACE_GROUPS[name]


@pytest.mark.parametrize("name", LATTICES + COMPOUNDS)
def test_the_unit_of_length_is_the_nearest_neighbour_distance(name: str) -> None:
    cell = prototype(name)
    _, receivers, vectors, *_ = neighbours(crystal(cell), 1.01)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-9)
    assert set(np.bincount(receivers)) == {NEIGHBOURS[cell.lattice]}


@pytest.mark.parametrize("name", MULTI_ORBIT)
def test_the_shortest_distance_of_three_sublattices_is_one(name: str) -> None:
    length = np.linalg.norm(neighbours(crystal(prototype(name)), 1.5)[2], axis=1)
    assert length.min() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("name", "n_atom"), [("fcc", 32), ("bcc", 54), ("hcp", 48)])
def test_representative_cells_repeat_their_lattice(name: str, n_atom: int) -> None:
    cell = representative_cell(name)
    assert len(cell) == n_atom
    assert cell.volume_per_atom == pytest.approx(prototype(name).volume_per_atom)
    receivers = neighbours(crystal(cell), 1.01).receivers
    assert set(np.bincount(receivers)) == {NEIGHBOURS[name]}


@pytest.mark.parametrize(("name", "kwargs"), [("fcc", {"a": 3.6}), ("bcc", {"a": 2.9}), ("hcp", {"a": 2.9, "c": 2.9 * np.sqrt(8 / 3)})])
def test_scale_gives_the_volume(name: str, kwargs: dict) -> None:
    atoms = bulk("X", name, **kwargs)
    scale = prototype(name).scale(atoms.get_volume() / len(atoms))
    assert scale == pytest.approx({"fcc": 3.6 / 2**0.5, "bcc": 2.9 * 0.75**0.5, "hcp": 2.9}[name])


def test_multiplicities_are_majority_first() -> None:
    found = {name: prototype(name).multiplicities for name in COMPOUNDS}
    assert found == {"L1_0": (2, 2), "L1_2": (3, 1), "B2": (1, 1), "D0_3": (12, 4)}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="known: fcc"):
        prototype("A15")
    with pytest.raises(ValueError, match="no representative cell"):
        representative_cell("B2")
