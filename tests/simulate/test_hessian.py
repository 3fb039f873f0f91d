"""Second derivatives: symmetric, no force for a rigid shift, and the differences of the forces, in float64."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from matjax.simulate import energy_fn, hessian, hessian_vector_product
from matjax.types import Crystal


@pytest.fixture(scope="module")
def found(morse):
    """A crystal, its members' Hessians in float64."""
    crystal = morse.alloy(0, (1, 1, 1))
    with jax.enable_x64(True):
        return crystal, hessian(morse.predictor(), crystal, members=True)


def test_it_is_symmetric_and_a_rigid_shift_costs_nothing(found) -> None:
    _, members = found
    assert members.shape == (3, 4, 3, 4, 3) and members.dtype == np.float64
    flat = members.reshape(3, 12, 12)
    np.testing.assert_allclose(flat, flat.swapaxes(1, 2), atol=1e-12)
    np.testing.assert_allclose(members.sum(3), 0.0, atol=1e-12)
    assert np.abs(flat).max() > 1


def test_it_is_the_difference_of_forces(found, morse) -> None:
    crystal, members = found
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(energy_fn(morse.predictor(), crystal)))
        step = 1e-4
        moved = lambda i, k, sign: crystal.positions + sign * step * (np.arange(12) == 3 * i + k).reshape(4, 3)
        columns = [(slope(moved(i, k, 1)) - slope(moved(i, k, -1))) / (2 * step) for i in range(4) for k in range(3)]
    differences = np.array(columns).reshape(4, 3, 4, 3)
    np.testing.assert_allclose(members.mean(0), differences, atol=1e-6)


def test_members_of_a_morse_crystal_are_as_stiff_as_they_are_deep(found, morse) -> None:
    _, members = found
    np.testing.assert_allclose(members[2] / morse.DEPTHS[2], members[0] / morse.DEPTHS[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_products_are_those_of_the_hessian(found, morse, chunk) -> None:
    crystal, members = found
    moves = np.random.default_rng(0).normal(size=(2, 3, 4, 3))
    with jax.enable_x64(True):
        said = hessian_vector_product(morse.predictor(), crystal, moves, chunk=chunk)
    np.testing.assert_allclose(said, np.einsum("iajb,...jb->...ia", members.mean(0), moves), atol=1e-10)


def test_float32_is_close(found, morse) -> None:
    crystal, members = found
    single = hessian(morse.predictor(), crystal)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, members.mean(0), atol=2e-4 * np.abs(members).max())


def test_an_atom_alone_has_no_stiffness(morse) -> None:
    alone = Crystal(np.eye(3), np.zeros((1, 3)), np.array([29]), np.zeros(3, bool))
    assert np.all(hessian(morse.predictor(), alone) == 0)


def test_what_does_not_fit_is_refused(found, morse) -> None:
    crystal, _ = found
    with pytest.raises(ValueError, match=r"needs \[..., 4, 3\]"):
        hessian_vector_product(morse.predictor(), crystal, np.zeros((3, 3)))
    untaught = replace(morse.predictor(), supervision=replace(morse.predictor().supervision, has=("energy",)))
    with pytest.raises(ValueError, match="forces refused"):
        hessian(untaught, crystal)
