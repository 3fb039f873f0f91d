"""Point groups against counts, pymatgen and rotated crystals; real tensors of the Materials Project."""

import ast
import csv
import gzip
from itertools import product
from pathlib import Path

import jax
import numpy as np
import pytest
from pymatgen.core.elasticity.elastic import ElasticTensor
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.spatial.transform import Rotation

from matjax.data.elements import number
from matjax.thermo import (
    ELASTIC_CLASSES,
    born,
    crystal_class,
    independent_constants,
    point_group_rotations,
    rotate,
    standard_axes,
    symmetrise,
)
from matjax.thermo.elasticity.crystal_class import class_projector, class_rotations, projector, rotation_about
from matjax.types import Crystal

TENSORS = Path(__file__).parents[2] / "../shared/data/materials_project/elastic_tensor.csv.gz"
ORDER = {"cubic": 24, "hexagonal": 12, "trigonal": 6, "trigonal -3": 3, "tetragonal": 8, "tetragonal 4/m": 4}
ORDER |= {"orthorhombic": 4, "monoclinic": 2, "triclinic": 1}


def crystal(spacegroup: str, lattice: Lattice, species=("Si",), sites=((0.11, 0.23, 0.37),)) -> Crystal:
    """Any crystal of a space group: atoms on general positions."""
    made = Structure.from_spacegroup(spacegroup, lattice, list(species), [list(site) for site in sites])
    return Crystal(made.lattice.matrix, made.cart_coords, [site.specie.Z for site in made])


CRYSTALS = {
    "P1": ("triclinic", crystal("P1", Lattice([[5, 0.1, 0.2], [0.5, 5.5, 0], [1, 0.7, 6]]), ["Si", "Ge"], [[0, 0, 0], [0.2, 0.3, 0.1]])),
    "P2_1/c": ("monoclinic", crystal("P2_1/c", Lattice.from_parameters(5, 6, 7, 90, 105, 90))),
    "Pnma": ("orthorhombic", crystal("Pnma", Lattice.orthorhombic(5, 6, 8))),
    "I4/m": ("tetragonal 4/m", crystal("I4/m", Lattice.tetragonal(8, 6))),
    "P4_2/mnm": ("tetragonal", crystal("P4_2/mnm", Lattice.tetragonal(8, 6))),
    "R-3": ("trigonal -3", crystal("R-3", Lattice.hexagonal(8, 11))),
    "P3_221": ("trigonal", crystal("P3_221", Lattice.hexagonal(7, 9))),
    "P312": ("trigonal", crystal("P312", Lattice.hexagonal(7, 9))),
    "P6_3/mmc": ("hexagonal", crystal("P6_3/mmc", Lattice.hexagonal(3.2, 5.2), ["Mg"], [[1 / 3, 2 / 3, 1 / 4]])),
    "Pa-3": ("cubic", crystal("Pa-3", Lattice.cubic(7))),
    "Fm-3m": ("cubic", crystal("Fm-3m", Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])),
}


@pytest.fixture(scope="module")
def random():
    """Elastic constants without symmetry, stable."""
    noise = np.random.default_rng(0).normal(size=(6, 6))
    return np.diag([1.0, 1, 1, 0.5, 0.5, 0.5]) + 0.5 * np.outer([1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0]) + 0.06 * (noise + noise.T)


def turned(old: Crystal, q: np.ndarray) -> Crystal:
    return Crystal(old.lattice @ q.T, old.positions @ q.T, old.numbers)


