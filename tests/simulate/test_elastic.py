"""Elastic constants against published ones, finite differences of relaxed energies, symmetry, and a chain of springs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.simulate import cutoffs, eam_energy, edge_vectors, elastic_tensor, prototype, relax, stack, topology
from matjax.simulate.elastic import VOIGT
from matjax.types import Crystal
from matjax.units import PRESSURE

PUBLISHED = {"Cu": (29, 3.613, (171, 122, 77)), "Ni": (28, 3.52, (247, 147, 125)), "Al": (13, 4.05, (109, 61, 30))}


def fcc(numbers, a: float) -> Crystal:
    cell = prototype("fcc")
    return Crystal(np.eye(3) * a, cell.frac_coords * a, np.resize(numbers, 4))


def relaxed(crystal: Crystal, max_force: float = 1e-5):
    found = topology(crystal, cutoffs(), n_atom=8, n_edge=8 * 140)
    x = np.zeros((1, 8, 3))
    x[0, : len(crystal)] = crystal.positions
    rest = relax(eam_energy, x, crystal.lattice[None], stack([found]), max_force=max_force, max_stress=1e-7)
    assert rest.converged[0]
    return rest.positions[0], rest.lattice[0], found


tensor = jax.jit(elastic_tensor, static_argnums=(0, 4))


@pytest.mark.parametrize("symbol", PUBLISHED)
def test_cubic_metals_have_the_published_constants(symbol: str) -> None:
    number, a, expected = PUBLISHED[symbol]
    with jax.enable_x64(True):
        constants = np.asarray(tensor(eam_energy, *relaxed(fcc(number, a)), True)) / PRESSURE["GPa"]
    np.testing.assert_allclose(constants[[0, 0, 3], [0, 1, 3]], expected, atol=3)
    cubic = np.zeros((6, 6))
    cubic[:3, :3] = constants[0, 1]
    cubic += np.diag([constants[0, 0] - constants[0, 1]] * 3 + [constants[3, 3]] * 3)
    np.testing.assert_allclose(constants, cubic, atol=1e-6)


def test_atoms_that_follow_soften_as_finite_differences_of_relaxed_energies_say() -> None:
    crystal = fcc([13, 28, 29, 26], 3.75)  # no atom is at a centre of inversion of its neighbours' kinds after the rattle below
    crystal = Crystal(crystal.lattice * [1.0, 1.03, 0.98], crystal.positions, crystal.numbers[[0, 1, 1, 3]])
    double = Crystal(
        crystal.lattice * [[2.0], [1.0], [1.0]],
        np.concatenate([crystal.positions, crystal.positions + crystal.lattice[0]]),
        [13, 28, 28, 26, 29, 28, 13, 26],
    )
    with jax.enable_x64(True):
        positions, lattice, found = relaxed(double, 1e-6)
        constants = np.asarray(tensor(eam_energy, positions, lattice, found, True))
        clamped = np.asarray(tensor(eam_energy, positions, lattice, found, False))
        energy = np.zeros((6, 3))
        step = 2e-3
        for k, (i, j) in enumerate(VOIGT):
            strain = np.zeros((3, 3))
            strain[i, j] += 0.5
            strain[j, i] += 0.5
            deformed = [np.eye(3) + s * strain for s in (-step, 0.0, step)]
            x, l = (np.stack([np.asarray(a) @ d for d in deformed]) for a in (positions, lattice))
            rest = relax(eam_energy, x, l, stack([found] * 3), cell="fixed", max_force=1e-5, n_step=200)
            energy[k] = rest.energy
    volume = abs(np.linalg.det(np.asarray(lattice)))
    differences = (energy[:, 0] - 2 * energy[:, 1] + energy[:, 2]) / step**2 / volume
    np.testing.assert_allclose(np.diag(constants), differences, rtol=0.01, atol=2e-3)
    assert np.linalg.eigvalsh(clamped - constants).min() > -1e-6
    assert np.abs(clamped - constants).max() > 0.02 * np.abs(clamped).max()
    np.testing.assert_allclose(constants, constants.T)


def chain(positions, lattice, topology):
    """Springs along x of stiffness 1 and 3 by turns; across, atoms feel nothing."""
    vectors = edge_vectors(positions, lattice, topology)[:, 0]
    length = jnp.where(topology.mask, jnp.abs(vectors), 1.0)
    stiffness = jnp.where(
        positions[topology.receivers, 0] * jnp.sign(vectors) > positions[topology.senders, 0] * jnp.sign(vectors), 1.0, 3.0
    )
    return 0.25 * (stiffness * jnp.where(topology.mask, (length - 1.0) ** 2, 0.0)).sum()


def test_springs_in_a_row_add_their_compliances() -> None:
    crystal = Crystal(np.diag([2.0, 5.0, 5.0]), np.array([[0.0, 0, 0], [1.0, 0, 0]]), np.array([29, 29]))
    found = topology(crystal, 1.5)
    with jax.enable_x64(True):
        free, clamped = (np.asarray(tensor(chain, crystal.positions, crystal.lattice, found, f)) for f in (True, False))
    # springs 1 and 3 in series: stiffness 3/4 over length 2; carried along: both strained alike
    assert free[0, 0] == pytest.approx(0.75 * 2**2 / 50, rel=1e-6)
    assert clamped[0, 0] == pytest.approx((1 + 3) / 50, rel=1e-6)
    np.testing.assert_allclose(free[1:], 0, atol=1e-12)
