"""Conversion keeps the crystal: against ASE's and pymatgen's own distances and adaptors."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from pymatgen.core import DummySpecies, Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from matjax.data.check import problems
from matjax.data.convert import from_ase, from_pymatgen, to_ase, to_pymatgen
from matjax.types import Crystal


@pytest.fixture
def wurtzite() -> Atoms:
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    atoms.rattle(0.05, seed=1)
    return atoms


def test_ase_round_trip_keeps_every_array(wurtzite):
    crystal = from_ase(wurtzite)
    again = to_ase(crystal)
    assert np.array_equal(again.positions, wurtzite.positions) and np.array_equal(again.cell, wurtzite.cell)
    assert np.array_equal(again.numbers, wurtzite.numbers) and again.pbc.all()
    assert from_ase(again).key == crystal.key


def test_distances_agree_between_ase_and_pymatgen(wurtzite):
    ours = to_pymatgen(from_ase(wurtzite))
    assert np.allclose(ours.distance_matrix, wurtzite.get_all_distances(mic=True), atol=1e-9)
    adaptor = AseAtomsAdaptor.get_structure(wurtzite)
    assert np.allclose(from_pymatgen(adaptor).positions, adaptor.cart_coords)
    assert from_pymatgen(adaptor).numbers.tolist() == wurtzite.numbers.tolist()


def test_left_handed_lattice_survives_both(wurtzite):
    swapped = Crystal(np.asarray(wurtzite.cell)[[1, 0, 2]], wurtzite.positions, wurtzite.numbers)
    assert np.linalg.det(swapped.lattice) < 0 < swapped.volume
    assert np.allclose(from_pymatgen(to_pymatgen(swapped)).positions, swapped.positions)
    assert np.allclose(from_ase(to_ase(swapped)).lattice, swapped.lattice)
    assert swapped.volume == pytest.approx(wurtzite.get_volume())


def test_oxidation_states_are_dropped():
    structure = Structure(Lattice.cubic(4.2), ["Mg2+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert from_pymatgen(structure).numbers.tolist() == [12, 8]


def test_disordered_structure_is_refused_by_site():
    alloy = Structure(Lattice.cubic(3.5), [{"Cu": 0.5, "Ni": 0.5}], [[0, 0, 0]])
    with pytest.raises(ValueError, match="site 0 .* disordered .*Cu.*Ni"):
        from_pymatgen(alloy)
    vacancy = Structure(Lattice.cubic(3.5), ["Cu", {"Ni": 0.9}], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(ValueError, match="site 1 .* disordered"):
        from_pymatgen(vacancy)


def test_dummy_species_are_refused_by_pymatgen_and_named_after_ase():
    with pytest.raises(ValueError, match="dummy species X"):
        from_pymatgen(Structure(Lattice.cubic(3.5), [DummySpecies("X")], [[0, 0, 0]]))
    assert "dummy X" in problems(from_ase(Atoms("XCu", positions=[[0, 0, 0], [1.7, 1.7, 1.7]], cell=[3.5] * 3, pbc=True)))[0]


def test_zero_vectors_are_completed_only_where_not_periodic():
    water = from_ase(molecule("H2O"))
    assert water.volume == pytest.approx(1.0) and not water.pbc.any() and not problems(water)
    slab = fcc111("Cu", (1, 1, 3))
    completed = from_ase(slab)
    assert np.array_equal(completed.lattice[:2], np.asarray(slab.cell)[:2]) and abs(completed.lattice[2] @ completed.lattice[0]) < 1e-12
    assert not problems(completed)
    periodic = from_ase(Atoms("Cu", cell=np.zeros((3, 3)), pbc=True))
    assert periodic.volume == 0.0 and "no volume" in problems(periodic)[0]


def test_to_pymatgen_refuses_what_is_not_periodic():
    with pytest.raises(ValueError, match="periodic along a, b and c.*False.*use to_ase"):
        to_pymatgen(from_ase(fcc111("Cu", (1, 1, 3), vacuum=8.0)))
