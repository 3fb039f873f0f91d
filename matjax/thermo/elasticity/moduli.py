"""From elastic constants to moduli, mechanical stability and ductility proxies.

Elastic constants are [..., 6, 6] in Voigt notation with engineering shear strains (order xx, yy, zz, yz, xz, xy), in eV/Å³.
Every linear quantity is a sum over a fixed pattern of weights: such sums stay in float64 under the gradient of any caller.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.elasticity.crystal_class import ELASTIC_CLASSES, bond_matrices, class_projector, projector
from matjax.thermo.host import float64

SYMMETRY = {"fcc": "cubic", "bcc": "cubic", "hcp": "hexagonal"}
"""Symmetry that the elastic constants of a random solution have on average, by lattice."""


def _at(*places: tuple[int, int], value: float = 1.0) -> np.ndarray:
    """The [6, 6] pattern with a value at the places (counted from 1) and at their mirror images."""
    pattern = np.zeros((6, 6))
    for i, j in places:
        pattern[i - 1, j - 1] = pattern[j - 1, i - 1] = value
    return pattern


_NORMAL = _at((1, 1), (2, 2), (3, 3))
_CROSS = _at((1, 2), (1, 3), (2, 3))
_SHEAR = _at((4, 4), (5, 5), (6, 6))
_MANDEL = np.sqrt(np.outer([1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2]))


class Moduli(NamedTuple):
    """Of an isotropic polycrystal: bulk and shear modulus [...], eV/Å³."""

    bulk: Array
    shear: Array


def voigt(elastic: ArrayLike) -> Moduli:
    """Moduli of a polycrystal whose grains are strained alike: an upper bound.

    Args:
      elastic: Elastic constants [..., 6, 6], eV/Å³, here and in every function below.

    Raises:
      ValueError: If `elastic` has another shape.

    Source:
      Voigt (1928); Hill (1952), The elastic behaviour of a crystalline aggregate, eq. 1.
    """
    with float64():
        elastic = _checked(elastic)
        return Moduli(_sum(elastic, (_NORMAL + _CROSS) / 9), _sum(elastic, (_NORMAL - _CROSS / 2 + 3 * _SHEAR) / 15))


def reuss(elastic: ArrayLike) -> Moduli:
    """Moduli of a polycrystal whose grains are stressed alike: a lower bound where `born` > 0, without meaning elsewhere.

    Not finite where the matrix is singular.

    Source:
      Reuss (1929); Hill (1952), The elastic behaviour of a crystalline aggregate, eq. 2.
    """
    with float64():
        compliance = _inverse(_checked(elastic))
        softness = _sum(compliance, (4 * _NORMAL - 2 * _CROSS + 3 * _SHEAR) / 15)
        return Moduli(1 / _sum(compliance, _NORMAL + _CROSS), 1 / softness)


def hill(elastic: ArrayLike) -> Moduli:
    """Mean of the Voigt and Reuss bounds: the moduli usually quoted. Has meaning where `born` > 0.

    Source:
      Hill (1952), The elastic behaviour of a crystalline aggregate.
    """
    with float64():
        upper, lower = voigt(elastic), reuss(elastic)
        return Moduli((upper.bulk + lower.bulk) / 2, (upper.shear + lower.shear) / 2)


def symmetrise(elastic: ArrayLike, symmetry: str | np.ndarray) -> Array:
    """Elastic constants of the given symmetry that are nearest to those of a crystal that has it only on average, or nearly.

    The average over all rotations of the point group; Voigt's bulk and shear modulus do not change.

    Args:
      elastic: Elastic constants [..., 6, 6], eV/Å³.
      symmetry: A class in standard axes: a key of ELASTIC_CLASSES such as "cubic" (axes along x, y, z) or "hexagonal" (transversely
        isotropic, axis along z), see SYMMETRY; or the rotations [n, 3, 3] of a point group, in any axes: `point_group_rotations`.

    Raises:
      ValueError: If the symmetry is no class, or the rotations are no group.

    Source:
      Moakher & Norris (2006), The closest elastic tensor of arbitrary symmetry to an elasticity tensor of lower symmetry.
    """
    average = class_projector(symmetry) if isinstance(symmetry, str) else projector(symmetry)
    with float64():
        elastic = _checked(elastic)
        return _mapped(average, elastic.reshape(*elastic.shape[:-2], 36)).reshape(elastic.shape)


def rotate(elastic: ArrayLike, rotation: ArrayLike) -> Array:
    """Elastic constants in other axes, x' = Q x.

    Args:
      elastic: Elastic constants [..., 6, 6].
      rotation: Orthogonal matrix Q [3, 3], such as that of `standard_axes`.
    """
    bond = bond_matrices(np.asarray(rotation))
    with float64():
        elastic = _checked(elastic)
        return _mapped(np.kron(bond, bond), elastic.reshape(*elastic.shape[:-2], 36)).reshape(elastic.shape)


def independent_constants(elastic: ArrayLike, symmetry: str) -> dict[str, Array]:
    """The independent elastic constants by name, {"C11": [...], ...}: what a table lists.

    Args:
      elastic: Elastic constants [..., 6, 6] in standard axes; averaged to the symmetry first.
      symmetry: A key of ELASTIC_CLASSES.

    Raises:
      ValueError: If the symmetry is no class.
    """
    averaged = symmetrise(elastic, symmetry)
    with float64():
        return {f"C{ij}": _sum(averaged, _at((ij // 10, ij % 10)) / (1 if ij % 11 == 0 else 2)) for ij in ELASTIC_CLASSES[symmetry]}


def born(elastic: ArrayLike) -> Array:
    """Born stability: the smallest eigenvalue of the elastic tensor, eV/Å³. Positive if every strain costs energy.

    The eigenvalue of the tensor itself (Mandel's notation, in which shear components carry sqrt(2)), so that it does not
    depend on the axes. Differentiable also where eigenvalues coincide (there, along one of their strains).

    Source:
      Born (1940); Mouhat & Coudert (2014), Necessary and sufficient elastic stability conditions in various crystal systems.
    """
    with float64():
        tensor = _checked(elastic)
        tensor = (tensor + tensor.mT) / 2 * _like(_MANDEL, tensor)
        strain = jnp.linalg.eigh(jax.lax.stop_gradient(tensor))[1][..., :1]
        return jnp.sum(strain * tensor * strain.mT, axis=(-2, -1))


def pugh_ratio(bulk: ArrayLike, shear: ArrayLike) -> Array:
    """B / G, a proxy of ductility: ductile metals tend to lie above 1.75. Has meaning where `born` > 0.

    Args:
      bulk: Bulk modulus [...].
      shear: Shear modulus [...], in the same unit.

    Source:
      Pugh (1954), Relations between the elastic moduli and the plastic properties of polycrystalline pure metals.
    """
    with float64():
        return jnp.asarray(bulk, jnp.float64) / jnp.asarray(shear, jnp.float64)


def poisson_ratio(bulk: ArrayLike, shear: ArrayLike) -> Array:
    """(3 B - 2 G) / (2 (3 B + G)), of the isotropic polycrystal; a proxy of ductility that orders alloys as Pugh's ratio does."""
    with float64():
        bulk, shear = jnp.asarray(bulk, jnp.float64), jnp.asarray(shear, jnp.float64)
        return (3 * bulk - 2 * shear) / (2 * (3 * bulk + shear))


def cauchy_pressure(elastic: ArrayLike) -> Array:
    """C12 - C44 of the cubic average, eV/Å³, a proxy of ductility: positive for metallic, negative for directed bonds.

    Source:
      Pettifor (1992), Theoretical predictions of structure and related properties of intermetallics.
    """
    with float64():
        return _sum(_checked(elastic), _CROSS / 6 - _SHEAR / 3)


def universal_anisotropy(elastic: ArrayLike) -> Array:
    """5 G_voigt / G_reuss + B_voigt / B_reuss - 6: zero for an isotropic crystal, positive otherwise where `born` > 0.

    Source:
      Ranganathan & Ostoja-Starzewski (2008), Universal elastic anisotropy index.
    """
    with float64():
        upper, lower = voigt(elastic), reuss(elastic)
        return 5 * upper.shear / lower.shear + upper.bulk / lower.bulk - 6


def _checked(elastic: ArrayLike) -> Array:
    elastic = jnp.asarray(elastic, jnp.float64)
    if elastic.shape[-2:] != (6, 6):
        raise ValueError(f"elastic constants are [..., 6, 6] in Voigt notation, not {elastic.shape}")
    return elastic


def _mapped(matrix: np.ndarray, vector: Array) -> Array:
    """A product with a constant matrix, as a sum."""
    return jnp.sum(jnp.asarray(matrix).reshape(*(1,) * (vector.ndim - 1), *matrix.shape) * vector[..., None, :], axis=-1)


def _like(pattern: np.ndarray, elastic: Array) -> Array:
    return jnp.asarray(pattern).reshape(*(1,) * (elastic.ndim - 2), 6, 6)


def _sum(elastic: Array, weights: np.ndarray) -> Array:
    """Sum over the matrix with weights [6, 6]."""
    return jnp.sum(elastic * _like(weights, elastic), axis=(-2, -1))


@jax.custom_jvp
def _inverse(matrix: Array) -> Array:
    return jnp.linalg.inv(matrix)


@_inverse.defjvp
def _inverse_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    with float64():
        inverse = _inverse(*primals)
        product = lambda a, b: jnp.sum(a[..., :, :, None] * b[..., None, :, :], axis=-2)  # a dot would be transposed in float32
        return inverse, -product(product(inverse, *tangents), inverse)
