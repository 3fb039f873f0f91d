import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo.order.pair_approximation import ordering_temperature, pair_approximation
from matjax.units import BOLTZMANN

J = 0.03  # eV
SEEK_OTHERS = np.array([[J, -J], [-J, J]])


def bonds(n: int, seed: int = 0, size: float = 0.1) -> np.ndarray:
    matrix = np.random.default_rng(seed).normal(0, size, (n, n))
    return (matrix + matrix.T) / 2


def chain(activity: np.ndarray, energies: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Fractions, pair probabilities and free energy per atom of an infinite chain, from its transfer matrix."""
    transfer = np.exp(-energies / (BOLTZMANN * temperature)) * np.sqrt(np.outer(activity, activity))
    values, vectors = np.linalg.eigh(transfer)
    largest, vector = values[-1], vectors[:, -1]
    x = vector**2
    free = BOLTZMANN * temperature * (x @ np.log(activity) - np.log(largest))
    return x, transfer * np.outer(vector, vector) / largest, free


@pytest.mark.parametrize("n", [2, 4])
def test_a_chain_is_exact(n):
    energies, temperature = bonds(n), 700.0
    x, pairs, free = chain(np.random.default_rng(1).uniform(0.3, 2, n), energies, temperature)
    found = pair_approximation(x, energies, 2, temperature)
    np.testing.assert_allclose(found.probabilities, pairs, atol=1e-13)
    np.testing.assert_allclose(found.free_energy, free, atol=1e-14)


@pytest.mark.parametrize("z", [4, 8])
def test_order_sets_in_at_bethes_temperature(z):
    assert float(ordering_temperature([0.5, 0.5], SEEK_OTHERS, z)) * BOLTZMANN / J == pytest.approx(2 / np.log(z / (z - 2)), rel=1e-8)


def test_nothing_orders_without_energies_or_on_a_chain():
    assert float(ordering_temperature([0.2, 0.8], np.zeros((2, 2)), 8)) == 0
    assert float(ordering_temperature([0.5, 0.5], SEEK_OTHERS, 2)) == 0
    assert float(ordering_temperature([0.5, 0.5], -SEEK_OTHERS, 8)) == 0  # unmixes, does not order


def test_below_the_ordering_temperature_order_lowers_the_free_energy():
    critical = float(ordering_temperature([0.5, 0.5], SEEK_OTHERS, 8))
    for temperature, is_lower in ((0.97 * critical, True), (1.03 * critical, False)):
        plain = pair_approximation([0.5, 0.5], SEEK_OTHERS, 8, temperature).free_energy
        ordered = pair_approximation([0.55, 0.45], SEEK_OTHERS, 8, temperature, y=[0.45, 0.55]).free_energy
        assert (float(ordered) < float(plain)) == is_lower


def test_the_random_solution_is_the_limit_of_high_temperature():
    x, energies = np.array([0.2, 0.5, 0.3]), bonds(3)
    for temperature in (1e5, 1e6):
        found = pair_approximation(x, energies, 8, temperature)
        random = 4 * x @ energies @ x + BOLTZMANN * temperature * x @ np.log(x)
        assert abs(float(found.free_energy) - random) < 0.05 * 1e5 / temperature * abs(4 * x @ energies @ x)
        about = energies - (energies @ x)[:, None] - (energies @ x)[None, :] + x @ energies @ x  # what exchanging neighbours costs
        np.testing.assert_allclose(found.warren_cowley, about / (BOLTZMANN * temperature), atol=0.05 * (1e4 / temperature) ** 2)


def test_absent_elements_change_nothing():
    energies, x = bonds(3), np.array([0.4, 0.6])
    padded = pair_approximation([0.4, 0.0, 0.6], energies, 8, 600.0)
    plain = pair_approximation(x, energies[np.ix_([0, 2], [0, 2])], 8, 600.0)
    np.testing.assert_allclose(padded.free_energy, plain.free_energy, atol=1e-14)
    assert float(padded.residual) < 1e-12


def test_strong_bonds_at_low_temperature():
    found = pair_approximation([0.5, 0.5], SEEK_OTHERS * 10, 8, 100.0)
    np.testing.assert_allclose(found.probabilities, [[0, 0.5], [0.5, 0]], atol=1e-12)
    assert float(found.residual) < 1e-12 and np.isfinite(found.free_energy)


def test_derivatives_are_finite_differences():
    with jax.enable_x64(True):
        energies, y = jnp.asarray(bonds(4)), jnp.array([0.3, 0.3, 0.1, 0.3])
        x, d = jnp.array([0.1, 0.2, 0.3, 0.4]), jnp.array([1.0, -0.5, 0.2, -0.7])
        free = jax.jit(lambda x, temperature: pair_approximation(x, energies, 8, temperature, y=y).free_energy)
        gradient, slope = jax.grad(free, (0, 1))(x, 700.0)
        step = 1e-5
        np.testing.assert_allclose(gradient @ d, (free(x + step * d, 700.0) - free(x - step * d, 700.0)) / (2 * step), rtol=1e-8)
        np.testing.assert_allclose(slope, (free(x, 700.1) - free(x, 699.9)) / 0.2, rtol=1e-7)
        curvature = jax.hessian(free)(x, 700.0)
        slopes = [jax.grad(free)(x + sign * step * d, 700.0) for sign in (1, -1)]
        inside = lambda v: v - v.mean()  # only what keeps the sum of fractions has meaning
        np.testing.assert_allclose(inside(curvature @ d), inside(slopes[0] - slopes[1]) / (2 * step), rtol=1e-7)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="vmap"):
        pair_approximation([[0.5, 0.5]], SEEK_OTHERS, 8, 300.0)