@pytest.mark.parametrize("name", ELASTIC_CLASSES)
def test_a_class_has_its_rotations_and_as_many_constants_as_it_lists(name, random) -> None:
    assert len(class_rotations(name)) == ORDER[name]
    symmetric = np.zeros((36, 36))  # of the 36 components, onto those with C_ij = C_ji
    for i, j in product(range(6), repeat=2):
        symmetric[6 * i + j, 6 * i + j] += 0.5
        symmetric[6 * i + j, 6 * j + i] += 0.5
    assert np.linalg.matrix_rank(symmetric @ class_projector(name), tol=1e-9) == len(ELASTIC_CLASSES[name])
    # the listed constants determine the rest: among tensors of the class, none has all of them zero
    basis = np.linalg.svd(symmetric @ class_projector(name))[0][:, : len(ELASTIC_CLASSES[name])]
    listed = basis[[6 * (ij // 10 - 1) + ij % 10 - 1 for ij in ELASTIC_CLASSES[name]]]
    assert np.linalg.matrix_rank(listed, tol=1e-9) == len(ELASTIC_CLASSES[name])
    averaged = np.asarray(symmetrise(random, name))
    for c, value in independent_constants(random, name).items():
        assert float(value) == pytest.approx(averaged[int(c[1]) - 1, int(c[2]) - 1], abs=1e-14)


def test_rotation_is_pymatgens(random) -> None:
    for seed in range(3):
        q = Rotation.random(rng=seed).as_matrix()
        np.testing.assert_allclose(rotate(random, q), ElasticTensor.from_voigt(random).rotate(q, tol=1e-6).voigt, atol=1e-13)
        np.testing.assert_allclose(rotate(rotate(random, q), q.T), random, atol=1e-14)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # pymatgen's call of spglib
@pytest.mark.parametrize("group", CRYSTALS)
def test_rotations_are_those_of_the_crystal_in_any_orientation(group, random) -> None:
    name, given = CRYSTALS[group]
    q = Rotation.random(rng=3).as_matrix()
    for now in (given, turned(given, q)):
        assert crystal_class(now) == name
        found = point_group_rotations(now)
        np.testing.assert_allclose(found @ found.swapaxes(1, 2), np.broadcast_to(np.eye(3), found.shape), atol=1e-12)
        theirs = SpacegroupAnalyzer(Structure(now.lattice, now.numbers, now.positions, coords_are_cartesian=True), 0.01)
        operations = theirs.get_point_group_operations(cartesian=True)
        assert len(found) == len({tuple(np.round(o.rotation_matrix, 6).ravel() + 0.0) for o in operations})
        assert all(np.abs(found - o.rotation_matrix[None]).max((1, 2)).min() < 1e-6 for o in operations)
    before, after = point_group_rotations(given), point_group_rotations(turned(given, q))
    np.testing.assert_allclose(symmetrise(rotate(random, q), after), rotate(symmetrise(random, before), q), atol=1e-12)


@pytest.mark.parametrize("group", CRYSTALS)
def test_in_standard_axes_rotations_do_what_the_name_does(group, random) -> None:
    name, given = CRYSTALS[group]
    now = turned(given, Rotation.random(rng=4).as_matrix())
    standard = rotate(symmetrise(random, point_group_rotations(now)), standard_axes(now))
    np.testing.assert_allclose(standard, symmetrise(standard, name), atol=1e-10)
    assert np.linalg.det(standard_axes(now)) == pytest.approx(1)


def test_a_supercell_has_the_rotations_of_its_primitive_cell() -> None:
    _, cell = CRYSTALS["Fm-3m"]
    double = Crystal(
        cell.lattice * [[2], [1], [1]], np.concatenate([cell.positions, cell.positions + cell.lattice[0]]), np.tile(cell.numbers, 2)
    )
    assert len(point_group_rotations(double)) == 48


def test_projection_has_a_derivative_and_a_batch(random) -> None:
    q = point_group_rotations(CRYSTALS["P3_221"][1])
    many = np.stack([random, 2 * random, random.T])
    np.testing.assert_allclose(symmetrise(many, q)[1], 2 * np.asarray(symmetrise(random, q)), atol=1e-14)
    single = jax.jit(jax.grad(lambda c: symmetrise(c, q)[0, 3]))(random.astype(np.float32))
    assert single.dtype == np.float32 and np.all(np.isfinite(single))


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match="no group"):
        projector(rotation_about((0, 0, 1), 4)[None])
    with pytest.raises(ValueError, match="orthogonal"):
        projector(2 * np.eye(3)[None])
    with pytest.raises(ValueError, match="periodic"):
        crystal_class(Crystal(np.eye(3) * 4, np.zeros((1, 3)), [29], [True, True, False]))
    with pytest.raises(ValueError, match="overlap"):
        crystal_class(Crystal(np.eye(3) * 4, np.zeros((2, 3)), [29, 29]))


def published(n: int) -> list[tuple[Crystal, np.ndarray, int]]:
    """Crystals with the elastic constants (GPa) that were computed for them in the axes of their lattice, and their space groups."""
    if not TENSORS.exists():
        pytest.skip("the elastic tensors of de Jong et al. (2015) are not beside the repository")
    found = []
    with gzip.open(TENSORS, "rt") as lines:
        for row in csv.DictReader(line for line in lines if not line.startswith("#")):
            text = row["poscar"].split("\n")
            lattice = np.array([line.split()[:3] for line in text[2:5]], float) * float(text[1])
            counts = [int(n) for n in text[6].split()]
            numbers = np.repeat([number(s) for s in text[5].split()], counts)
            positions = np.array([line.split()[:3] for line in text[8 : 8 + sum(counts)]], float) @ lattice
            found.append(
                (Crystal(lattice, positions, numbers), np.array(ast.literal_eval(row["elastic_tensor_original"])), int(row["space_group"]))
            )
            if len(found) == n:
                break
    return found


def test_published_tensors_have_the_symmetry_of_their_crystals() -> None:
    change = []
    for crystal, elastic, _ in published(30):
        averaged = np.asarray(symmetrise(elastic, point_group_rotations(crystal)))
        change.append(np.linalg.norm(averaged - elastic) / np.linalg.norm(elastic))
        assert float(born(elastic)) > 0 and float(born(averaged)) > 0
        standard = rotate(averaged, standard_axes(crystal))
        np.testing.assert_allclose(standard, symmetrise(standard, crystal_class(crystal)), atol=1e-9 * np.abs(elastic).max())
    assert np.median(change) < 1e-3 and max(change) < 0.08
