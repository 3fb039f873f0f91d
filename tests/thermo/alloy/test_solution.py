"""Redlich-Kister surfaces against naive sums, scikit-learn, refits and finite differences."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct

from matjax.thermo.alloy.solution import (
    RedlichKister,
    basis,
    condition,
    evaluate,
    fit_surface,
    n_basis,
    prior_std,
    residuals,
    restrict,
    spread,
)


def simplex(n: int, n_element: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(n_element), n)


def naive(x: np.ndarray) -> list[float]:
    pairs = list(combinations(range(len(x)), 2))
    values = list(x)
    for k in range(3):
        values += [x[i] * x[j] * (x[i] - x[j]) ** k for i, j in pairs]
    for triple in combinations(range(len(x)), 3):
        values += [np.prod(x[list(triple)]) * (x[i] + (1 - x[list(triple)].sum()) / 3) for i in triple]
    return values + [np.prod(x[list(four)]) for four in combinations(range(len(x)), 4)]


@pytest.mark.parametrize("n_element", [1, 2, 3, 5])
def test_basis_is_the_sum_in_its_docstring(n_element):
    x = simplex(4, n_element)
    assert basis(x).shape == (4, n_basis(n_element))
    np.testing.assert_allclose(basis(x), [naive(row) for row in x], atol=1e-15)


def test_basis_of_a_subsystem_is_part_of_the_systems():
    elements, inside = np.array([0, 2, 3, 5]), simplex(3, 4)
    x = np.zeros((3, 6))
    x[:, elements] = inside
    rest = np.delete(np.asarray(basis(x)), restrict(6, elements), axis=1)
    np.testing.assert_allclose(basis(x)[:, restrict(6, elements)], basis(inside), atol=1e-15)
    assert not rest.any()


def test_regression_is_that_of_a_gaussian_process():
    x, rng, prior = simplex(30, 3), np.random.default_rng(1), RedlichKister(noise=0.02)
    y = rng.normal(size=30)
    with jax.enable_x64(True):
        scale = np.asarray(prior_std(prior, 3))
    surface = fit_surface(x, y, prior)
    peer = GaussianProcessRegressor(DotProduct(sigma_0=0, sigma_0_bounds="fixed"), alpha=0.02**2, optimizer=None)
    peer.fit(np.asarray(basis(x)) * scale, y - y.mean())
    mean, std = peer.predict(np.asarray(basis(simplex(5, 3, 2))) * scale, return_std=True)
    np.testing.assert_allclose(evaluate(surface, simplex(5, 3, 2)), mean + y.mean(), atol=1e-8)
    np.testing.assert_allclose(spread(surface, simplex(5, 3, 2)), std, rtol=1e-5)


def test_surface_goes_through_plentiful_data_of_its_own_kind():
    x, truth = simplex(200, 4), np.random.default_rng(3).normal(size=n_basis(4)) * 0.3
    y = np.asarray(basis(x)) @ truth
    surface = fit_surface(x, y, RedlichKister(noise=1e-6))
    np.testing.assert_allclose(evaluate(surface, simplex(9, 4, 4)), np.asarray(basis(simplex(9, 4, 4))) @ truth, atol=1e-6)


def test_pure_elements_are_met_whatever_the_rest_says():
    x, y = np.concatenate([np.eye(3), simplex(20, 3)]), np.random.default_rng(5).normal(size=23)
    np.testing.assert_allclose(evaluate(fit_surface(x, y), np.eye(3)), y[:3], atol=1e-3)


def test_members_share_a_covariance_and_data_of_infinite_noise_say_nothing():
    x, y = simplex(12, 3), np.random.default_rng(6).normal(size=(2, 12))
    both, one = fit_surface(x, y), fit_surface(x, y[1])
    np.testing.assert_allclose(both.mean[1], one.mean, atol=1e-12)
    assert both.covariance.shape == one.covariance.shape == (n_basis(3), n_basis(3))
    noise = np.where(np.arange(12) < 8, 0.005, np.inf)
    np.testing.assert_allclose(fit_surface(x, y, noise=noise).mean, fit_surface(x[:8], y[:, :8]).mean, atol=1e-12)


def test_condition_is_a_fit_with_the_new_data():
    x, y, center = simplex(15, 3), np.random.default_rng(7).normal(size=(2, 15)), np.zeros(2)
    before = fit_surface(x[:12], y[:, :12], center=center)
    after = fit_surface(x, y, center=center)
    updated = condition(before, x[12:], y[:, 12:], 0.005)
    np.testing.assert_allclose(updated.mean, after.mean, atol=1e-7)
    np.testing.assert_allclose(updated.covariance, after.covariance, atol=1e-9)
    assert float(spread(updated, x[13])) < 0.005
    assert float(spread(updated, x[13])) < 0.8 * float(spread(before, x[13]))


def test_residuals_are_those_of_leaving_one_out():
    x, y = simplex(14, 3), np.random.default_rng(8).normal(size=14)
    others = [fit_surface(np.delete(x, i, 0), np.delete(y, i), center=y.mean()) for i in range(14)]
    left_out = [y[i] - float(evaluate(surface, x[i])) for i, surface in enumerate(others)]
    np.testing.assert_allclose(residuals(x, y), left_out, rtol=1e-5, atol=1e-8)


def test_gradients_reach_the_parameters_behind_the_data():
    x, at, mix = simplex(10, 3), simplex(4, 3, 9), np.random.default_rng(10).normal(size=(10, 5))

    def loss(weights):
        return (evaluate(fit_surface(x, jnp.tanh(jnp.asarray(mix) @ weights)), at) ** 2).sum()

    with jax.enable_x64(True):
        weights = jnp.asarray(np.random.default_rng(11).normal(size=5))
        slope = jax.grad(loss)(weights)
        numeric = [(loss(weights + 1e-6 * step) - loss(weights - 1e-6 * step)) / 2e-6 for step in jnp.eye(5)]
    np.testing.assert_allclose(slope, numeric, rtol=1e-6)
