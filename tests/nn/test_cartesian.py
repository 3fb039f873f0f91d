"""Labels and irreps are the same numbers in another basis, and both turn alike."""

import e3nn_jax as e3nn
import numpy as np
import pytest

from matjax.nn.cartesian import allowed_part, cartesian_basis, invariant_part
from matjax.testing.crystals import random_rotation

RANDOM = np.random.default_rng(0)
TENSORS = ["0e", "1o", "2e", "0e+2e", "0e+1e+2e", "2x1o+2o+3o", "2x0e+2x2e+4e"]


def turned(tensor: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Every index of a Cartesian tensor turned, written out."""
    for axis in range(tensor.ndim):
        tensor = np.moveaxis(np.tensordot(turn, tensor, axes=(1, axis)), 0, axis)
    return tensor


@pytest.mark.parametrize("irreps", TENSORS)
def test_labels_turn_as_their_irreps_do(irreps: str) -> None:
    basis = cartesian_basis(irreps)
    x = RANDOM.normal(size=basis.shape[-1])
    for turn in (random_rotation(RANDOM), -random_rotation(RANDOM)):
        with_irreps = np.asarray(e3nn.Irreps(irreps).regroup().D_from_matrix(turn.astype(np.float32)), np.float64)
        np.testing.assert_allclose(basis @ (with_irreps @ x), turned(basis @ x, turn), atol=5e-6)


@pytest.mark.parametrize("irreps", [*TENSORS, "0o", "1e", "3x0e", "0e+1o", "0o+2x1e"])
def test_nothing_is_lost_on_the_way_there_and_back(irreps: str) -> None:
    basis = cartesian_basis(irreps)
    assert basis.shape[-1] == e3nn.Irreps(irreps).dim
    flat = basis.reshape(-1, basis.shape[-1])
    np.testing.assert_allclose(flat.T @ flat, np.eye(flat.shape[1]), atol=1e-12)


def test_the_components_of_a_vector_are_x_y_z() -> None:
    np.testing.assert_array_equal(cartesian_basis("1o"), np.eye(3))
    spherical = e3nn.spherical_harmonics("1o", np.array([0.1, 0.2, 0.3], np.float32), normalize=False).array
    np.testing.assert_allclose(np.asarray(spherical) / spherical[0] * 0.1, [0.1, 0.2, 0.3], rtol=1e-6)


def test_parts_of_tensors() -> None:
    tensors = RANDOM.normal(size=(4, 3, 3))
    symmetric = (tensors + np.swapaxes(tensors, 1, 2)) / 2
    isotropic = np.trace(tensors, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)[None]
    np.testing.assert_allclose(allowed_part(tensors, "0e+2e"), symmetric, atol=1e-12)
    np.testing.assert_allclose(allowed_part(tensors, "0e+1e+2e"), tensors, atol=1e-12)
    np.testing.assert_allclose(allowed_part(tensors, "2e"), symmetric - isotropic, atol=1e-12)
    np.testing.assert_allclose(invariant_part(tensors, "0e+2e"), isotropic, atol=1e-12)
    np.testing.assert_array_equal(invariant_part(tensors[:, 0], "1o"), 0)
    np.testing.assert_array_equal(invariant_part(tensors[:, 0, 0], "0o"), 0)
    np.testing.assert_array_equal(invariant_part(tensors[:, 0, 0], "0e"), tensors[:, 0, 0])


def test_an_elastic_tensor_has_its_symmetries() -> None:
    elastic = cartesian_basis("2x0e+2x2e+4e") @ RANDOM.normal(size=21)
    for order in ((1, 0, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1)):
        np.testing.assert_allclose(elastic.transpose(order), elastic, atol=1e-12)
    bulk, shear = 2.0, 0.7
    unit = np.eye(3)
    both = np.einsum("ik,jl->ijkl", unit, unit) + np.einsum("il,jk->ijkl", unit, unit)
    isotropic = bulk * np.einsum("ij,kl->ijkl", unit, unit) + shear * (both - 2 / 3 * np.einsum("ij,kl->ijkl", unit, unit))
    np.testing.assert_allclose(invariant_part(isotropic[None], "2x0e+2x2e+4e")[0], isotropic, atol=1e-12)
