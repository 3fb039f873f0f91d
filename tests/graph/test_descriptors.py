"""Structure descriptors: their invariances."""

import numpy as np
from scipy.spatial.transform import Rotation

from matjax.graph.descriptors import structure_descriptors
from matjax.types import Crystal


def triclinic(seed=0, n_atom=4):
    rng = np.random.default_rng(seed)
    lattice = 4.0 * np.eye(3) + rng.normal(scale=0.4, size=(3, 3))
    return Crystal(lattice, rng.random((n_atom, 3)) @ lattice, np.array([26, 8, 8, 3])[:n_atom])


def test_descriptors_are_invariant():
    crystal = triclinic()
    expected = structure_descriptors(crystal)
    turn = Rotation.random(rng=1).as_matrix() * np.array([1, 1, -1])
    order = np.array([2, 0, 3, 1])
    images = (np.arange(2)[:, None, None] * crystal.lattice[0] + crystal.positions).reshape(-1, 3)
    same = {
        "rotation and inversion": Crystal(crystal.lattice @ turn, crystal.positions @ turn, crystal.numbers),
        "translation": Crystal(crystal.lattice, crystal.positions + 0.7, crystal.numbers),
        "permutation": Crystal(crystal.lattice, crystal.positions[order], crystal.numbers[order]),
        "choice of lattice": Crystal(np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ crystal.lattice, crystal.positions, crystal.numbers),
        "supercell": Crystal(crystal.lattice * np.array([[2], [1], [1]]), images, np.tile(crystal.numbers, 2)),
    }
    for law, other in same.items():
        np.testing.assert_allclose(structure_descriptors(other), expected, atol=1e-9, err_msg=law)
    assert np.abs(structure_descriptors(triclinic(1)) - expected).max() > 0.1


def test_anisotropy_knows_cubic_crystals():
    fcc = Crystal(2.0 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]]), np.zeros((1, 3)), np.array([29]))
    stretched = Crystal(fcc.lattice * np.array([1, 1, 1.2]), np.zeros((1, 3)), np.array([29]))
    np.testing.assert_allclose(structure_descriptors(fcc)[-4:], 0.0, atol=1e-12)
    assert np.abs(structure_descriptors(stretched)[-4:]).max() > 0.05
