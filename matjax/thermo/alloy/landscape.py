"""One member's free-energy landscape: smooth surfaces of each lattice's solution, and the ordered compounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from matjax.config import spec
from matjax.simulate.prototypes import LATTICES
from matjax.thermo.alloy.liquid import Liquid
from matjax.thermo.alloy.solution import RedlichKister, Surface, evaluate, fit_surface
from matjax.thermo.host import float64

ROWS = 64  # data are padded to a multiple of this, so that a growing data set seldom compiles anew


@spec
class Surfaces:
    """How data become a landscape.

    Attributes:
      enthalpy: Of the enthalpy, eV/atom.
      log_modulus: Of the logarithms of bulk and shear modulus.
      log_volume: Of the logarithm of volume per atom.
      bulk_floor: Smallest bulk modulus that is believed, eV/Å³ (10 GPa).
      shear_floor: Smallest shear modulus, eV/Å³ (5 GPa).
    """

    enthalpy: RedlichKister = RedlichKister()
    log_modulus: RedlichKister = RedlichKister(
        element=0.7, pair=1.0, pair_1=0.4, pair_2=0.2, ternary=1.0, quaternary=1.0, noise=0.05, noise_element=0.01
    )
    log_volume: RedlichKister = RedlichKister(
        element=0.3, pair=0.2, pair_1=0.1, pair_2=0.05, ternary=0.2, quaternary=0.2, noise=0.005, noise_element=1e-4
    )
    bulk_floor: float = 0.0624
    shear_floor: float = 0.0312


SURFACES = Surfaces()


class NoReference(ValueError):
    """An element is not known on a lattice, so that no enthalpy of mixing can be told."""


class Points(NamedTuple):
    """What is known, as plain arrays; values may have a leading axis of members and NaN where unknown.

    Attributes:
      lattice: Index in LATTICES [n]; of a compound, its parent lattice.
      x: Compositions [n, n_element].
      enthalpy: eV/atom, any one convention (it is taken relative to the elements here) [..., n].
      volume: Å³ per atom [..., n].
      bulk: Bulk modulus, eV/Å³ [..., n].
      shear: Shear modulus, eV/Å³ [..., n].
    """

    lattice: Any
    x: Any
    enthalpy: Any
    volume: Any
    bulk: Any
    shear: Any


class Landscape(NamedTuple):
    """Enthalpy (eV/atom relative to the elements' lowest lattices), moduli and volume of every phase; a pytree.

    Means, compound values and reference may have a leading axis of members; `jax.vmap(f, in_axes=(MEMBERS, ...))` runs
    over it.

    Attributes:
      enthalpy: Surfaces of the lattices: mean [..., n_lattice, n_basis], covariance [n_lattice, n_basis, n_basis].
      log_bulk: Likewise, of the logarithm of the bulk modulus in eV/Å³.
      log_shear: Of the shear modulus in eV/Å³.
      log_volume: Of volume per atom in Å³.
      mass: Of the elements [n_element], atomic mass units.
      reference: Lowest enthalpy of each element over the lattices, in the convention of the data [..., n_element].
      compound_x: [n_compound, n_element].
      compound_enthalpy: eV/atom relative to the elements [..., n_compound].
      compound_log_bulk: [..., n_compound].
      compound_log_shear: [..., n_compound].
      compound_log_volume: [..., n_compound].
      liquid: Shared by all members; None where there is none.
    """

    enthalpy: Surface
    log_bulk: Surface
    log_shear: Surface
    log_volume: Surface
    mass: Array
    reference: Array
    compound_x: Array
    compound_enthalpy: Array
    compound_log_bulk: Array
    compound_log_shear: Array
    compound_log_volume: Array
    liquid: Liquid | None = None


_OVER: Any = 0
_SHARED: Any = None
_SURFACE = Surface(_OVER, _SHARED)
MEMBERS = Landscape(_SURFACE, _SURFACE, _SURFACE, _SURFACE, _SHARED, _OVER, _SHARED, _OVER, _OVER, _OVER, _OVER, _SHARED)
"""`in_axes` of a landscape whose values have a leading axis of members."""


def landscape(
    elements: Sequence[str],
    mass: ArrayLike,
    solutions: Points,
    compounds: Points | None = None,
    settings: Surfaces = SURFACES,
    liquid: Liquid | None = None,
) -> Landscape:
    """Fits the landscape to data of solutions, pure elements among them, and takes compounds as they are.

    Differentiable in every value; compositions and lattices are host arrays. Moduli below the floors count as the floors.
    A compound whose volume or moduli are unknown has those of the solution of its parent lattice and composition.

    Args:
      elements: Symbols, in the order of the last axis of compositions.
      mass: Atomic masses.
      solutions: Data of the lattices; every element must be there by itself on every lattice.
      compounds: Ordered compounds; each enthalpy must be known.
      settings: Priors and floors.
      liquid: One more competitor, see `liquid`; of the same elements in the same order.

    Raises:
      NoReference: If an element lacks its own point on a lattice.
      ValueError: If shapes disagree, a composition is none, nothing is known of volume or moduli, or the enthalpy of a compound is
        unknown.
    """
    n_element = len(elements)
    compounds = _nothing(n_element, solutions) if compounds is None else compounds
    for name, points in (("solution", solutions), ("compound", compounds)):
        _check_points(name, points, n_element)
    _check_references(elements, solutions)
    if not _known(compounds.enthalpy).all():
        raise ValueError(
            f"the enthalpy of compound {int(np.argmin(_known(compounds.enthalpy)))} is unknown; leave the compound out or compute it"
        )
    if np.shape(mass) != (n_element,):
        raise ValueError(f"masses have shape {np.shape(mass)} for {n_element} elements")
    if liquid is not None and liquid.pair.shape != (n_element, n_element):
        raise ValueError(
            f"the liquid has {len(liquid.pair)} elements and the landscape {n_element}: make it of the same, in the same order"
        )
    for name in ("volume", "bulk", "shear"):
        if not _known(getattr(solutions, name)).any():
            raise ValueError(f"no solution has a known {name}; at least the pure elements need one")
    known = tuple(_known(getattr(solutions, name)) for name in ("enthalpy", "volume", "bulk", "shear"))
    with float64():
        solutions, known = _pad(solutions, known)
        return _landscape(jnp.asarray(mass, jnp.float64), _float64(solutions), known, _float64(compounds), settings)._replace(liquid=liquid)


@jax.jit
def _landscape(mass: Array, solutions: Points, known: tuple[Array, ...], compounds: Points, settings: Surfaces) -> Landscape:
    """The fits; `known` says which data count, for enthalpy, volume, bulk and shear modulus."""
    surface = lambda prior, y, is_known: _surfaces(solutions, y, is_known, prior)
    enthalpy = surface(settings.enthalpy, solutions.enthalpy, known[0])
    volume = surface(settings.log_volume, jnp.log(solutions.volume), known[1])
    bulk = surface(settings.log_modulus, jnp.log(jnp.maximum(solutions.bulk, settings.bulk_floor)), known[2])
    shear = surface(settings.log_modulus, jnp.log(jnp.maximum(solutions.shear, settings.shear_floor)), known[3])

    n_element = solutions.x.shape[-1]
    reference = enthalpy.mean[..., :n_element].min(-2)
    shift = jnp.pad(reference, [(0, 0)] * (reference.ndim - 1) + [(0, enthalpy.mean.shape[-1] - n_element)])
    relative = compounds.enthalpy - jnp.tensordot(reference, compounds.x, axes=(-1, -1))
    own = lambda y, of: _or_solution(y, of, compounds)
    return Landscape(
        enthalpy=enthalpy._replace(mean=enthalpy.mean - shift[..., None, :]),
        log_bulk=bulk,
        log_shear=shear,
        log_volume=volume,
        mass=mass,
        reference=reference,
        compound_x=compounds.x,
        compound_enthalpy=relative,
        compound_log_bulk=own(jnp.maximum(compounds.bulk, settings.bulk_floor), bulk),
        compound_log_shear=own(jnp.maximum(compounds.shear, settings.shear_floor), shear),
        compound_log_volume=own(compounds.volume, volume),
    )


def _surfaces(points: Points, y: Array, known: Array, prior: RedlichKister) -> Surface:
    """One surface per lattice from the data that are on it, all about the mean of the pure elements' values."""
    y = jnp.asarray(jnp.where(jnp.broadcast_to(known, y.shape), y, 0.0))
    is_element = jnp.asarray(points.x.max(-1) > 1 - 1e-9)
    pure = known & is_element
    count = jnp.asarray(jnp.where(pure.any(), pure, known))
    center = jnp.where(jnp.broadcast_to(count, y.shape), y, 0.0).sum(-1) / count.sum()
    noise = jnp.where(is_element, prior.noise_element, prior.noise)
    fit = lambda lattice: fit_surface(
        points.x, y, prior, noise=jnp.where(known & (points.lattice == lattice), noise, jnp.inf), center=center
    )
    return jax.vmap(fit, out_axes=Surface(-2, 0))(jnp.arange(len(LATTICES)))  # type: ignore[arg-type]


def _or_solution(y: Array, surface: Surface, compounds: Points) -> Array:
    """Logarithm of a compound's value, or the solution's where it is unknown."""
    at = jnp.moveaxis(evaluate(surface, compounds.x), -1, 0)  # [n_compound, ..., n_lattice]
    solution = jnp.moveaxis(jax.vmap(lambda row, lattice: row[..., lattice])(at, compounds.lattice), 0, -1)
    known = jnp.isfinite(y)
    return jnp.where(known, jnp.log(jnp.where(known, y, 1.0)), jnp.broadcast_to(solution, y.shape))


def _known(y: ArrayLike) -> np.ndarray:
    """Which entries every member knows [n]; what is traced counts as known."""
    if isinstance(y, Tracer):
        return np.ones(y.shape[-1:], bool)
    finite = np.isfinite(np.asarray(y))
    return np.logical_and.reduce(finite, axis=tuple(range(finite.ndim - 1)))


def _nothing(n_element: int, solutions: Points) -> Points:
    empty = jnp.zeros((*jnp.shape(solutions.enthalpy)[:-1], 0))
    return Points(np.zeros(0, int), np.zeros((0, n_element)), empty, empty, empty, empty)


def _pad(points: Points, known: tuple[np.ndarray, ...]) -> tuple[Points, tuple[np.ndarray, ...]]:
    """Data up to a multiple of ROWS, with rows that nobody knows."""
    n = len(points.x)
    extra = -n % ROWS
    grow = lambda y: jnp.concatenate([jnp.asarray(y), jnp.ones((*jnp.shape(y)[:-1], extra), jnp.asarray(y).dtype)], -1)
    x = np.concatenate([np.asarray(points.x, float), np.tile(np.asarray(points.x, float)[:1], (extra, 1))])
    padded = Points(np.pad(np.asarray(points.lattice), (0, extra)), x, *(grow(y) for y in points[2:]))
    return padded, tuple(np.pad(row, (0, extra)) for row in known)


def _float64(points: Points) -> Points:
    return Points(jnp.asarray(points.lattice, jnp.int32), *(jnp.asarray(y, jnp.float64) for y in points[1:]))


def _check_points(name: str, points: Points, n_element: int) -> None:
    n = len(points.x)
    shapes = {field: jnp.shape(getattr(points, field)) for field in points._fields}
    lead = shapes["enthalpy"][:-1]
    wanted = {"lattice": (n,), "x": (n, n_element), **dict.fromkeys(("enthalpy", "volume", "bulk", "shear"), (*lead, n))}
    if wrong := [f"{field} is {shapes[field]} and should be {wanted[field]}" for field in shapes if shapes[field] != wanted[field]]:
        raise ValueError(f"shapes of the {name} data disagree: {'; '.join(wrong)}")
    x, lattice = np.asarray(points.x, float), np.asarray(points.lattice)
    bad = np.flatnonzero(~((np.abs(x.sum(-1) - 1) < 1e-6) & (x >= -1e-9).all(-1)))
    if len(bad):
        raise ValueError(f"composition of {name} {bad[0]} is {x[bad[0]]}; fractions must be >= 0 and sum to 1")
    if ((lattice < 0) | (lattice >= len(LATTICES))).any():
        raise ValueError(f"lattice of a {name} is {set(lattice.tolist())}; allowed: 0 to {len(LATTICES) - 1} ({', '.join(LATTICES)})")


def _check_references(elements: Sequence[str], points: Points) -> None:
    """Every element by itself on every lattice."""
    x, lattice, known = np.asarray(points.x, float), np.asarray(points.lattice), _known(points.enthalpy)
    missing = {
        symbol: [name for k, name in enumerate(LATTICES) if not (known & (lattice == k) & (x[:, i] > 1 - 1e-9)).any()]
        for i, symbol in enumerate(elements)
    }
    if gaps := [f"{symbol} on {', '.join(lattices)}" for symbol, lattices in missing.items() if lattices]:
        raise NoReference(f"no reference energy of {'; '.join(gaps)}: add the pure element on these lattices or leave it out of the space")
