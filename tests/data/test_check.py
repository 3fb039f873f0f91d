"""Impossible crystals and labels are named; sound ones pass; against brute force where there is geometry."""

import itertools
import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from matjax.data.check import check_labels, check_units, is_formation, label_problems, outliers, periodicity, problems
from matjax.data.convert import from_ase
from matjax.types import Crystal, Dataset, Metadata

COPPER = from_ase(bulk("Cu", cubic=True))
# Experimental formation enthalpies at 298 K in kJ per mole of atoms (CRC Handbook): NaCl, MgO, CaF2, Al2O3, NiAl, TiN, LaF3, CuO
ENTHALPIES = np.array([-205.6, -300.8, -409.3, -335.1, -59.2, -168.9, -424.9, -78.7])
KJ_PER_MOL = 0.010364269656262


def replaced(**arrays) -> Crystal:
    return Crystal(**({"lattice": COPPER.lattice, "positions": COPPER.positions, "numbers": COPPER.numbers, "pbc": COPPER.pbc} | arrays))


def shortest(crystal: Crystal) -> float:
    """Shortest distance over 5 x 5 x 5 images, one pair at a time."""
    images = [np.array(s) @ crystal.lattice for s in itertools.product(range(-2, 3), repeat=3)]
    return min(
        float(np.linalg.norm(b + image - a))
        for (i, a), (j, b) in itertools.product(enumerate(crystal.positions), repeat=2)
        for image in images
        if i != j or image.any()
    )


@pytest.mark.parametrize("seed", range(5))
def test_overlap_is_the_shortest_distance_over_all_images(seed):
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    atoms.rattle(0.4, seed=seed)
    atoms.set_cell(atoms.cell @ np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]]).T, scale_atoms=False)
    crystal = from_ase(atoms)
    distance = shortest(crystal)
    assert problems(crystal, min_distance=0.999 * distance) == []
    (line,) = problems(crystal, min_distance=1.001 * distance)
    assert f"{distance:.3f} Å" in line and "overlap" in line


def test_overlap_across_the_boundary_names_the_pair():
    position = np.array(COPPER.positions)
    position[2] = position[0] + COPPER.lattice[1] - [0.0, 0.2, 0.0]
    (line,) = problems(replaced(positions=position))
    assert "0 (Cu)" in line and "2 (Cu)" in line and "0.200" in line


def test_an_atom_may_overlap_its_own_image():
    (line,) = problems(Crystal(np.diag([0.4, 6.0, 6.0]), np.zeros((1, 3)), np.array([29])))
    assert "its own image" in line and "0.400" in line
    assert problems(Crystal(np.diag([0.4, 6.0, 6.0]), np.zeros((1, 3)), np.array([29]), np.array([False, True, True]))) == []


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"positions": np.where(np.arange(12).reshape(4, 3) == 7, np.nan, 1.0)}, "atom 2 has a NaN"),
        ({"positions": np.where(np.arange(12).reshape(4, 3) == 0, np.inf, 1.0)}, "atom 0 has a NaN or infinite"),
        ({"lattice": np.full((3, 3), np.nan)}, "lattice has NaN"),
        ({"numbers": np.array([29, 0, 29, 29])}, r"atom 1 has atomic number 0 \(dummy X\)"),
        ({"numbers": np.array([29, 29, 119, 29])}, "atom 2 has atomic number 119"),
        ({"numbers": np.array([29, 29, 29, -3])}, "atom 3 has atomic number -3"),
        ({"lattice": np.zeros((3, 3))}, "no volume"),
        ({"lattice": np.array([[3.6, 0, 0], [0, 3.6, 0], [3.6, 3.6, 0]])}, "no volume"),
        ({"lattice": np.diag([1e-4, 1e-4, 1e-4])}, "no volume"),
        ({"positions": np.zeros((0, 3)), "numbers": np.zeros(0)}, "no atoms"),
    ],
)
def test_impossible_crystals_are_named(arrays, expected):
    assert problems(COPPER) == []
    assert re.search(expected, "; ".join(problems(replaced(**arrays))))


def test_left_handed_lattice_is_legal():
    left = replaced(lattice=COPPER.lattice[[1, 0, 2]])
    assert np.linalg.det(left.lattice) < 0
    assert problems(left) == [] and left.volume == pytest.approx(COPPER.volume)


def test_a_million_atoms_are_refused_before_anything_is_listed():
    n_atom = 1_000_000
    crystal = Crystal(np.eye(3) * 1e-9, np.zeros((n_atom, 3)), np.full(n_atom, 29))  # a neighbour list of this would never end
    (line,) = problems(crystal)
    assert "1,000,000 atoms" in line and "max_atoms" in line
    assert "4 atoms are more than max_atoms=3" in problems(COPPER, max_atoms=3)[0]
    assert problems(COPPER, max_atoms=4) == []


