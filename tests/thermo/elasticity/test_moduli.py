import warnings
from itertools import permutations, product

import jax
import numpy as np
import pytest
from pymatgen.core.elasticity.elastic import ElasticTensor
from scipy.spatial.transform import Rotation

from matjax.thermo import (
    SYMMETRY,
    born,
    cauchy_pressure,
    hill,
    poisson_ratio,
    pugh_ratio,
    reuss,
    symmetrise,
    universal_anisotropy,
    voigt,
)

AXES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
CUBIC = [np.diag(signs) @ np.eye(3)[list(p)] for p in permutations(range(3)) for signs in product((1, -1), repeat=3)]
HEXAGONAL = [Rotation.from_euler("zx", [60 * k, 180 * flip], degrees=True).as_matrix() for k in range(6) for flip in range(2)]


def cubic(c11, c12, c44):
    elastic = np.diag([c11 - c12] * 3 + [c44] * 3).astype(float)
    elastic[:3, :3] += c12
    return elastic


def rotated(elastic, rotation):
    """By the four indices of the tensor, written out."""
    full = np.zeros((3, 3, 3, 3))
    for (m, (i, j)), (n, (k, l)) in product(enumerate(AXES), repeat=2):
        for a, b in ((i, j), (j, i)):
            for c, d in ((k, l), (l, k)):
                full[a, b, c, d] = elastic[m, n]
    full = np.einsum("ai,bj,ck,dl,ijkl->abcd", rotation, rotation, rotation, rotation, full, optimize=True)
    return np.array([[full[i, j, k, l] for k, l in AXES] for i, j in AXES])


@pytest.fixture(scope="module")
def triclinic():
    """Elastic constants without symmetry [3, 6, 6], stable."""
    noise = np.random.default_rng(0).normal(size=(3, 6, 6))
    return cubic(1.5, 0.9, 0.5) + 0.05 * (noise + np.swapaxes(noise, 1, 2))


def test_moduli_are_pymatgens(triclinic):
    bounds = {name: np.asarray(function(triclinic)) for name, function in (("voigt", voigt), ("reuss", reuss), ("vrh", hill))}
    for i, elastic in enumerate(triclinic):
        tensor = ElasticTensor.from_voigt(elastic)
        for name, (bulk, shear) in bounds.items():
            assert bulk[i] == pytest.approx(getattr(tensor, f"k_{name}")) and shear[i] == pytest.approx(getattr(tensor, f"g_{name}"))
        assert float(universal_anisotropy(elastic)) == pytest.approx(tensor.universal_anisotropy)
        assert float(poisson_ratio(*hill(elastic))) == pytest.approx(tensor.homogeneous_poisson)


def test_cubic_formulae():
    c11, c12, c44 = 1.7, 1.1, 0.6
    elastic = cubic(c11, c12, c44)
    np.testing.assert_allclose(voigt(elastic), [(c11 + 2 * c12) / 3, (c11 - c12 + 3 * c44) / 5])
    np.testing.assert_allclose(reuss(elastic), [(c11 + 2 * c12) / 3, 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))])
    assert float(cauchy_pressure(elastic)) == pytest.approx(c12 - c44)
    assert float(born(elastic)) == pytest.approx(min(c11 - c12, c11 + 2 * c12, 2 * c44))
    assert float(universal_anisotropy(cubic(c11, c12, (c11 - c12) / 2))) == pytest.approx(0, abs=1e-12)
    assert float(pugh_ratio(2.0, 0.8)) == 2.5
    assert float(poisson_ratio(5 / 3, 1.0)) == pytest.approx(0.25)  # a Cauchy solid


def test_bounds_are_ordered(triclinic):
    for upper, lower in zip(voigt(triclinic), reuss(triclinic), strict=True):
        assert np.all(np.asarray(upper) > np.asarray(lower))


