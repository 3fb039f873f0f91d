"""Phonons against phonopy from the same force constants, closed forms, and the laws of crystals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from matjax.data.convert import from_ase
from matjax.graph import Shape
from matjax.simulate import cutoffs, eam_energy, hessian
from matjax.simulate.force_symmetry import operations
from matjax.simulate.phonons import (
    AMU,
    HBAR,
    ForceConstants,
    dynamical_matrix,
    force_constants,
    force_constants_by_displacement,
    force_constants_of_energy,
    frequencies,
    mesh_points,
    modes,
    to_terahertz,
)
from matjax.simulate.supercell import images, supercell, supercell_matrix
from matjax.types import Crystal

Q = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.5, 0.5, 0.0], [0.123, -0.31, 0.47], [0.021, 0.4, 0.2]])


def phonopy_frequencies(known, crystal, matrix, q):
    """phonopy's, in THz, from our force constants put into its order of the supercell's atoms."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(numbers=crystal.numbers, cell=crystal.lattice, positions=crystal.positions)
    phonon = Phonopy(cell, supercell_matrix=np.asarray(matrix).T, primitive_matrix=np.eye(3), is_symmetry=False)
    theirs, lattice = phonon.supercell.scaled_positions, np.asarray(phonon.supercell.cell)
    apart = theirs[:, None] - (supercell(crystal, matrix).positions @ np.linalg.inv(lattice))[None]
    phonon.force_constants = np.asarray(known.values)[:, np.abs((apart - np.rint(apart)) @ lattice).max(-1).argmin(1)]
    return np.array([phonon.run_qpoints([one]).frequencies[0] for one in q])


def titanium(order=(0, 1, 2)):
    atoms = bulk("Ti", "hcp")
    atoms.set_cell(np.asarray(atoms.cell)[list(order)], scale_atoms=False)
    return from_ase(atoms)


CASES = {
    "hcp": (titanium(), np.diag([3, 3, 2])),
    "left-handed": (titanium((1, 0, 2)), np.diag([3, 3, 2])),
    "two kinds, oblique supercell": (from_ase(bulk("NiAl", "cesiumchloride", a=2.9)), np.array([[2, 0, 1], [0, 3, 0], [0, 1, 2]])),
}


@functools.cache
def exact(name):
    """Force constants of a case; shared, since they are what takes time."""
    crystal, matrix = CASES[name]
    return force_constants_of_energy(eam_energy, crystal, matrix, cutoffs())


@pytest.mark.parametrize("name", CASES)
def test_frequencies_are_phonopys_from_the_same_force_constants(name):
    crystal, matrix = CASES[name]
    known = exact(name)
    ours = to_terahertz(frequencies(known, Q))
    np.testing.assert_allclose(ours, np.sort(phonopy_frequencies(known, crystal, matrix, Q)), atol=1e-4)
    assert known.drift < 1e-10 and known.source.startswith("exact")


def test_emt_copper_by_displacements_is_phonopys():
    crystal, matrix = from_ase(bulk("Cu", "fcc", 3.6)), 3 * np.eye(3, dtype=int)
    known = force_constants_by_displacement(EMT(), crystal, matrix)
    ours = to_terahertz(frequencies(known, Q))
    np.testing.assert_allclose(ours, np.sort(phonopy_frequencies(known, crystal, matrix, Q)), atol=1e-4)
    assert known.source.startswith("finite differences")


@pytest.mark.parametrize("name", ["hcp", "two kinds, oblique supercell"])
def test_symmetry_saves_displacements_and_changes_nothing(name):
    crystal, matrix = CASES[name]
    full = force_constants_of_energy(eam_energy, crystal, matrix, cutoffs(), symmetry=0)
    np.testing.assert_allclose(exact(name).values, full.values, atol=1e-12)
    assert len(operations(crystal, matrix, 1e-3).rotations) > 1


