import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo.order.pair_approximation import pair_approximation
from matjax.thermo.order.tetrahedron import tetrahedron_approximation, tetrahedron_energies
from matjax.units import BOLTZMANN

J = 0.03  # eV
ENERGIES = np.asarray(tetrahedron_energies(np.array([[J, -J], [-J, J]])))
L1_0 = np.array([[0.99, 0.01]] * 2 + [[0.01, 0.99]] * 2)
L1_2 = np.array([[0.01, 0.99]] + [[0.99, 0.01]] * 3)


def ordered_minus_disordered(x: float, start: np.ndarray, reduced: float) -> float:
    """Free energies at kT / J, in eV/atom."""
    run = lambda start: tetrahedron_approximation([x, 1 - x], ENERGIES, reduced * J / BOLTZMANN, start)
    ordered, disordered = run(start), run(None)
    assert float(ordered.residual) < 1e-10 and float(disordered.residual) < 1e-10
    return float(ordered.free_energy - disordered.free_energy)


def test_equiatomic_order_melts_at_the_published_temperature():
    # L1_0 of nearest neighbours: kT/J = 1.893 in the tetrahedron approximation (1.74 by Monte Carlo), and a first-order transition.
    assert ordered_minus_disordered(0.5, L1_0, 1.892) < 0 < ordered_minus_disordered(0.5, L1_0, 1.895)


def test_at_three_to_one_l1_2_wins_over_l1_0_and_disorder():
    temperature = 1.8 * J / BOLTZMANN
    three = tetrahedron_approximation([0.75, 0.25], ENERGIES, temperature, L1_2)
    assert ordered_minus_disordered(0.75, L1_2, 1.8) < 0
    np.testing.assert_allclose(np.asarray(three.sublattices).mean(0), [0.75, 0.25], atol=1e-10)
    assert float(three.sublattices[0, 1]) > 0.9 and np.ptp(np.asarray(three.sublattices)[1:], axis=0).max() < 1e-9


def test_perfect_order_at_low_temperature():
    found = tetrahedron_approximation([0.5, 0.5], ENERGIES, 0.8 * J / BOLTZMANN, L1_0)
    assert float(found.free_energy) == pytest.approx(-2 * J, rel=1e-4)  # of 6 bonds per atom 4 are unlike, 2 alike


def test_high_temperature_is_random_then_pairs():
    x, bonds = np.array([0.3, 0.2, 0.5]), np.array([[0.02, -0.05, 0.01], [-0.05, 0.0, 0.03], [0.01, 0.03, -0.02]])
    pairs = lambda t: pair_approximation(x, bonds, 12, t)
    whole = lambda t: tetrahedron_approximation(x, np.asarray(tetrahedron_energies(bonds)), t)
    far, near = (float(abs(whole(t).free_energy - pairs(t).free_energy)) for t in (20_000.0, 5_000.0))
    assert far < 2e-5 and far < near / 10  # triangles come in at third order in bonds / kT, by T: 1 / T²
    np.testing.assert_allclose(whole(2e5).warren_cowley, pairs(2e5).warren_cowley, atol=1e-4)


def test_slopes_are_finite_differences_and_potentials():
    with jax.enable_x64(True):
        bonds = np.random.default_rng(0).normal(0, 0.02, (3, 3))
        energies = jnp.asarray(tetrahedron_energies(bonds + bonds.T))
        other = jnp.asarray(np.random.default_rng(1).normal(size=energies.shape))
        x, d = jnp.array([0.3, 0.2, 0.5]), jnp.array([1.0, -0.4, -0.6])
        free = jax.jit(lambda x, strength, t: tetrahedron_approximation(x, energies + strength * other, t).free_energy)
        slopes = jax.grad(free, (0, 1, 2))(x, 0.0, 900.0)
        step = 1e-4
        difference = (free(x + step * d, 0.0, 900.0) - free(x - step * d, 0.0, 900.0)) / (2 * step)
        np.testing.assert_allclose(slopes[0] @ d, difference, rtol=1e-6)
        np.testing.assert_allclose(slopes[1], (free(x, 1e-4, 900.0) - free(x, -1e-4, 900.0)) / 2e-4, rtol=1e-5)
        np.testing.assert_allclose(slopes[2], (free(x, 0.0, 900.5) - free(x, 0.0, 899.5)), rtol=1e-5)
        found = tetrahedron_approximation(x, energies, 900.0)
        np.testing.assert_allclose(found.chemical_potentials @ x, found.free_energy, atol=1e-14)
        np.testing.assert_allclose(found.chemical_potentials @ d, slopes[0] @ d, atol=1e-12)


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="vmap"):
        tetrahedron_approximation([0.5, 0.5], np.zeros((2, 2)), 300.0)
    with pytest.raises(ValueError, match="four sublattices"):
        tetrahedron_approximation([0.5, 0.5], ENERGIES, 300.0, [[0.5, 0.5]])
