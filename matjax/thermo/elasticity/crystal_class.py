"""What the point group of a crystal says of its elastic constants: which are independent, and what the others follow from.

Nine classes: the seven crystal systems, of which the tetragonal and the trigonal come with six or, in their lower Laue class, with
seven constants. A class by name stands in standard axes (`standard_axes` turns a crystal into them); rotations work in any.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import spglib

from matjax.types import Array, Crystal

SYMPREC = 0.01
"""Tolerance of spglib in Å: a crystal that was relaxed, not one that is only nearly symmetric."""

ELASTIC_CLASSES = {
    "cubic": (11, 12, 44),
    "hexagonal": (11, 12, 13, 33, 44),
    "trigonal": (11, 12, 13, 14, 33, 44),
    "trigonal -3": (11, 12, 13, 14, 15, 33, 44),
    "tetragonal": (11, 12, 13, 33, 44, 66),
    "tetragonal 4/m": (11, 12, 13, 16, 33, 44, 66),
    "orthorhombic": (11, 12, 13, 22, 23, 33, 44, 55, 66),
    "monoclinic": (11, 12, 13, 15, 22, 23, 25, 33, 35, 44, 46, 55, 66),
    "triclinic": tuple(10 * i + j for i in range(1, 7) for j in range(i, 7)),
}
"""Independent elastic constants C_ij of every class in standard axes; "trigonal" is -3m, "tetragonal" is 4/mmm."""

# Rotations that make each class, (axis, order). A rotation and the same with inversion do the same to elastic constants.
_X, _Y, _Z, _DIAGONAL = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)
_MADE_BY = {
    "cubic": ((_Z, 4), (_DIAGONAL, 3)),
    "hexagonal": ((_Z, 6), (_X, 2)),
    "trigonal": ((_Z, 3), (_X, 2)),
    "trigonal -3": ((_Z, 3),),
    "tetragonal": ((_Z, 4), (_X, 2)),
    "tetragonal 4/m": ((_Z, 4),),
    "orthorhombic": ((_Z, 2), (_X, 2)),
    "monoclinic": ((_Y, 2),),
    "triclinic": (),
}

_BY_NUMBER = {  # last space group of each class
    2: "triclinic",
    15: "monoclinic",
    74: "orthorhombic",
    88: "tetragonal 4/m",
    142: "tetragonal",
    148: "trigonal -3",
    167: "trigonal",
    194: "hexagonal",
    230: "cubic",
}
_TWOFOLD_BESIDE_A = (149, 151, 153, 157, 159, 162, 163)  # trigonal groups (312, 31m, -31m) whose twofold axis is perpendicular to a

_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def crystal_class(crystal: Crystal, symprec: float = SYMPREC) -> str:
    """The class of a crystal's elastic constants, a key of ELASTIC_CLASSES.

    Args:
      crystal: Periodic in three directions.
      symprec: Tolerance in Å.

    Raises:
      ValueError: If spglib finds no space group.
    """
    number = _symmetry(crystal, symprec).number
    return next(name for last, name in _BY_NUMBER.items() if number <= last)


def point_group_rotations(crystal: Crystal, symprec: float = SYMPREC) -> np.ndarray:
    """Orthogonal matrices Q [n, 3, 3] of a crystal's point group, in the axes in which its lattice is written: x' = Q x.

    Those of its primitive cell: also a supercell has them all.

    Args:
      crystal: Periodic in three directions; any setting, any orientation.
      symprec: Tolerance in Å.

    Raises:
      ValueError: If spglib finds no space group.
    """
    found = _symmetry(crystal, symprec)
    in_lattice = np.unique(_operations(found.hall_number), axis=0)
    columns, turn = found.std_lattice.T, _orthogonal(found.std_rotation_matrix)
    return turn.T @ _orthogonal(columns @ in_lattice @ np.linalg.inv(columns)) @ turn


def standard_axes(crystal: Crystal, symprec: float = SYMPREC) -> np.ndarray:
    """The rotation Q [3, 3] into standard axes, x' = Q x: z along the main axis, x along a or the twofold axis, y along a monoclinic one.

    `rotate(elastic, standard_axes(crystal))` is what tables list. Of a triclinic crystal the axes are those of spglib's reduced cell.

    Args:
      crystal: Periodic in three directions.
      symprec: Tolerance in Å.

    Raises:
      ValueError: If spglib finds no space group.
    """
    found = _symmetry(crystal, symprec)
    rotation = _orthogonal(found.std_rotation_matrix)
    is_beside = found.number in _TWOFOLD_BESIDE_A
    return rotation_about(_Z, 4) @ rotation if is_beside else rotation


def rotation_about(axis: tuple[int, int, int], order: int) -> np.ndarray:
    """The right-handed rotation [3, 3] by 360 degrees / order about an axis (Rodrigues)."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = 2 * np.pi / order
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def bond_matrices(rotations: Array) -> np.ndarray:
    """Matrices M [..., 6, 6] that rotate stresses in Voigt's order, so that elastic constants become M C M^T.

    Args:
      rotations: Orthogonal matrices [..., 3, 3], proper or not.

    Source:
      Bond (1943), The mathematics of the physical properties of crystals, eq. 8.4 and table.
    """
    q = np.asarray(rotations, np.float64)
    rows = []
    for i, j in _PAIRS:
        both = lambda k, l, i=i, j=j: q[..., i, k] * q[..., j, l] + (q[..., i, l] * q[..., j, k] if k != l else 0)
        rows.append(np.stack([both(k, l) for k, l in _PAIRS], -1))
    return np.stack(rows, -2)


