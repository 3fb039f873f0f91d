"""Gibbs energies against sums of their named terms, identities, and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo.alloy.gibbs import Terms, gibbs_compounds, gibbs_elements, gibbs_mixing, gibbs_solution
from matjax.thermo.alloy.landscape import landscape
from matjax.thermo.alloy.solution import evaluate
from matjax.thermo.free_energy.vibration import debye_free_energy, debye_temperature
from matjax.units import BOLTZMANN

X = np.array([[0.2, 0.3, 0.5], [0.0, 0.6, 0.4]])


@pytest.fixture(scope="module")
def fitted(random_data):
    return landscape(*random_data(3, 0))


def test_terms_add_up(fitted):
    enthalpy, bulk, shear, volume = (
        np.asarray(evaluate(s, X))[1] for s in (fitted.enthalpy, fitted.log_bulk, fitted.log_shear, fitted.log_volume)
    )
    entropy = -BOLTZMANN * np.where(X > 0, X * np.log(np.where(X > 0, X, 1)), 0).sum(1)
    theta = debye_temperature(np.exp(bulk), np.exp(shear), np.exp(volume), X @ np.asarray(fitted.mass))
    vibrations = np.asarray(debye_free_energy(np.full(2, 800.0), theta))
    for conf in (False, True):
        for vib in (False, True):
            expected = enthalpy - conf * 800 * entropy + vib * vibrations
            np.testing.assert_allclose(gibbs_solution(fitted, 1, X, 800.0, Terms(conf, vib)), expected, atol=1e-12)


def test_terms_say_their_names():
    assert Terms().names == ("enthalpy", "ideal configurational entropy", "Debye vibrations")
    assert Terms(False, False).names == ("enthalpy",)


def test_enthalpy_and_entropy_are_derivatives(fitted):
    with jax.enable_x64(True):
        gibbs = lambda t: gibbs_solution(fitted, 0, X[0], t)
        entropy = -jax.grad(gibbs)(700.0)
        enthalpy = -(700.0**2) * jax.grad(lambda t: gibbs(t) / t)(700.0)
        numeric = -(gibbs(700.5) - gibbs(699.5))
        heat = -700.0 * jax.grad(jax.grad(gibbs))(700.0)
    assert float(entropy) == pytest.approx(float(numeric), rel=1e-6)
    assert float(enthalpy) == pytest.approx(float(gibbs(700.0)) + 700 * float(entropy), abs=1e-10)
    assert 0.9 * 3 * BOLTZMANN < float(heat) < 3 * BOLTZMANN  # Dulong and Petit


def test_gradient_in_composition(fitted):
    with jax.enable_x64(True):
        gibbs = lambda x: gibbs_solution(fitted, 2, x, 900.0)
        slope = jax.grad(gibbs)(jnp.asarray(X[0]))
        for i, j in ((0, 1), (1, 2)):
            step = 1e-6 * (jnp.eye(3)[i] - jnp.eye(3)[j])
            assert float(slope[i] - slope[j]) == pytest.approx(float(gibbs(X[0] + step) - gibbs(X[0] - step)) / 2e-6, rel=1e-5)


def test_mixing_is_zero_for_stable_elements_and_ideal_without_enthalpy(fitted, given_landscape):
    mixing = np.array([np.asarray(gibbs_mixing(fitted, k, np.eye(3), 600.0)) for k in range(3)])
    np.testing.assert_allclose(mixing.min(0), 0, atol=1e-12)
    assert (mixing >= -1e-12).all()
    ideal = gibbs_mixing(given_landscape(4, {0: {}}), 0, np.full(4, 0.25), 1000.0)
    assert float(ideal) == pytest.approx(-1000 * BOLTZMANN * np.log(4), abs=1e-12)


def test_a_compound_has_no_configurational_entropy(fitted):
    cold, hot = (np.asarray(gibbs_compounds(fitted, t, Terms(vibrational=False))) for t in (300.0, 1500.0))
    np.testing.assert_allclose(cold, hot, atol=1e-14)
    np.testing.assert_allclose(cold, fitted.compound_enthalpy, atol=1e-14)
    assert (np.asarray(gibbs_compounds(fitted, 1500.0)) < np.asarray(gibbs_compounds(fitted, 300.0))).all()


def test_members_give_a_leading_axis(random_data):
    both = landscape(*random_data(3, 1, n_member=2))
    assert gibbs_solution(both, 1, X, 500.0).shape == gibbs_mixing(both, 1, X, 500.0).shape == (2, 2)
    assert gibbs_elements(both, 500.0).shape == gibbs_compounds(both, 500.0).shape == (2, 3)
