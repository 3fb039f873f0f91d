"""Hulls of many candidates, members and temperatures in one call, each entry against the others, and open systems."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from matjax.thermo.host import float64
from matjax.thermo.hull.fixed_hull import MOST_ELEMENTS, fixed_hull, hull_at
from matjax.thermo.hull.lower_hull import NO_PHASE, Hull, lower_hull

CHUNK = 256
"""Candidates that a search runs at a time: CHUNK times phases numbers are held."""

FEW = 200
"""Candidates from which finding all facets first pays."""

ON_HULL = 1e-9
"""Energy above the hull of all phases (eV/atom) below which a phase may be one of its corners."""

Progress = Callable[[int, int], None]


class AboveHull(NamedTuple):
    """Energies above the hull, with the mixtures that they are counted from.

    Attributes:
      value: eV/atom [..., m]; negative where a phase is stable against all of its competitors; NaN where these hold no mixture.
      hull: The mixtures, fields with leading axes [..., m]; `hull.gap >= -TOLERANCE` certifies each.
    """

    value: Array
    hull: Hull


class OpenSystem(NamedTuple):
    """Phases in contact with reservoirs of some elements.

    Attributes:
      points: Fractions of the atoms of the other elements [n, n_element - n_open]; where there are none, equal ones.
      energies: Grand energy per atom of the other elements [..., n], eV.
      mask: [n] False where a phase consists of open elements alone: it does not take part.
    """

    points: Array
    energies: Array
    mask: Array


def lower_hulls(
    x: ArrayLike,
    points: ArrayLike,
    energies: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    exclude: ArrayLike | None = None,
    n_present: int | None = None,
    chunk: int = CHUNK,
    progress: Progress | None = None,
) -> Hull:
    """`lower_hull` for many candidates and many sets of energies (members, temperatures, ...), in bounded memory.

    Args:
      x: Atomic fractions of the candidates [m, n_element].
      points: Atomic fractions of the phases [n, n_element].
      energies: eV/atom [..., n]; any leading axes.
      mask: [n], or [..., n] as energies. False where a phase does not take part.
      exclude: [m] row of `points` that a candidate does not compete with (itself); -1 for none.
      n_present: Most elements that one candidate holds. Where fewer than n_element, each search runs in the candidate's own
        elements, among the phases of these alone: much cheaper in a pool of many elements. Chemical potentials of other
        elements are then NaN, and `indices` still says rows of `points` (-1 in the slots of absent elements). Candidates with
        more elements are NaN. Outside jit it is found from x.
      chunk: Candidates that run at a time.
      progress: Called with (searches done, of how many) after every chunk; not inside jit.

    Returns:
      Fields with leading axes [..., m].

    Raises:
      ValueError: If the shapes do not fit.
    """
    with float64():
        x, points, energies = (jnp.asarray(value, jnp.float64) for value in (x, points, energies))
        _check(jnp.asarray(x), jnp.asarray(points), jnp.asarray(energies))
        mask = jnp.broadcast_to(True if mask is None else jnp.asarray(mask, bool), energies.shape)
        exclude = jnp.full(len(x), -1, jnp.int32) if exclude is None else jnp.asarray(exclude, jnp.int32)
        if exclude.shape != x.shape[:1]:
            raise ValueError(f"exclude is one row of points per candidate, [{len(x)}], not {exclude.shape}")
        if n_present is None:
            n_present = x.shape[1] if isinstance(x, Tracer) else int((np.asarray(x) > 0).sum(1).max(initial=1))
        lead, n = energies.shape[:-1], energies.shape[-1]
        flat, masks = energies.reshape(-1, n), mask.reshape(-1, n)
        chunk = max(1, min(chunk, len(x)))
        if progress is None:
            result = _all(x, exclude, points, flat, masks, n_present, chunk)
        else:
            result = _one_by_one(x, exclude, points, flat, masks, n_present, chunk, progress)
        return jax.tree.map(lambda field: field.reshape(lead + field.shape[1:]), result)


def energies_above_hull(
    x: ArrayLike,
    energy: ArrayLike,
    points: ArrayLike,
    energies: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    n_present: int | None = None,
    chunk: int = CHUNK,
    progress: Progress | None = None,
) -> AboveHull:
    """Energies of new candidates above the hull of known phases, for all members and temperatures in one call.

    Many candidates of few elements outside jit go by all facets (`fixed_hull`), others by one search each; the answers agree to
    rounding.

    Args:
      x: Atomic fractions of the candidates [m, n_element].
      energy: Of the candidates, eV/atom [..., m], with the reference of `energies` and its leading axes (they broadcast).
      points: Atomic fractions of the phases [n, n_element], without the candidates themselves.
      energies: Of the phases [..., n], eV/atom.
      mask: As `lower_hulls`.
      n_present: As `lower_hulls`.
      chunk: As `lower_hulls`.
      progress: As `lower_hulls`.

    Raises:
      ValueError: If the shapes do not fit.
    """
    with float64():
        energy = jnp.asarray(energy, jnp.float64)
        if energy.ndim < 1 or energy.shape[-1:] != np.shape(x)[:1]:
            raise ValueError(f"candidates are x [m, n_element] and energy [..., m], not {np.shape(x)} and {energy.shape}")
        hull = _by_facets(x, points, energies, mask, progress)
        if hull is None:
            hull = lower_hulls(x, points, energies, mask, n_present=n_present, chunk=chunk, progress=progress)
        rank = max(energy.ndim, hull.energy.ndim)
        ours, theirs = (value.reshape((1,) * (rank - value.ndim) + value.shape) for value in (energy, hull.energy))
        return AboveHull(ours - theirs, hull)


def stabilities_of_entries(
    points: ArrayLike,
    energies: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    n_present: int | None = None,
    chunk: int = CHUNK,
    progress: Progress | None = None,
) -> Array:
    """Each phase against all others: its energy above their hull, negative by how much it is stable, eV/atom [..., n].

    A phase strictly above the hull of all is not part of that hull, which therefore is that of the others too: where there are
    facets, only the phases on the hull need a search of their own. Of two equal phases each is the other's competitor: both 0.
    NaN where the others hold no mixture, as for the only phase of an element.

    Args:
      points: Atomic fractions [n, n_element].
      energies: eV/atom [..., n].
      mask: [n] or [..., n]. False where a phase does not compete; it is compared all the same.
      n_present: As `lower_hulls`.
      chunk: As `lower_hulls`.
      progress: As `lower_hulls`.
    """
    with float64():
        points, energies = jnp.asarray(points, jnp.float64), jnp.asarray(energies, jnp.float64)
        _check(points, points, energies)
        rows = jnp.arange(len(points), dtype=jnp.int32)
        search = functools.partial(lower_hulls, n_present=n_present, chunk=chunk, progress=progress)
        whole = _by_facets(points, points, energies, mask, None)
        if whole is None:
            return energies - search(points, points, energies, mask, exclude=rows).energy
        n = len(points)
        masks = np.broadcast_to(True if mask is None else np.asarray(mask, bool), energies.shape).reshape(-1, n)
        flat, values = energies.reshape(-1, n), np.array(energies - whole.energy).reshape(-1, n)
        for value, energy, others in zip(values, flat, masks, strict=True):
            corners = np.flatnonzero(~(value > ON_HULL))
            padded = np.pad(corners, (0, -len(corners) % chunk), mode="edge") if len(corners) else corners
            if len(corners):
                found = search(points[padded], points, energy, others, exclude=padded).energy
                value[corners] = np.asarray(energy)[corners] - np.asarray(found)[: len(corners)]
        return jnp.asarray(values.reshape(energies.shape))


def open_system(points: ArrayLike, energies: ArrayLike, elements: Sequence[int], chemical_potentials: ArrayLike) -> OpenSystem:
    """Phases in contact with reservoirs: what the hull functions take for the remaining elements.

    Grand energy per atom of the others: (E - sum_o x_o mu_o) / (1 - sum_o x_o). Candidates are transformed in the same way.

    Args:
      points: Atomic fractions [n, n_element].
      energies: eV/atom [..., n].
      elements: Columns of the open elements.
      chemical_potentials: Of these [n_open], eV/atom, with the reference of `energies`.

    Raises:
      ValueError: If there are not as many chemical potentials as open elements, or no element is left.
    """
    with float64():
        points, energies, potentials = (jnp.asarray(value, jnp.float64) for value in (points, energies, chemical_potentials))
        columns = [i for i in range(points.shape[1]) if i not in elements]
        if potentials.shape != (len(elements),) or len(columns) != points.shape[1] - len(elements) or not columns:
            raise ValueError(
                f"chemical potentials of shape {potentials.shape} for the open elements {list(elements)} of {points.shape[1]}:"
                " give one each, name no column twice, and leave an element"
            )
        exchanged = points[:, jnp.asarray(elements, jnp.int32)]
        left = jnp.sum(points[:, np.array(columns)], 1)
        mask = left > ON_HULL
        left = jnp.where(mask, left, 1.0)
        rest = jnp.where(mask[:, None], points[:, np.array(columns)] / left[:, None], 1 / len(columns))
        grand = energies - (exchanged @ potentials).reshape((1,) * (energies.ndim - 1) + (-1,))
        return OpenSystem(rest, grand / left.reshape((1,) * (energies.ndim - 1) + (-1,)), mask)


def _check(x: Array, points: Array, energies: Array) -> None:
    if x.ndim != 2 or points.ndim != 2 or x.shape[1] != points.shape[1] or energies.ndim < 1 or energies.shape[-1] != len(points):
        raise ValueError(
            f"hulls take x [m, n_element], points [n, n_element] and energies [..., n], not {x.shape}, {points.shape} and {energies.shape}"
        )
    if len(x) == 0:
        raise ValueError("no candidate to find a hull at; give at least one")


def _by_facets(x: ArrayLike, points: ArrayLike, energies: ArrayLike, mask: ArrayLike | None, progress: Progress | None) -> Hull | None:
    """The hulls by facets, if that pays and works, else None."""
    given = (x, points, energies, mask)
    if any(isinstance(value, Tracer) for value in given) or np.ndim(points) != 2 or not 2 <= np.shape(points)[1] <= MOST_ELEMENTS:
        return None
    x, points, energies = (np.asarray(value, float) for value in (x, points, energies))
    _check(jnp.asarray(x), jnp.asarray(points), jnp.asarray(energies))
    masks = np.broadcast_to(True if mask is None else np.asarray(mask, bool), energies.shape).reshape(-1, len(points))
    sets = energies.reshape(-1, len(points))
    pure = [np.any((points > 1 - 1e-6) & (m & (e < NO_PHASE))[:, None], 0).all() for e, m in zip(sets, masks, strict=True)]
    if len(x) < FEW or not all(pure) or not len(sets):
        return None
    parts = []
    for done, (one, taking_part) in enumerate(zip(sets, masks, strict=True), 1):
        broken = bool(np.any(taking_part & ~(one > -np.inf)))
        facets = fixed_hull(points, one, taking_part)
        if not facets.complete and not broken:
            return None
        parts.append(hull_at(facets, x))
        if progress is not None:
            progress(done * len(x), len(sets) * len(x))
    return jax.tree.map(lambda *fields: jnp.stack(fields).reshape(energies.shape[:-1] + fields[0].shape), *parts)


@functools.partial(jax.jit, static_argnames=("n_present", "chunk"))
def _all(x: Array, exclude: Array, points: Array, energies: Array, masks: Array, n_present: int, chunk: int) -> Hull:
    """Hulls [n_set, m], a chunk of candidates of one set at a time."""
    m = len(x)
    rows = jnp.minimum(jnp.arange(m + -m % chunk, dtype=jnp.int32), m - 1).reshape(-1, chunk)
    block = lambda energy, mask: lambda row: _block(x[row], exclude[row], points, energy, mask, n_present)
    result = jax.lax.map(lambda one: jax.lax.map(block(*one), rows), (energies, masks))
    return jax.tree.map(lambda field: field.reshape(len(energies), -1, *field.shape[3:])[:, :m], result)


def _one_by_one(
    x: Array, exclude: Array, points: Array, energies: Array, masks: Array, n_present: int, chunk: int, progress: Progress
) -> Hull:
    m, sets = len(x), []
    for i, (energy, mask) in enumerate(zip(energies, masks, strict=True)):
        parts = []
        for start in range(0, m, chunk):
            rows = np.minimum(np.arange(start, start + chunk), m - 1)
            parts.append(jax.block_until_ready(_block(x[rows], exclude[rows], points, energy, mask, n_present)))
            progress(i * m + min(start + chunk, m), len(energies) * m)
        sets.append(jax.tree.map(lambda *fields: jnp.concatenate(fields)[:m], *parts))
    return jax.tree.map(lambda *fields: jnp.stack(fields), *sets)


@functools.partial(jax.jit, static_argnames="n_present")
def _block(x: Array, exclude: Array, points: Array, energies: Array, mask: Array, n_present: int) -> Hull:
    rows = jnp.arange(len(points), dtype=jnp.int32)

    def one(x: Array, own: Array) -> Hull:
        return _among_present(x, points, energies, mask & (rows != own), n_present)

    return jax.vmap(one)(x, exclude)


def _among_present(x: Array, points: Array, energies: Array, mask: Array, n_present: int) -> Hull:
    """The hull in the elements of x alone; what takes part there is known to hold no other."""
    if n_present >= len(x):
        return lower_hull(x, points, energies, mask)
    columns = jnp.sort(jnp.argsort(-jax.lax.stop_gradient(x))[:n_present])
    near = points[:, columns]
    hull = lower_hull(x[columns], near, energies, mask & (jnp.sum(near, 1) > 1 - ON_HULL))
    fits = jnp.sum(x > 0) <= n_present
    nan = jnp.full(len(x), jnp.nan)
    return Hull(
        energy=jnp.where(fits, hull.energy, jnp.nan),
        fractions=jnp.zeros(len(x)).at[columns].set(hull.fractions),
        indices=jnp.full(len(x), -1, jnp.int32).at[columns].set(hull.indices),
        chemical_potentials=nan.at[columns].set(hull.chemical_potentials),
        gap=jnp.where(fits, hull.gap, -jnp.inf),
        n_pivot=hull.n_pivot,
    )