def test_labels_of_one_crystal():
    forces = np.zeros((4, 3))
    assert label_problems(COPPER, {"energy": -14.8, "forces": forces, "stress": np.eye(3), "gap": None}) == []
    assert "energy is nan" in label_problems(COPPER, {"energy": np.nan})[0]
    assert "gap is -inf" in label_problems(COPPER, {"gap": -np.inf})[0]
    assert "forces has shape (3, 3); it must be (4, 3)" in label_problems(COPPER, {"forces": forces[:3]})[0]
    assert "stress has shape (6,)" in label_problems(COPPER, {"stress": np.zeros(6)})[0]
    assert "NaN or infinite in places" in label_problems(COPPER, {"forces": forces + np.nan})[0]
    assert "5e+03 eV/Å" in label_problems(COPPER, {"forces": forces - 5e3})[0]


def test_formation_energies_in_kj_per_mol_are_refused_with_what_to_pass():
    check_units("formation_energy_per_atom", ENTHALPIES * KJ_PER_MOL, "eV/atom")
    with pytest.raises(ValueError, match=r"looks like kJ/mol/atom \(then 2\.6.* eV/atom\).*Pass units=\{.*: 'kJ/mol/atom'\}"):
        check_units("formation_energy_per_atom", np.append(ENTHALPIES, np.nan), "eV/atom")


def test_formation_energies_in_mev_are_not_mistaken_for_kj_per_mol():
    with pytest.raises(ValueError, match=r"looks like meV/atom .*Pass units=\{'e_form': 'meV/atom'\}"):
        check_units("e_form", ENTHALPIES * KJ_PER_MOL * 1e3, "eV/atom")


def test_units_are_not_judged_by_one_outlier_nor_for_total_energies():
    check_units("e_form", np.append(ENTHALPIES * KJ_PER_MOL, 1e5), "eV/atom")
    check_units("energy", ENTHALPIES, "eV")
    check_units("energy_per_atom", ENTHALPIES, "eV/atom")  # all-electron totals are thousands of eV


def test_names_of_formation_energies():
    assert all(map(is_formation, ["formation_energy_per_atom", "e_form", "e_form_exp", "energy_above_hull", "e_above_hull"]))
    assert not any(map(is_formation, ["energy", "energy_per_atom", "formation_energy", "log_gvrh", "deformation", "gap_pbe"]))


def dataset(crystals, **labels) -> Dataset:
    ids = tuple(f"c{k}" for k in range(len(crystals)))
    return Dataset(tuple(crystals), ids, labels, metadata=Metadata("set", units={"e_form": "eV/atom", "energy": "eV"}))


def test_check_labels_names_the_crystal_and_accepts_absent_values():
    absent = np.full((4, 3), np.nan)
    check_labels(dataset([COPPER] * 2, energy=np.array([-14.8, np.nan]), forces=(np.zeros((4, 3)), absent)))
    with pytest.raises(ValueError, match="set: c1: forces"):
        check_labels(dataset([COPPER] * 2, forces=(np.zeros((4, 3)), np.zeros((2, 3)))))
    with pytest.raises(ValueError, match="c0: energy is inf"):
        check_labels(dataset([COPPER], energy=np.array([np.inf])))
    with pytest.raises(ValueError, match="looks like kJ/mol/atom"):
        check_labels(dataset([COPPER] * 8, e_form=ENTHALPIES))


def test_outliers_of_total_energies_are_judged_per_atom_and_composition():
    rng = np.random.default_rng(0)
    crystals, energies = [], []
    for k in range(60):
        atoms = bulk("Cu", cubic=True).repeat((1, 1, 1 + k % 3))
        atoms.numbers[rng.random(len(atoms)) < 0.5] = 79
        crystals.append(from_ase(atoms))
        energies.append(-3.7 * (atoms.numbers == 29).sum() - 3.3 * (atoms.numbers == 79).sum() + 0.01 * len(atoms) * rng.normal())
    assert outliers(dataset(crystals, energy=np.array(energies)), "energy").size == 0
    energies[17] += 2.0 * len(crystals[17])
    assert outliers(dataset(crystals, energy=np.array(energies)), "energy").tolist() == [17]


def test_outliers_of_a_property_are_sorted_and_ignore_absent_values():
    values = np.append(np.random.default_rng(1).normal(size=50), [1e3, np.nan, -1e4])
    assert outliers(dataset([COPPER] * 53, gap=values), "gap").tolist() == [52, 50]
    assert outliers(dataset([COPPER] * 3, gap=np.full(3, np.nan)), "gap").size == 0


def test_periodicity_is_noted():
    slab = from_ase(Atoms("Cu", cell=[3, 3, 20], pbc=[True, True, False]))
    assert periodicity((COPPER, COPPER)) == ""
    assert periodicity((COPPER, slab, slab)) == "mixed periodicity: 1 periodic in 3, 2 periodic in 2 directions"
    assert periodicity((slab,)) == "all periodic in 2 directions"
