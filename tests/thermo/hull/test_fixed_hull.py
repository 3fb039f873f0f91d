import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.thermo.hull.fixed_hull import fixed_hull
from matjax.thermo.hull.fixed_hull import hull_at as hull_at_jax
from matjax.thermo.hull.lower_hull import TOLERANCE, lower_hull

simplex = jax.jit(jax.vmap(lower_hull, (0, None, None)))


def system(n_element, n=150, n_candidate=64, seed=0):
    """Elements first, at total energies; compounds of 12 atoms, many of them duplicates; candidates."""
    rng = np.random.default_rng(seed)
    points = np.concatenate([np.eye(n_element), rng.multinomial(12, rng.dirichlet(np.full(n_element, 0.6), n - n_element)) / 12])
    energies = -1.2 * (1 - (points**2).sum(1)) + 0.25 * rng.normal(size=n) * (points.max(1) < 1) - points @ np.arange(1.0, n_element + 1)
    return points, energies, rng.dirichlet(np.ones(n_element), n_candidate)


def search(*values):
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, simplex(*values))


def hull_at(hull, x):
    return jax.tree.map(np.asarray, hull_at_jax(hull, x))


@pytest.mark.parametrize("n_element", [2, 5])
def test_facets_agree_with_the_simplex(n_element):
    points, energies, x = system(n_element)
    x[:n_element] = np.eye(n_element)  # corners; then edges and a face
    x[n_element : 2 * n_element] = (np.eye(n_element) + np.eye(n_element)[0]) / 2
    hull = fixed_hull(points, energies)
    found, exact = hull_at(hull, x), search(x, points, energies)
    assert bool(hull.complete)
    np.testing.assert_allclose(found.energy, exact.energy, atol=1e-12)
    np.testing.assert_allclose(np.einsum("mk,mki->mi", found.fractions, points[found.indices]), x, atol=1e-12)
    np.testing.assert_allclose((found.fractions * energies[found.indices]).sum(1), found.energy, atol=1e-12)
    assert np.all(found.gap >= -TOLERANCE) and np.all(found.gap <= 1e-12)
    gap = (energies - found.chemical_potentials @ points.T).min(1)
    np.testing.assert_allclose(found.gap, gap, atol=1e-12)


def test_flat_and_empty_hulls():
    points, _, x = system(4)
    for energies in (np.zeros(150), points @ np.arange(4.0), np.where(points.max(1) == 1, 0, 0.3)):
        hull = fixed_hull(points, energies)
        assert bool(hull.complete)
        np.testing.assert_allclose(hull_at(hull, x).energy, x @ energies[:4], atol=1e-12)
    np.testing.assert_allclose(hull_at(fixed_hull([[1.0]], [-2.0]), [1.0]).energy, -2.0)


def test_degenerate_energies():
    rng = np.random.default_rng(3)
    points = np.concatenate([np.eye(5), rng.multinomial(4, np.ones(5) / 5, 145) / 4])
    energies = np.round(-(1 - (points**2).sum(1)), 1) + 0.1 * rng.integers(0, 3, 150)
    x = rng.dirichlet(np.ones(5), 64)
    hull = fixed_hull(points, energies)
    found = hull_at(hull, x)
    assert bool(hull.complete)
    np.testing.assert_allclose(found.energy, search(x, points, energies).energy, atol=1e-12)
    np.testing.assert_allclose(np.einsum("mk,mki->mi", found.fractions, points[found.indices]), x, atol=1e-12)


def test_stacked_members_inside_jit():
    points, energies, x = system(5)
    members = energies + 0.02 * np.random.default_rng(1).normal(size=(2, 150))
    hulls = jax.tree.map(lambda *fields: jnp.stack(fields), *(fixed_hull(points, member, size=512) for member in members))
    with jax.enable_x64(True):
        energy = lambda energies: jax.vmap(lambda h, e: hull_at_jax(h._replace(energies=e), x).energy)(hulls, energies)
        values, back = jax.vjp(jax.jit(energy), jnp.asarray(members))
        (slope,) = back(jnp.ones_like(values))
    for value, derivative, member in zip(values, slope, members, strict=True):
        exact = search(x, points, member)
        np.testing.assert_allclose(value, exact.energy, atol=1e-12)
        dense = np.zeros(150)
        np.add.at(dense, exact.indices, exact.fractions)
        np.testing.assert_allclose(derivative, dense, atol=1e-10)


def test_derivatives_are_finite_differences():
    """With new facets for every displacement."""
    points, energies, x = system(4, seed=1)
    rng = np.random.default_rng(0)
    points[4:] = 0.9 * points[4:] + 0.025  # room to move
    towards = [rng.normal(size=4), rng.normal(size=points.shape), rng.normal(size=150)]
    towards[:2] = [value - value.mean(-1, keepdims=True) for value in towards[:2]]
    towards[1][:4] = 0  # the elements stay pure
    at = (x[0], points, energies)
    hull = fixed_hull(points, energies)
    energy = lambda x, points, energies: hull_at_jax(hull._replace(points=points, energies=energies), x).energy
    with jax.enable_x64(True):
        gradients = jax.grad(energy, argnums=(0, 1, 2))(*map(jnp.asarray, at))
    for i, (gradient, direction) in enumerate(zip(gradients, towards, strict=True)):
        moved = [[v + s * 1e-7 * direction if i == j else v for j, v in enumerate(at)] for s in (1, -1)]
        up, down = (hull_at(fixed_hull(*phases), row).energy for row, *phases in moved)
        assert np.sum(np.asarray(gradient) * direction) == pytest.approx(float(up - down) / 2e-7, rel=1e-5, abs=1e-6)


def test_what_has_no_answer_is_nan():
    points, energies, x = system(3)
    hull = fixed_hull(points, energies)
    wrong = hull_at(hull, [[0.5, 0.6, -0.1], [0.2, 0.2, 0.2], [np.nan, 0.5, 0.5], [0.2, 0.3, 0.5]])
    np.testing.assert_array_equal(np.isnan(wrong.energy), [True, True, True, False])
    np.testing.assert_array_equal(np.isinf(wrong.gap), [True, True, True, False])
    small = fixed_hull(points, energies, size=4)
    assert not bool(small.complete)
    found, exact = hull_at(small, x), search(x, points, energies)
    inside = np.isfinite(found.energy)
    assert 0 < inside.sum() < len(x)
    np.testing.assert_allclose(found.energy[inside], exact.energy[inside], atol=1e-12)  # a hole is not filled with a wrong number
    broken = fixed_hull(points, np.where(np.arange(150) == 9, np.nan, energies))
    assert not bool(broken.complete) and np.all(np.isnan(hull_at(broken, x).energy))
    with pytest.raises(ValueError, match=r"element number \[1\] has no pure phase"):
        fixed_hull(points, energies, points[:, 1] < 1)
    with pytest.raises(ValueError, match="compositions of 3 elements"):
        hull_at(hull, x[:, :2])