@pytest.mark.parametrize(("symmetry", "group"), [("cubic", CUBIC), ("hexagonal", HEXAGONAL)])
def test_projection_is_the_average_over_the_group(triclinic, symmetry, group):
    ours = np.asarray(symmetrise(triclinic, symmetry))
    for elastic, projected in zip(triclinic, ours, strict=True):
        np.testing.assert_allclose(projected, np.mean([rotated(elastic, r) for r in group], axis=0), atol=1e-14)
    np.testing.assert_allclose(symmetrise(ours, symmetry), ours, atol=1e-14)
    np.testing.assert_allclose(voigt(ours), voigt(triclinic))


def test_hexagonal_is_isotropic_around_the_axis(triclinic):
    hexagonal = np.asarray(symmetrise(triclinic[0], SYMMETRY["hcp"]))
    turned = rotated(hexagonal, Rotation.from_euler("z", 0.37).as_matrix())
    np.testing.assert_allclose(turned, hexagonal, atol=1e-14)


def test_nothing_depends_on_the_axes(triclinic):
    turned = np.array([rotated(c, Rotation.random(rng=i).as_matrix()) for i, c in enumerate(triclinic)])
    for quantity in (voigt, reuss, hill, born, universal_anisotropy):
        np.testing.assert_allclose(quantity(turned), quantity(triclinic), rtol=1e-12)


def test_born_is_the_least_energy_of_a_unit_strain(triclinic):
    softened = triclinic[0] - 0.8 * np.diag([1, 1, 1, 0, 0, 0])
    strain = np.random.default_rng(1).normal(size=(20000, 3, 3))
    strain = (strain + np.swapaxes(strain, 1, 2)) / 2
    strain /= np.linalg.norm(strain, axis=(1, 2), keepdims=True)
    for elastic, is_stable in ((triclinic[0], True), (softened, False)):
        voigt_strain = np.stack([strain[:, i, j] * (1 if i == j else 2) for i, j in AXES], axis=1)
        energy = np.einsum("ni,ij,nj->n", voigt_strain, elastic, voigt_strain)
        assert np.all(energy >= float(born(elastic)) - 1e-12) and energy.min() == pytest.approx(float(born(elastic)), abs=0.1)
        assert (float(born(elastic)) > 0) == is_stable


@pytest.mark.parametrize(
    "quantity",
    [lambda c: hill(c).shear, lambda c: reuss(c).bulk, lambda c: pugh_ratio(*hill(c)), born, cauchy_pressure, universal_anisotropy],
    ids=["shear", "bulk", "pugh", "born", "cauchy", "anisotropy"],
)
def test_gradient_is_the_finite_difference_also_for_float32_callers(triclinic, quantity):
    elastic = triclinic[0]
    direction = np.random.default_rng(2).normal(size=(6, 6))
    direction = direction + direction.T
    with jax.enable_x64(True):
        difference = (quantity(elastic + 1e-6 * direction) - quantity(elastic - 1e-6 * direction)) / 2e-6
        exact = jax.grad(quantity)(elastic)
    assert np.sum(np.asarray(exact) * direction) == pytest.approx(float(difference), rel=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        single = jax.jit(jax.vmap(jax.grad(quantity)))(elastic.astype(np.float32)[None])
    assert single.dtype == np.float32
    np.testing.assert_allclose(single[0], exact, rtol=1e-4, atol=1e-5)


def test_born_has_a_gradient_where_eigenvalues_coincide():
    gradient = jax.grad(born)(cubic(1.0, 0.2, 0.4))  # 0.8 five times
    assert np.all(np.isfinite(gradient)) and float(np.trace(gradient)) > 0


def test_projection_is_its_own_derivative(triclinic):
    with jax.enable_x64(True):
        pushed = jax.jvp(lambda c: symmetrise(c, "hexagonal"), (triclinic[0],), (triclinic[1],))[1]
        np.testing.assert_allclose(pushed, symmetrise(triclinic[1], "hexagonal"), atol=1e-15)


def test_wrong_input():
    with pytest.raises(ValueError, match="'isotropic' is no class.*cubic, hexagonal"):
        symmetrise(np.eye(6), "isotropic")
    with pytest.raises(ValueError, match="6, 6"):
        hill(np.eye(3))
