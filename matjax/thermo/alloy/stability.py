"""Phase stability, defined once: used by the reward, the oracle's truth, the audit and the report.

Stability of a candidate = G of the candidate minus the lowest G of any mixture of *other* phases of the same overall
composition: every ordered compound, every composition of the other lattices and of the liquid (if the landscape has one), and
every composition of the same lattice that differs from the candidate's by at least SEPARATION (half the sum of absolute
differences). Same terms, same temperature, same ensemble member. Only phases whose elements are among the candidate's take
part. So a stable solution is negative, a miscibility gap is positive, and the number is continuous. If the candidate is a
compound, the others are every other compound and every composition of every lattice and of the liquid. Phases that are in no
landscape are listed by `not_considered`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from matjax.simulate.prototypes import LATTICES
from matjax.thermo.alloy.gibbs import ALL_TERMS, Terms, gibbs_compounds
from matjax.thermo.alloy.landscape import MEMBERS, Landscape
from matjax.thermo.alloy.liquid import LIQUID, ideal_solidus, part_of
from matjax.thermo.alloy.mixture import N_LATTICE, SEARCH, SEPARATION, Compounds, Search, System, gibbs_of, lowest_mixture, on_face
from matjax.thermo.alloy.not_considered import NEAR_MELTING
from matjax.thermo.alloy.solution import Surface, basis, restrict, update
from matjax.thermo.host import float64

CHUNK = (8, 64)
"""Candidates that go through one compiled call: the smaller where there are no more."""

_SAYS_NOTHING = 1e6  # eV/atom, noise of a datum that is not used


class Own(NamedTuple):
    """What the candidate's own cells say of its lattice; pins the surface near them before anything is compared.

    Attributes:
      enthalpy: eV/atom in the convention of the landscape's data [..., k].
      x: Compositions of the cells [k, n_element].
      noise: Standard deviation of each, eV/atom [k]; infinite where a cell says nothing.
    """

    enthalpy: Any
    x: Any
    noise: Any


class Stability(NamedTuple):
    """How stable a candidate is, and against what.

    Attributes:
      value: G of the candidate minus the lowest G of any mixture of other phases, eV/atom; negative is stable.
      gibbs: G of the candidate, eV/atom relative to the elements' lowest enthalpies.
      fractions: Share of the atoms in each competitor [n_active], summing to 1; zero where fewer phases do.
      phases: What each competitor is [n_active]: an index in LATTICES, len(LATTICES) + number of the compound, or LIQUID.
      compositions: Of each competitor [n_active, n_element].
      gap: Certificate, eV/atom: no mixture is lower by more than this, as far as the last search saw.
      temperature: K.
      with_liquid: Whether the liquid was among the competitors.
    """

    value: Array
    gibbs: Array
    fractions: Array
    phases: Array
    compositions: Array
    gap: Array
    temperature: Array
    with_liquid: Array | bool = False


def stability(
    landscape: Landscape,
    phase: ArrayLike,
    x: ArrayLike,
    temperature: ArrayLike,
    *,
    terms: Terms = ALL_TERMS,
    own: Own | None = None,
    search: Search = SEARCH,
) -> Stability:
    """Stability of one candidate on one member's landscape; see the head of this module for the definition.

    Runs inside jit, vmap (`in_axes=MEMBERS` over members) and grad, if these are called in float64: JAX lowers and transposes
    where the outermost of them is called. Differentiable in temperature, composition and everything the landscape is made of,
    at fixed competitors (envelope theorem).

    Args:
      landscape: One member's.
      phase: Index in LATTICES, len(LATTICES) + number of a compound, or LIQUID.
      x: Composition of the candidate; of a compound, its own.
      temperature: K.
      terms: Terms of every Gibbs energy.
      own: Data of the candidate's own cells (solutions only).
      search: How the lowest mixture is searched.

    Raises:
      ValueError: If the candidate has more elements than the search, or is no composition of the landscape's elements; if a
        jit, vmap or grad around it is not in float64.
    """
    search = check_candidates(landscape, phase, np.shape(x), x, temperature, search)
    with float64():
        x, temperature = jnp.asarray(x, jnp.float64), jnp.asarray(temperature, jnp.float64)
        own = None if own is None else Own(*(jnp.asarray(value, jnp.float64) for value in own))
        return stability_at(landscape, jnp.asarray(phase, jnp.int32), x, temperature, own, terms, search)


def stabilities(
    landscape: Landscape,
    phases: ArrayLike,
    x: ArrayLike,
    temperature: ArrayLike,
    *,
    terms: Terms = ALL_TERMS,
    own: Own | None = None,
    search: Search = SEARCH,
) -> Stability:
    """Stability of many candidates, for every member of the landscape: as `stability`, in chunks of one compiled shape.

    Args:
      landscape: With a leading axis of members.
      phases: One per candidate.
      x: One composition per candidate.
      temperature: K.
      terms: Terms of every Gibbs energy.
      own: enthalpy [n_member, n, k], x [n, k, n_element], noise [n, k].
      search: How the lowest mixture is searched.

    Returns:
      Fields with leading axes [n_member, n].

    Raises:
      ValueError: As `stability`, or if there is no candidate.
    """
    search = check_candidates(landscape, phases, np.shape(x)[1:], x, temperature, search)
    n = len(np.asarray(phases))
    if n == 0:
        raise ValueError("no candidate to judge the stability of; give at least one")
    size = CHUNK[0] if n <= CHUNK[0] else CHUNK[1]
    with float64():
        temperature, x = jnp.asarray(temperature, jnp.float64), jnp.asarray(x, jnp.float64)
        parts = []
        for start in range(0, n, size):
            rows = np.minimum(np.arange(start, start + size), n - 1)
            mine = None if own is None else Own(own.enthalpy[:, rows], own.x[rows], own.noise[rows])
            mine = None if mine is None else Own(*(jnp.asarray(value, jnp.float64) for value in mine))
            part = _stabilities(landscape, jnp.asarray(phases)[rows].astype(jnp.int32), x[rows], temperature, mine, terms, search)
            parts.append(part)
        return jax.tree.map(lambda *ys: jnp.concatenate(ys, 1)[:, :n], *parts)


def describe(result: Stability, elements: Sequence[str], compounds: Sequence[str] = (), *, smallest: float = 1e-3) -> list[dict[str, Any]]:
    """The competitors of one candidate for people: {phase, fraction, composition {symbol: fraction}}, largest first.

    Points of one lattice closer than a SEPARATION are one phase; shares under `smallest` are left out. Where the liquid did not
    compete, a phase whose estimated solidus (`ideal_solidus`) times NEAR_MELTING lies below the temperature has it as `solidus`, K:
    it may be molten.

    Args:
      result: Of one candidate and member.
      elements: Symbols in the order of the landscape.
      compounds: Names in the order of the landscape.
      smallest: Least share of the atoms that is listed.
    """
    merged: list[tuple[int, float, np.ndarray]] = []
    order = np.argsort(-np.asarray(result.fractions))
    for k in order[np.asarray(result.fractions)[order] > 0]:
        phase, fraction, x = int(result.phases[k]), float(result.fractions[k]), np.asarray(result.compositions[k])
        near = lambda row, phase=phase: row[0] == phase and np.abs(row[2] - x).sum() / 2 < SEPARATION - 1e-9  # noqa: B023
        while same := [row for row in merged if near(row)]:  # again, as the mean of two may be near to a third
            _, share, at = same[0]
            merged = [row for row in merged if row is not same[0]]
            fraction, x = share + fraction, (share * at + fraction * x) / (share + fraction)
        merged.append((phase, fraction, x))
    rows: list[dict[str, Any]] = []
    for phase, fraction, x in sorted((row for row in merged if row[1] >= smallest), key=lambda row: -row[1]):
        composition = {e: float(v) for e, v in zip(elements, x, strict=True) if v > 5e-4}
        row = {"phase": _name(phase, compounds), "fraction": fraction, "composition": composition}
        solidus = float(ideal_solidus(list(composition), np.array(list(composition.values()))))
        molten = not np.any(result.with_liquid) and float(result.temperature) > NEAR_MELTING * solidus
        rows.append(row | ({"solidus": solidus} if molten else {}))
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# Inside


def _name(phase: int, compounds: Sequence[str]) -> str:
    if phase == LIQUID:
        return "liquid"
    return LATTICES[phase] if phase < N_LATTICE else compounds[phase - N_LATTICE]


def check_candidates(
    landscape: Landscape, phases: ArrayLike, shape: tuple[int, ...], x: ArrayLike, temperature: ArrayLike, search: Search
) -> Search:
    """Fits the search to the landscape; complains of what is no candidate."""
    n_element = len(landscape.mass)
    if jnp.result_type(float) != jnp.float64 and any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((landscape, x, temperature))):
        raise ValueError("stability is traced in float32; call jit, vmap or grad inside `with jax.enable_x64(True):`")
    if shape != (n_element,):
        raise ValueError(f"a composition of shape {shape} on a landscape of {n_element} elements")
    if not isinstance(phases, Tracer) and landscape.liquid is None and np.any(np.asarray(phases) == LIQUID):
        raise ValueError("the liquid of a landscape that has none: build it with landscape(..., liquid=liquid(elements))")
    if not isinstance(temperature, Tracer) and not (np.isfinite(temperature) & (np.asarray(temperature) >= 0)).all():
        raise ValueError(f"temperature is {temperature} K; it must be a number that is not negative")
    if isinstance(x, Tracer):
        return _fitted(search, n_element)
    rows = np.asarray(x, float).reshape(-1, n_element)
    if len(bad := np.flatnonzero(~((np.abs(rows.sum(-1) - 1) < 1e-5) & (rows >= -1e-9).all(-1)))):
        raise ValueError(f"candidate {bad[0]} has fractions {rows[bad[0]]}; they must be >= 0 and sum to 1")
    if len(rows) and (most := int((rows > 0).sum(-1).max())) > search.n_active:
        raise ValueError(f"a candidate has {most} elements; the search allows {search.n_active} (Search(n_active=...))")
    return _fitted(search, n_element)


def _fitted(search: Search, n_element: int) -> Search:
    return Search(min(search.n_active, n_element), search.n_grid, search.n_round, search.n_step)


@partial(jax.jit, static_argnames=("terms", "search"))
def _stabilities(
    landscape: Landscape, phases: Array, x: Array, temperature: Array, own: Own | None, terms: Terms, search: Search
) -> Stability:
    one = lambda member, phase, x, own: stability_at(member, phase, x, temperature, own, terms, search)
    candidates = jax.vmap(one, in_axes=(None, 0, 0, None if own is None else Own(0, 0, 0)))  # type: ignore[arg-type]
    members = jax.vmap(candidates, in_axes=(MEMBERS, None, None, None if own is None else Own(0, None, None)))  # type: ignore[arg-type]
    return members(landscape, phases, x, own)


@partial(jax.jit, static_argnames=("terms", "search"))
def stability_at(
    landscape: Landscape, phase: Array, x: Array, temperature: Array, own: Own | None, terms: Terms, search: Search
) -> Stability:
    """`stability` of float64 arrays that are known to be sound."""
    elements = jnp.sort(jnp.argsort(x <= 0, stable=True)[: search.n_active])
    compounds = _compounds(landscape, elements, temperature, terms)
    system = System(_subsystem(landscape, elements, phase, temperature, own), compounds, temperature)
    inside = x[elements]
    mixture = lowest_mixture(*jax.lax.stop_gradient((system, phase, inside)), terms, search)
    at = on_face(mixture.x, mixture.face, inside)
    # Fractions and slope are constants here: the derivative of a minimum is that of its Lagrangian (envelope theorem).
    energies = gibbs_of(system, jnp.append(mixture.phase, phase), jnp.concatenate([at, inside[None]]), terms)
    gibbs, lowest = energies[-1], mixture.fractions @ (energies[:-1] - at @ mixture.slope) + inside @ mixture.slope
    with_liquid = jnp.asarray(landscape.liquid is not None)
    compositions = jnp.zeros((search.n_active, len(x))).at[:, elements].set(at)
    return Stability(gibbs - lowest, gibbs, mixture.fractions, mixture.phase, compositions, mixture.gap, temperature, with_liquid)


def _subsystem(landscape: Landscape, elements: Array, phase: Array, temperature: Array, own: Own | None) -> Landscape:
    """The solutions of some elements, the candidate's lattice conditioned on its own cells."""
    columns = restrict(len(landscape.mass), elements)
    some = lambda surface: surface._replace(mean=surface.mean[:, columns])
    enthalpy = some(landscape.enthalpy)
    if own is not None:
        lattice = jnp.clip(phase, 0, N_LATTICE - 1)
        surface = Surface(enthalpy.mean[lattice], landscape.enthalpy.covariance[lattice][columns[:, None], columns[None]])
        counts = jnp.isfinite(own.noise) & (phase >= 0) & (phase < N_LATTICE)
        relative = jnp.asarray(jnp.where(counts, own.enthalpy - own.x @ landscape.reference, 0.0))
        noise = jnp.asarray(jnp.where(counts, own.noise, _SAYS_NOTHING))
        surface = update(surface, basis(own.x[:, elements]), relative, noise)
        enthalpy = enthalpy._replace(mean=enthalpy.mean.at[lattice].set(surface.mean))
    moduli = some(landscape.log_bulk), some(landscape.log_shear), some(landscape.log_volume)
    liquid = None if landscape.liquid is None else part_of(landscape.liquid, elements, temperature)
    return landscape._replace(
        enthalpy=enthalpy, log_bulk=moduli[0], log_shear=moduli[1], log_volume=moduli[2], mass=landscape.mass[elements], liquid=liquid
    )


def _compounds(landscape: Landscape, elements: Array, temperature: Array, terms: Terms) -> Compounds:
    """The compounds, and one that never takes part (so that there is one)."""
    x = landscape.compound_x[:, elements]
    grow = lambda y, value: jnp.concatenate([y, jnp.full((1, *y.shape[1:]), value, y.dtype)])
    return Compounds(grow(x, 0.0), grow(gibbs_compounds(landscape, temperature, terms), 0.0), grow(x.sum(-1) > 1 - 1e-9, False))
