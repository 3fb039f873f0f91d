import jax
import numpy as np
import pytest

from matjax.thermo import configurational_entropy, sublattice_entropy
from matjax.units import BOLTZMANN


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_equal_fractions_give_k_ln_n(n):
    assert float(configurational_entropy(np.full(n, 1 / n))) == pytest.approx(BOLTZMANN * np.log(n), abs=1e-18)


def test_absent_elements_change_nothing():
    x = np.array([0.3, 0.7])
    padded = np.array([0.0, 0.3, 0.0, 0.7])
    assert float(configurational_entropy(padded)) == float(configurational_entropy(x))
    gradient = jax.grad(configurational_entropy)(padded)
    np.testing.assert_allclose(gradient, [0, -BOLTZMANN * (np.log(0.3) + 1), 0, -BOLTZMANN * (np.log(0.7) + 1)], rtol=1e-6)


def test_rounding_below_zero_is_absence():
    assert float(configurational_entropy(np.array([1.0, -1e-17]))) == 0


def test_gradient_is_the_finite_difference():
    x, step = np.array([0.1, 0.25, 0.65]), 1e-6
    with jax.enable_x64(True):
        gradient = jax.grad(configurational_entropy)(x)
        differences = [(configurational_entropy(x + d) - configurational_entropy(x - d)) / (2 * step) for d in step * np.eye(3)]
    np.testing.assert_allclose(gradient, differences, rtol=1e-7)


def test_entropy_is_concave():
    a, b = np.random.default_rng(0).dirichlet(np.full(5, 0.3), (2, 200))
    middle = configurational_entropy((a + b) / 2)
    assert np.all(np.asarray(middle) > np.asarray(configurational_entropy(a) + configurational_entropy(b)) / 2)


def test_sublattices():
    x = np.array([0.2, 0.3, 0.5])
    ordered = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert float(sublattice_entropy(ordered, [3, 1])) == 0
    np.testing.assert_allclose(sublattice_entropy(np.stack([x, x]), [3, 1]), configurational_entropy(x))
    mixed = sublattice_entropy(np.stack([x, ordered[0]]), [3, 1])
    assert float(mixed) == pytest.approx(0.75 * -BOLTZMANN * sum(v * np.log(v) for v in x))
    both = np.asarray(sublattice_entropy(np.stack([ordered, np.stack([x, ordered[0]])]), [3, 1]))
    np.testing.assert_allclose(both, [0, float(mixed)])
    assert np.all(np.isfinite(jax.grad(sublattice_entropy)(ordered, [3.0, 1.0])))


def test_orbits_must_fit():
    with pytest.raises(ValueError, match="multiplicities"):
        sublattice_entropy(np.ones((2, 3)) / 3, [1, 1, 1])


def test_float64_inside_a_float32_caller():
    x = np.array([0.2, 0.3, 0.5], np.float32)
    exact = -BOLTZMANN * np.sum(x.astype(float) * np.log(x.astype(float)))
    for function in (configurational_entropy, jax.jit(configurational_entropy), lambda x: jax.vmap(configurational_entropy)(x[None])[0]):
        value = function(x)
        assert value.dtype == np.float64 and float(value) == pytest.approx(exact, rel=1e-15)
    assert jax.jit(jax.grad(configurational_entropy))(x).dtype == np.float32
