"""A hull found once, for screening: all its facets, and the lowest mixture at any composition by one matrix product."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from scipy.spatial import ConvexHull, QhullError

from matjax.thermo.host import float64
from matjax.thermo.hull.lower_hull import NO_PHASE, Hull

MOST_ELEMENTS = 6
"""Elements up to which facets pay: their number grows some fivefold with each element, the cost of a simplex search hardly."""

CHUNK = 512
"""Candidates that are compared with all facets at a time."""

_PURE, _NEGATIVE, _VOLUME = 1e-6, 1e-9, 1e-14
_COMPARISONS = 4_000_000  # facets times points, at a time, when facets are certified


class FixedHull(NamedTuple):
    """The facets of a hull. Facets that fill up a fixed size have indices -1 and potentials -NO_PHASE: they are never the highest.

    Attributes:
      points: Atomic fractions of the phases [n, n_element], as given.
      energies: eV/atom [n], as given.
      indices: [n_facet, n_element] rows of `points` at the corners of each facet.
      inverse: [n_facet, n_element, n_element] inverse of the corners' compositions: fractions = x @ inverse.
      chemical_potentials: [n_facet, n_element] eV/atom: the plane of each facet.
      gap: [n_facet] certificate, eV/atom: how far the lowest phase lies above the plane; rounding makes it slightly negative.
      complete: Whether the facets found fit the size and cover all compositions.
    """

    points: Array
    energies: Array
    indices: Array
    inverse: Array
    chemical_potentials: Array
    gap: Array
    complete: Array


def fixed_hull(points: ArrayLike, energies: ArrayLike, mask: ArrayLike | None = None, *, size: int | None = None) -> FixedHull:
    """All facets of the lower hull of the phases, by Qhull on the host; only phases below the plane of the elements go in.

    To use where one set of phases meets many candidates and has at most MOST_ELEMENTS elements; otherwise use `lower_hull`.
    Runs on the host; the result is a tree of arrays, which jit, vmap (stacked, of one `size`) and grad take.

    Args:
      points: Atomic fractions of the phases [n, n_element]; each element needs a pure phase.
      energies: eV/atom [n], of any one reference; NO_PHASE or more excludes a point. A NaN leaves no facet: all answers are NaN.
      mask: [n] False where a point does not take part.
      size: Number of facets to fill up to; without it, the next power of two. More facets than that are left out, the hull
        is then not `complete`, and compositions in the holes are NaN.

    Raises:
      ValueError: If the shapes do not fit, or an element has no pure phase.

    Source:
      Barber, Dobkin & Huhdanpaa (1996), The Quickhull algorithm for convex hulls.
    """
    with float64():
        points, energies = np.asarray(points, float), np.asarray(energies, float)
        mask = np.ones(energies.shape, bool) if mask is None else np.asarray(mask, bool)
        if points.ndim != 2 or points.shape[:1] != energies.shape or mask.shape != energies.shape:
            raise ValueError(
                f"phases are points [n, n_element], energies [n], mask [n]; not {points.shape}, {energies.shape}, {mask.shape}"
            )
        indices, inverse, gap, complete = _facets(points, energies, mask, size)
        corners = np.where(indices >= 0, energies[indices], 0.0)
        level = corners.mean()  # total energies of thousands of eV would cost digits
        potentials = np.einsum("fik,fk->fi", inverse, corners - level) + level
        potentials = np.where(indices[:, :1] >= 0, potentials, -NO_PHASE)
        return FixedHull(*(jnp.asarray(field) for field in (points, energies, indices, inverse, potentials, gap, complete)))


def hull_at(hull: FixedHull, x: ArrayLike) -> Hull:
    """The lowest mixtures at many compositions: the facet that lies highest there, E_hull(x) = max_f mu_f . x.

    First derivatives are those of the envelope theorem, as of `lower_hull`: the chemical potentials for x, the fractions for
    energies, for points the fractions times minus the chemical potentials. (Fractions and potentials of the result are constants.)
    Energies and points are variables as `hull._replace(energies=...)`, at the facets that the hull has.

    Args:
      hull: Of `fixed_hull`.
      x: Atomic fractions [..., n_element].

    Returns:
      Fields with leading axes [...]. energy is NaN, and gap -inf, where x lies on none of the facets: no composition, or an
      incomplete hull. n_pivot is 0.
    """
    with float64():
        x = jnp.asarray(x, jnp.float64)
        if x.ndim < 1 or x.shape[-1] != hull.points.shape[1]:
            raise ValueError(f"compositions of {hull.points.shape[1]} elements for this hull, not of shape {x.shape}")
        rows = x.reshape(-1, x.shape[-1])
        result = _at(hull, rows)
        return jax.tree.map(lambda field: field.reshape(x.shape[:-1] + field.shape[1:]), result)


@jax.jit
def _at(hull: FixedHull, x: Array) -> Hull:
    n, chunk = len(x), min(CHUNK, max(len(x), 1))
    blocks = jnp.pad(x, ((0, -n % chunk), (0, 0))).reshape(-1, chunk, x.shape[1])
    fixed = jax.lax.stop_gradient((hull.chemical_potentials, hull.inverse, blocks))
    best = jax.lax.map(lambda block: _facet(*fixed[:2], block), fixed[2])
    best = best.reshape(-1)[:n]
    indices, potentials = hull.indices[best], jax.lax.stop_gradient(hull.chemical_potentials[best])
    fractions = jax.lax.stop_gradient(jnp.einsum("mi,mij->mj", x, hull.inverse[best]))
    total = jnp.abs(jnp.sum(jax.lax.stop_gradient(x), 1) - 1) <= _NEGATIVE
    possible = jnp.all(fractions >= -_NEGATIVE, axis=1) & jnp.all(indices >= 0, axis=1) & total
    fractions = jnp.where(fractions > 1e-12, fractions, 0.0)
    # The Lagrangian at its optimum: the second term is zero to rounding and carries the derivatives.
    above = hull.energies[indices] - jnp.einsum("mki,mi->mk", hull.points[indices], potentials)
    energy = jnp.sum(x * potentials, 1) + jnp.sum(fractions * (above - jax.lax.stop_gradient(above)), 1)
    return Hull(
        energy=jnp.where(possible, energy, jnp.nan),
        fractions=fractions,
        indices=indices,
        chemical_potentials=potentials,
        gap=jnp.where(possible, hull.gap[best], -jnp.inf),
        n_pivot=jnp.zeros(n, jnp.int32),
    )


def _facet(potentials: Array, inverse: Array, x: Array) -> Array:
    """Number of the facet above each x [m, n_element]: the highest; where several of one plane tie, the one that holds x."""
    heights = potentials @ x.T
    rows = jnp.arange(len(potentials), dtype=jnp.int32)
    # The position of a maximum by comparison: jnp.argmax does not lower inside the jit of a float32 caller.
    best = jnp.min(jnp.where(heights == jnp.max(heights, 0)[None, :], rows[:, None], len(rows) - 1), 0)
    real = potentials[:, 0] > -NO_PHASE

    def inside(x: Array) -> Array:
        depth = jnp.where(real, jnp.min(jnp.einsum("i,fij->fj", x, inverse), 1), -jnp.inf)
        return jnp.min(jnp.where(depth == jnp.max(depth), rows, len(rows) - 1))

    def again(row: tuple[Array, Array, Array]) -> Array:
        x, best, outside = row
        return jax.lax.cond(outside, lambda: inside(x), lambda: best)

    outside = jnp.min(jnp.einsum("mi,mij->mj", x, inverse[best]), 1) < -_NEGATIVE
    return jax.lax.cond(jnp.any(outside), lambda: jax.lax.map(again, (x, best, outside)), lambda: best)


def _facets(points: np.ndarray, energies: np.ndarray, mask: np.ndarray, size: int | None) -> tuple:
    """Corners, inverses, gaps of the facets, filled up to `size`, and whether they are all."""
    n_element = points.shape[1]
    active = mask & (energies < NO_PHASE)
    pure = np.where(active[:, None] & (points > 1 - _PURE), energies[:, None], np.inf)
    references = np.min(pure, axis=0, initial=np.inf)
    if not np.isfinite(references).all() and not np.isnan(energies[mask]).any():
        absent = np.flatnonzero(~np.isfinite(references)).tolist()
        raise ValueError(f"element number {absent} has no pure phase to be its reference; add the pure elements, or use lower_hull")
    if not np.isfinite(references).all() or np.any(mask & ~(energies > -np.inf)):
        return _filled(np.zeros((0, n_element), int), np.zeros((0, n_element, n_element)), np.zeros(0), size, False)
    costs = energies - points @ references
    rows = np.concatenate([np.argmin(pure, axis=0), _candidates(points, np.where(active, costs, np.inf))])
    corners = rows[_simplices(points[rows], costs[rows])]
    volume = np.abs(np.linalg.det(points[corners]))
    corners, volume = corners[volume > _VOLUME], volume[volume > _VOLUME]
    inverse = np.linalg.inv(points[corners])
    planes = np.einsum("fij,fj->fi", inverse, costs[corners])
    gap, step = np.empty(len(planes)), max(1, _COMPARISONS // len(rows))
    for start in range(0, len(planes), step):
        gap[start : start + step] = (costs[rows][:, None] - points[rows] @ planes[start : start + step].T).min(0)
    return _filled(corners, inverse, gap, size, abs(volume.sum() - 1) < 1e-6)


def _candidates(points: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Rows that can be on the hull: below the plane of the elements, and the lowest (the first of equals) of their composition."""
    rows = np.flatnonzero(costs < -1e-13)
    if len(rows) == 0:
        return rows
    keys = np.round(points[rows], 12)
    order = np.lexsort((rows, costs[rows], *keys.T))
    new = np.any(np.diff(keys[order], axis=0) != 0, axis=1)
    return np.sort(rows[order[np.concatenate([[True], new])]])


