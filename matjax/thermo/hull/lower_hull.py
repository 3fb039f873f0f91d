"""The convex hull of energies at one composition: an exact simplex that runs inside jit, vmap and grad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.host import float64

NO_PHASE = 1e6
"""Energy (eV/atom) from which a point is no phase: a mask by large energies, and the price of matter that no phase holds."""

TOLERANCE = 1e-10
"""Reduced cost (eV/atom) below which a phase still lowers the energy: `gap >= -TOLERANCE` certifies the minimum."""

MAX_PIVOT = 2000
"""Pivots after which the search gives up; the gap then says by how much it may have failed."""

_PURE, _TIE, _NEGATIVE = 1e-6, 1e-12, 1e-9


class Hull(NamedTuple):
    """The lowest mixture of phases at one composition.

    Attributes:
      energy: Of the mixture, eV per atom of x; NaN where no mixture of the points has the composition x.
      fractions: [n_element] share of the atoms in each phase of the mixture, >= 0; zeros where fewer phases do.
      indices: [n_element] rows of `points` that these phases are; -1 where an element has no phase (its fraction is 0).
      chemical_potentials: [n_element] eV/atom: energy = x @ chemical_potentials, and the slope of the hull at x. On an
        edge of the hull, as where an element is absent from x, one of the possible slopes.
      gap: Certificate, eV/atom: the most negative of energies - points @ chemical_potentials. Any point lies above the
        plane, so that no mixture is lower, if this is >= -TOLERANCE. -inf where energy is NaN.
      n_pivot: Exchanges of phases that the search took.
    """

    energy: Array
    fractions: Array
    indices: Array
    chemical_potentials: Array
    gap: Array
    n_pivot: Array


def lower_hull(
    x: ArrayLike,
    points: ArrayLike,
    energies: ArrayLike,
    mask: ArrayLike | None = None,
) -> Hull:
    """The lowest energy of a mixture of phases, min_f f @ energies with f @ points = x and f >= 0: exact, for any number of elements.

    Runs in float64 whatever comes in; vmap it over candidates, members and temperatures. All fields can be differentiated
    twice, at fixed phases: d energy is chemical_potentials for x, fractions for energies and -fraction * chemical_potentials
    for points, by the envelope theorem. The slope jumps where the phases change.

    The start is each element's lowest pure phase, or an artificial phase at NO_PHASE where there is none. The phase that
    lies deepest below the current plane comes in; ties of the one that goes are broken by an infinitesimal generic
    displacement of x, so that the search ends also for duplicate and collinear points and for elements absent from x. A
    batch holds candidates times points numbers: split very large ones.

    Args:
      x: Atomic fractions [n_element].
      points: Atomic fractions of the phases [n, n_element]; rows sum to 1.
      energies: eV/atom [n], of any one reference; NO_PHASE or more (inf too) excludes a point. A NaN makes the result NaN.
      mask: [n] False where a point does not take part.

    Raises:
      ValueError: If the shapes do not fit.

    Example:
      >>> hull = lower_hull([0.25, 0.75], [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], [0.0, 0.0, -0.4])
      >>> print(hull.energy, hull.fractions, hull.indices)
      -0.2 [0.5 0.5] [2 1]

    Source:
      Dantzig (1951), primal simplex, with the lexicographic rule of Dantzig, Orden & Wolfe (1955) in its symbolic form.
    """
    with float64():
        x, points, energies = (jnp.asarray(value, jnp.float64) for value in (x, points, energies))
        mask = jnp.ones(energies.shape, bool) if mask is None else jnp.asarray(mask, bool)
        if x.ndim != 1 or points.shape != (*energies.shape, *x.shape) or mask.shape != energies.shape:
            raise ValueError(
                f"a hull takes x [n_element], points [n, n_element], energies [n] and mask [n], not {x.shape}, {points.shape},"
                f" {energies.shape} and {mask.shape}; use jax.vmap over candidates"
            )
        return _lower_hull(x, points, energies, mask)


def energy_above_hull(
    x: ArrayLike,
    energy: ArrayLike,
    points: ArrayLike,
    energies: ArrayLike,
    mask: ArrayLike | None = None,
) -> Array:
    """Energy of a phase above the lowest mixture of the others, eV/atom; negative if it is stable against all of them.

    Args:
      x: Atomic fractions of the phase [n_element].
      energy: Its energy, eV/atom, with the same reference as `energies`.
      points: Atomic fractions of its competitors [n, n_element]; leave the phase itself out, or the result is never negative.
      energies: Of the competitors [n], eV/atom.
      mask: [n] False where a competitor does not take part.

    Returns:
      energy - lower_hull(x, points, energies).energy; NaN where no mixture of competitors has the composition x.
    """
    with float64():
        return jnp.asarray(energy, jnp.float64) - lower_hull(x, points, energies, mask).energy


def decompose(
    x: ArrayLike,
    points: ArrayLike,
    energies: ArrayLike,
    names: Sequence[str],
) -> list[tuple[str, float]]:
    """The phases of the lowest mixture by name, with their share of the atoms, largest first. For people: runs on the host.

    Args:
      x: Atomic fractions [n_element].
      points: Atomic fractions of the phases [n, n_element].
      energies: eV/atom [n].
      names: One per phase.

    Raises:
      ValueError: If names do not fit, or no mixture of the points has the composition x.

    Example:
      >>> decompose([0.375, 0.625], [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], [0.0, 0.0, -0.4], ["Al", "Ni", "NiAl"])
      [('NiAl', 0.75), ('Ni', 0.25)]
    """
    if len(names) != np.shape(energies)[0]:
        raise ValueError(f"{len(names)} names for {np.shape(energies)[0]} phases; give one name per phase")
    hull = lower_hull(x, points, energies)
    if not np.isfinite(hull.energy):
        held = np.any(np.asarray(points)[np.asarray(energies) < NO_PHASE] > 0, axis=0)
        absent = [i for i, amount in enumerate(np.asarray(x)) if amount > 0 and not held[i]]
        cause = f"no phase holds element number {absent}" if absent else "x lies outside the phases, or an energy is not a number"
        raise ValueError(f"x = {np.asarray(x).tolist()} is no mixture of the {len(names)} phases: {cause}; add the pure elements")
    shares = [(names[int(i)], float(f)) for i, f in zip(hull.indices, hull.fractions, strict=True) if float(f) > 0]
    return sorted(shares, key=lambda pair: (-pair[1], pair[0]))


class _Basis(NamedTuple):
    """What the search found: rows of points, the inverse of their compositions, the plane that costs are counted from."""

    indices: Array
    inverse: Array
    reference: Array
    n_pivot: Array


@jax.custom_vjp
def _lower_hull(x: Array, points: Array, energies: Array, mask: Array) -> Hull:
    return _forward(x, points, energies, mask)[0]


# JAX transposes and lowers where the caller stands: both rules enter float64 again.
def _forward(*inputs: Array) -> tuple[Hull, tuple]:
    with float64():
        basis = _search(*inputs)
        return _mixture(basis, *inputs), (basis, inputs)


def _backward(residuals: tuple, cotangent: Hull) -> tuple:
    with float64():
        basis, (*inputs, mask) = residuals
        _, pullback = jax.vjp(lambda *floats: _mixture(basis, *floats, mask), *inputs)
        return (*pullback(cotangent), None)


_lower_hull.defvjp(_forward, _backward)


@jax.jit
def _mixture(basis: _Basis, x: Array, points: Array, energies: Array, mask: Array) -> Hull:
    """The mixture of known phases; differentiable."""
    indices, inverse, reference, n_pivot = basis
    phases = _phases(indices, points)
    for _ in range(2):  # changes no value, but carries the first and second derivatives of the inverse
        inverse = _polish(inverse, phases)
    fractions = x @ inverse
    potentials = inverse @ (jnp.where(indices < 0, NO_PHASE, energies[indices]) - phases @ reference) + reference
    reduced = jnp.where(mask & (energies < NO_PHASE), energies - points @ potentials, jnp.inf)
    possible = jnp.all(jnp.where(indices < 0, jnp.abs(fractions), -fractions) <= _NEGATIVE) & ~jnp.any(mask & ~(energies > -jnp.inf))
    return Hull(
        energy=jnp.where(possible, potentials @ x, jnp.nan),
        fractions=jnp.where((fractions > _TIE) & (indices >= 0), fractions, 0.0),
        indices=indices,
        chemical_potentials=potentials,
        gap=jnp.where(possible, jnp.min(reduced), -jnp.inf),
        n_pivot=n_pivot,
    )


@jax.jit
def _search(x: Array, points: Array, energies: Array, mask: Array) -> _Basis:
    """The basis of the lowest mixture, by the simplex method."""
    n_element = len(x)
    active = mask & (energies < NO_PHASE)
    pure = jnp.where(active[None, :] & (points.T > 1 - _PURE), energies[None, :], jnp.inf)
    lowest, energy = jax.vmap(_argmin)(pure)
    has_pure = jnp.isfinite(energy)
    basis = jnp.where(has_pure, lowest, -1)
    # Costs above the plane through the elements: the simplex then works with numbers of the size of formation energies.
    reference = jnp.where(has_pure, energies[lowest], 0.0)
    costs = jnp.where(active, energies - points @ reference, jnp.inf)
    displacement = jnp.asarray(np.random.default_rng(0).uniform(1, 2, n_element))
    inverse = _polish(jnp.eye(n_element), _phases(basis, points))

    def price(basis, inverse):
        reduced = costs - points @ (inverse @ jnp.where(basis < 0, NO_PHASE, costs[basis]))
        return _argmin(reduced)

    def improves(state):
        *_, lowest, n_pivot = state
        return (lowest < -TOLERANCE) & (n_pivot < MAX_PIVOT)

    def pivot(state):
        basis, inverse, entering, _, n_pivot = state
        step = points[entering] @ inverse
        leaving = _leaving(x @ inverse, displacement @ inverse, step)
        basis = basis.at[leaving].set(entering)
        unit = jnp.arange(n_element, dtype=jnp.int32) == leaving
        inverse = inverse - jnp.outer(inverse[:, leaving], (step - unit) / step[leaving])
        inverse = _polish(inverse, _phases(basis, points))
        return basis, inverse, *price(basis, inverse), n_pivot + 1

    start = (basis, inverse, *price(basis, inverse), jnp.zeros((), jnp.int32))
    basis, inverse, *_, n_pivot = jax.lax.while_loop(improves, pivot, start)
    return _Basis(basis, inverse, reference, n_pivot)


def _phases(basis: Array, points: Array) -> Array:
    """Compositions of the basis [n_element, n_element]; an artificial phase (-1) in slot i is pure in element i."""
    return jnp.where((basis < 0)[:, None], jnp.eye(len(basis)), points[basis])


def _polish(inverse: Array, matrix: Array) -> Array:
    """One Newton-Schulz step: squares the error of an approximate inverse."""
    return inverse @ (2 * jnp.eye(len(matrix)) - matrix @ inverse)


def _leaving(fractions: Array, displaced: Array, step: Array) -> Array:
    """Slot of the phase that vanishes first when the new phase comes in; among ties, the first under the displacement of x."""
    falls = step > _NEGATIVE
    divisor = jnp.where(falls, step, 1.0)
    ratio = jnp.where(falls, jnp.maximum(fractions, 0.0) / divisor, jnp.inf)
    tied = falls & (ratio <= jnp.min(ratio) + _TIE)
    return _argmin(jnp.where(tied, displaced / divisor, jnp.inf))[0]


def _argmin(values: Array) -> tuple[Array, Array]:
    """Position of the first minimum, and the minimum: jnp.argmin does not lower inside the jit of a float32 caller."""
    lowest = jnp.min(values)
    where = jnp.where(values == lowest, jnp.arange(len(values), dtype=jnp.int32), len(values))
    return jnp.min(where), lowest