def projector(rotations: Array) -> np.ndarray:
    """The linear map [36, 36] of flattened elastic constants onto those that a point group leaves as they are: its average.

    Args:
      rotations: All of the group, [n, 3, 3].

    Raises:
      ValueError: If they are not orthogonal matrices, or not a group.
    """
    rotations = np.asarray(rotations, np.float64)
    if rotations.ndim != 3 or rotations.shape[1:] != (3, 3) or not len(rotations):
        raise ValueError(f"rotations are [n, 3, 3], not {rotations.shape}")
    if np.abs(rotations @ rotations.swapaxes(1, 2) - np.eye(3)).max() > 1e-6:
        raise ValueError("rotations must be orthogonal matrices; `point_group_rotations` has those of a crystal")
    bond = bond_matrices(rotations)
    average = np.einsum("nac,nbd->abcd", bond, bond).reshape(36, 36) / len(bond)
    if np.abs(average @ average - average).max() > 1e-6:
        raise ValueError(f"{len(rotations)} rotations are no group: the product of some two is missing")
    return average


@cache
def class_projector(name: str) -> np.ndarray:
    """`projector` of a class in standard axes.

    Raises:
      ValueError: If the class is not a key of ELASTIC_CLASSES.
    """
    if name not in ELASTIC_CLASSES:
        raise ValueError(f"{name!r} is no class of elastic constants; allowed: {', '.join(ELASTIC_CLASSES)}")
    return projector(class_rotations(name))


@cache
def class_rotations(name: str) -> np.ndarray:
    """Proper rotations [n, 3, 3] of a class in standard axes: products of its generators until no new one turns up."""
    group = [np.eye(3)]
    makers = [rotation_about(axis, order) for axis, order in _MADE_BY[name]]
    for known in group:  # grows while it is walked through
        for maker in makers:
            product = maker @ known
            if not any(np.allclose(product, other, atol=1e-9) for other in group):
                group.append(product)
    return np.stack(group)


def _symmetry(crystal: Crystal, symprec: float) -> Any:
    if not crystal.pbc.all():
        raise ValueError(f"a point group of a crystal needs one that is periodic along a, b and c; pbc is {crystal.pbc}")
    cell = (crystal.lattice.tolist(), (crystal.positions @ np.linalg.inv(crystal.lattice)).tolist(), crystal.numbers.tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib 2 returns None and announces on every call that it will raise
        try:
            found = spglib.get_symmetry_dataset(cell, symprec=symprec)
        except spglib.SpglibError:
            found = None
    if found is None:
        raise ValueError(f"spglib finds no symmetry within {symprec} Å; do atoms overlap?")
    return found


def _operations(hall_number: int) -> np.ndarray:
    """Rotations [n, 3, 3] of a space group in the basis of its standard cell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found: Any = spglib.get_symmetry_from_database(hall_number)
    return np.asarray(found["rotations"])


def _orthogonal(matrices: np.ndarray) -> np.ndarray:
    """The nearest orthogonal matrices."""
    u, _, v = np.linalg.svd(matrices)
    return u @ v