def _simplices(points: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Facets of the lower hull; the first n_element points are the elements, and costs are zero there and negative elsewhere."""
    n_element = points.shape[1]
    if len(points) == n_element:
        return np.arange(n_element)[None]
    top = np.append(np.full(n_element - 1, 1 / n_element), 1.0)  # above the hull: its facets are the ones to leave out
    cloud = np.column_stack([points[:, 1:], costs / np.abs(costs).max()])
    try:
        simplices = ConvexHull(np.vstack([cloud, top]), qhull_options="Qt").simplices
    except QhullError:  # flat to rounding: no facets, which the caller's `complete` then says
        return np.zeros((0, n_element), int)
    return simplices[(simplices < len(points)).all(1)]


def _filled(indices: np.ndarray, inverse: np.ndarray, gap: np.ndarray, size: int | None, complete: bool) -> tuple:
    size = max(64, 1 << (len(indices) - 1).bit_length()) if size is None else size  # few shapes, few compilations
    extra = max(0, size - len(indices))
    pad = lambda values, value: np.pad(values[:size], ((0, extra),) + ((0, 0),) * (values.ndim - 1), constant_values=value)
    whole = np.asarray(complete and len(indices) <= size)
    return pad(indices.astype(np.int32), -1), pad(inverse.astype(float), 0.0), pad(gap.astype(float), -np.inf), whole