def test_exact_and_finite_differences_agree_to_the_square_of_the_step():
    crystal, matrix = from_ase(bulk("Cu", "fcc", 3.6)), 2 * np.eye(3, dtype=int)
    coarse, fine = (force_constants_by_displacement(EMT(), crystal, matrix, displacement=h, symmetry=0) for h in (0.02, 0.01))
    finest = force_constants_by_displacement(EMT(), crystal, matrix, displacement=0.001, symmetry=0)
    errors = [np.abs(one.values - finest.values).max() for one in (coarse, fine)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


def chain(spring, masses, a=3.0, n_cell=6):
    """Two atoms alternating on a line of equal springs, far from other lines: force constants along x."""
    lattice = np.diag([2 * a, 30.0, 30.0])
    crystal = Crystal(lattice, np.array([[0.0, 0, 0], [a, 0, 0]]), np.array([1, 1]))
    matrix = np.diag([n_cell, 1, 1])
    place = supercell(crystal, matrix).positions[:, 0]
    values = np.zeros((2, 2 * n_cell, 3, 3))
    for i in range(2):
        near = np.abs((place - i * a + n_cell * a) % (2 * n_cell * a) - n_cell * a)
        values[i, :, 0, 0] = np.where(near < 1e-6, 2 * spring, np.where(np.abs(near - a) < 1e-6, -spring, 0.0))
    return ForceConstants(values, np.array(masses), lattice, images(crystal, matrix), 0.0, "springs")


def test_the_diatomic_chain_has_its_closed_form():
    spring, masses = 4.0, (20.0, 35.0)
    turn = np.array([0.0, 0.1, 0.37, 0.5])
    known = chain(spring, masses)
    found = frequencies(known, np.stack([turn, 0 * turn, 0 * turn], -1))[:, -2:]
    total, product = sum(1 / m for m in masses), np.prod(masses)
    root = np.sqrt(total**2 - 4 * np.sin(np.pi * turn) ** 2 / product)
    squared = spring * np.stack([total - root, total + root], -1)
    np.testing.assert_allclose(found, HBAR * np.sqrt(np.abs(squared) / AMU), atol=1e-9)


def test_imaginary_modes_are_negative_and_counted():
    known = chain(-4.0, (20.0, 35.0))
    crystal = Crystal(known.lattice, np.array([[0.0, 0, 0], [3.0, 0, 0]]), np.array([1, 2]))
    found = modes(known, crystal, (4, 1, 1))
    assert found.lowest < 0 and found.n_imaginary > 0
    assert found.share_imaginary == pytest.approx((found.weights[:, None] * (found.frequencies < -4e-4)).sum() / 6)
    assert 0 < found.share_imaginary < 1


def test_the_mesh_is_the_full_one_reduced():
    crystal, known = CASES["hcp"][0], exact("hcp")
    q, weights = mesh_points(crystal, (3, 3, 2))
    full = np.stack(np.meshgrid(*(np.arange(n) / n for n in (3, 3, 2)), indexing="ij"), -1).reshape(-1, 3)
    assert len(q) < len(full) and weights.sum() == pytest.approx(1) and np.allclose(q[0], 0)
    for power in (1, 2, 4):
        reduced = weights @ (frequencies(known, q) ** power).mean(1)
        assert reduced == pytest.approx((frequencies(known, full) ** power).mean(), rel=1e-8)


def test_jax_force_constants_give_the_same_and_their_derivative():
    known = exact("two kinds, oblique supercell")
    with jax.enable_x64(True):
        trace = jax.jit(lambda values: jnp.sum(frequencies(known._replace(values=values), Q[3:]) ** 3))
        values = jnp.asarray(known.values)
        slope = jax.grad(trace)(values)
        direction = np.random.default_rng(0).normal(size=values.shape)
        step = 1e-4
        by_steps = (trace(values + step * direction) - trace(values - step * direction)) / (2 * step)
        assert float(jnp.sum(slope * direction)) == pytest.approx(float(by_steps), rel=1e-6)
        np.testing.assert_allclose(float(trace(values)), (frequencies(known, Q[3:]) ** 3).sum(), rtol=1e-10)


def test_dynamical_matrices_are_hermitian_and_periodic():
    known = exact("two kinds, oblique supercell")
    found = dynamical_matrix(known, Q)
    np.testing.assert_allclose(found, found.conj().swapaxes(1, 2), atol=1e-18)
    np.testing.assert_allclose(frequencies(known, Q + np.array([1.0, -2.0, 0.0])), frequencies(known, Q), atol=1e-9)


def test_a_supercell_keeps_density_and_the_wanted_distance():
    crystal = CASES["hcp"][0]
    matrix = supercell_matrix(crystal, 8.0)
    large = supercell(crystal, matrix)
    assert large.volume / len(large) == pytest.approx(crystal.volume / len(crystal))
    assert np.linalg.norm(large.lattice, axis=1).min() >= 8.0
    assert len(supercell(crystal, supercell_matrix(crystal, 30.0, max_atom=20))) <= 20


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.diag([1.5, 1, 1]), np.eye(2)])
def test_what_is_no_supercell_is_refused(matrix):
    with pytest.raises(ValueError, match="supercell matrix is"):
        supercell(CASES["hcp"][0], matrix)


def test_a_networks_force_constants_are_its_hessian(morse):
    predictor, crystal, matrix = morse.predictor(), from_ase(bulk("CuNi", "cesiumchloride", a=2.7)), np.diag([2, 2, 1])
    large, n_cell = supercell(crystal, matrix), 4
    with jax.enable_x64(True):
        full = hessian(predictor, large).transpose(0, 2, 1, 3)[::n_cell]
        known = force_constants(predictor, crystal, matrix)
        blocks = force_constants(predictor, crystal, matrix, symmetry=0, chunk=4, shape=Shape(24, 2048, 2))
    np.testing.assert_allclose(known.values, full, atol=1e-10)
    np.testing.assert_allclose(blocks.values, full, atol=1e-10)
    single = force_constants(predictor, crystal, matrix)
    np.testing.assert_allclose(single.values, full, atol=2e-4 * np.abs(full).max())
    assert known.drift < 1e-10 and np.abs(frequencies(known, Q[:1])[0, :3]).max() < 1e-6


def test_bad_settings_are_refused():
    crystal = CASES["hcp"][0]
    with pytest.raises(ValueError, match="displacement is 0"):
        force_constants_by_displacement(EMT(), crystal, np.eye(3, dtype=int), displacement=0)
    with pytest.raises(ValueError, match="length is"):
        supercell_matrix(crystal, 0.0)
    with pytest.raises(ValueError, match="potential is a trained predictor"):
        force_constants(None, crystal, np.eye(3, dtype=int))
