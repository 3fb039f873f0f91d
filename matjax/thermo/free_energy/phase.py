"""One scalar free energy per phase, made of parts that are switched on by name, and its Gibbs energy under pressure.

Everything else (entropy, heat capacity, expansion, moduli) is a derivative of that scalar, through the volume where it is free.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.host import float64

PARTS = ("static", "vibrational", "electronic", "magnetic", "configurational")
"""What a free energy can be made of; each at most once."""

N_GRID = 33
"""Volumes at which the lowest minimum is looked for, evenly spaced in their logarithm."""

N_STEP = 12
"""Guarded Newton steps from there to the minimum; it is there after about four."""

CLOSE = 1e-7
"""Relative distance from the minimum, in ln V, that these steps must have reached; one more brings it to rounding."""

T = TypeVar("T")


class Part(Protocol):
    """(temperature in K, volume in Å³/atom) -> eV/atom, and a pytree.

    A part that depends on volume has a property `volume_range`, the smallest and largest volume that it knows; a part without one does not
    see the volume. Out of its range of temperature a part says NaN.
    """

    def __call__(self, temperature: ArrayLike, volume: ArrayLike, /) -> Array:
        """Its share of the free energy."""
        ...


@dataclasses.dataclass(frozen=True)
class Phase:
    """The Helmholtz energy of a phase as the sum of its parts, each kind at most once.

    Attributes:
      static: Energy of the lattice at rest: an equation of state, `EnergyOfVolume`, or a plain number, `StaticEnergy`.
      vibrational: `DebyeGruneisen`, `Einstein`, or phonons; zero-point energy included.
      electronic: `Sommerfeld` or `FermiDirac`.
      magnetic: `MagneticDisorder` above an energy with moments, `MagneticOrder` above one without.
      configurational: `RandomMixing` or `SublatticeMixing`.
      volume: Å³/atom, if it is to be held; None lets the phase find the volume of its lowest F + P V.
      has_moments: Whether the static energy holds magnetic order, as that of spin-polarised DFT does; to be said where there is a
        magnetic part, so that order is never counted twice.

    Raises:
      ValueError: If the magnetic part does not fit the static energy.
    """

    static: Part | None = None
    vibrational: Part | None = None
    electronic: Part | None = None
    magnetic: Part | None = None
    configurational: Part | None = None
    volume: ArrayLike | None = None
    has_moments: bool | None = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        wanted = getattr(self.magnetic, "has_moments", self.has_moments)
        if wanted != self.has_moments:
            name = type(self.magnetic).__name__
            static = {None: "an unsaid state", True: "magnetic order", False: "no moments"}[self.has_moments]
            raise ValueError(
                f"{name} goes with has_moments={wanted}, and the static energy has {static}: say has_moments, and add MagneticDisorder to "
                "an energy with magnetic order or MagneticOrder to one without; anything else counts the order twice or not at all"
            )

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Helmholtz energy at a given volume, eV/atom; NaN below 0 K."""
        with float64():
            temperature, volume = jnp.asarray(temperature, jnp.float64), jnp.asarray(volume, jnp.float64)
            total = jnp.zeros((), jnp.float64)
            for name in self.names:
                total = total + getattr(self, name)(temperature, volume)
            return total * jnp.where(temperature >= 0, 1.0, jnp.nan)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parts that are switched on."""
        return tuple(name for name in PARTS if getattr(self, name) is not None)

    def only(self, *names: str) -> Phase:
        """The same phase with these parts alone.

        Raises:
          ValueError: If it has no part of such a name.
        """
        if unknown := [name for name in names if name not in self.names]:
            raise ValueError(f"the phase has no part called {', '.join(map(repr, unknown))}; it has {', '.join(self.names)}")
        return dataclasses.replace(self, **{name: None for name in self.names if name not in names})

    def without(self, *names: str) -> Phase:
        """The same phase without these parts.

        Raises:
          ValueError: If it has no part of such a name.
        """
        self.only(*names)
        return self.only(*(name for name in self.names if name not in names))

    def at(self, volume: ArrayLike) -> Phase:
        """The same phase held at a volume, Å³/atom."""
        return dataclasses.replace(self, volume=volume)

    @property
    def has_volume(self) -> bool:
        """Whether the phase knows its volume, held or to be found."""
        return self.volume is not None or self.volume_range is not None

    @property
    def volume_range(self) -> tuple[Array, Array] | None:
        """Volumes that all parts know, Å³/atom; None if none depends on the volume."""
        ranges = [getattr(self, name).volume_range for name in self.names if hasattr(getattr(self, name), "volume_range")]
        if not ranges:
            return None
        with float64():
            lowest, highest = (jnp.stack([jnp.asarray(edge, jnp.float64) for edge in edges]) for edges in zip(*ranges, strict=True))
            return lowest.max(), highest.min()


jax.tree_util.register_dataclass(Phase, data_fields=[*PARTS, "volume"], meta_fields=["has_moments"])


def gibbs(phase: Phase, temperature: ArrayLike, pressure: ArrayLike = 0.0) -> Array:
    """Gibbs energy, eV/atom: the lowest F(V, T) + P V over the volumes that the parts know, or that of a held volume.

    All derivatives up to the third with respect to temperature, pressure and every number in the phase are those of the relaxed volume.
    NaN where there is no minimum within the known volumes, below 0 K, and wherever a part says NaN. `jax.vmap` it over members.

    Args:
      phase: Its parts.
      temperature: K [...].
      pressure: eV/Å³ [...], broadcast against temperature; 0 for a phase without volume.

    Raises:
      ValueError: If pressure acts on a phase without volume, or the volume is to be found without a static energy that depends on it.
    """
    require_volume(phase, pressure)
    with float64():
        return over(_gibbs, phase, temperature, pressure)


def equilibrium_volume(phase: Phase, temperature: ArrayLike, pressure: ArrayLike = 0.0) -> Array:
    """Volume of the lowest F + P V, Å³/atom, with its first derivatives; NaN where there is none. Arguments as for `gibbs`.

    For higher derivatives differentiate `gibbs` by pressure.
    """
    require_volume(phase, pressure)
    with float64():
        return over(relaxed_volume, phase, temperature, pressure)


def over(function: Callable[[Phase, Array, Array], T], phase: Phase, temperature: ArrayLike, pressure: ArrayLike) -> T:
    """A function of a phase at one temperature and pressure, at all of them; they broadcast.

    Args:
      function: Jitted; what it returns may be a pytree.
      phase: The phase.
      temperature: K [...].
      pressure: eV/Å³ [...].
    """
    temperature, pressure = (jnp.asarray(value, jnp.float64) for value in (temperature, pressure))
    shape = jnp.broadcast_shapes(temperature.shape, pressure.shape)
    if shape == ():
        return function(phase, temperature, pressure)
    flat = (jnp.broadcast_to(value, shape).reshape(-1) for value in (temperature, pressure))
    return jax.tree.map(lambda value: value.reshape(shape), jax.vmap(function, (None, 0, 0))(phase, *flat))


@jax.jit
def _gibbs(phase: Phase, temperature: Array, pressure: Array) -> Array:
    return enthalpic(phase, temperature, pressure, relaxed_volume(phase, temperature, pressure))


def enthalpic(phase: Phase, temperature: Array, pressure: Array, volume: Array) -> Array:
    """F + P V at a volume; F alone where a phase has none."""
    return phase(temperature, volume) + (pressure * volume if phase.has_volume else 0.0)


@jax.jit
def relaxed_volume(phase: Phase, temperature: Array, pressure: Array) -> Array:
    """`equilibrium_volume` at one point, unchecked.

    The minimum is found with everything held; the last Newton step, in ln V, carries the derivative (implicit function theorem). Its
    error is of second order in any change of the arguments, so that of G, which is stationary there, is of fourth.
    """
    if phase.volume is not None:
        return jnp.asarray(phase.volume, jnp.float64)
    if phase.volume_range is None:
        return jnp.full_like(temperature, jnp.nan)
    held = jax.tree.map(jax.lax.stop_gradient, (phase, temperature, pressure))
    found, is_found = _lowest(*held)
    found = jax.lax.stop_gradient(found)
    slope = jax.grad(_at)(found, phase, temperature, pressure)
    _, curvature = _slope_and_curvature(found, *held)
    return jnp.exp(found - slope / curvature) * jnp.where(is_found, 1.0, jnp.nan)


def _at(log_volume: Array, phase: Phase, temperature: Array, pressure: Array) -> Array:
    return enthalpic(phase, temperature, pressure, jnp.exp(log_volume))


def _slope_and_curvature(log_volume: Array, *arguments: Any) -> tuple[Array, Array]:
    return jax.jvp(lambda u: jax.grad(_at)(u, *arguments), (log_volume,), (jnp.ones_like(log_volume),))


def _lowest(phase: Phase, temperature: Array, pressure: Array) -> tuple[Array, Array]:
    """Logarithm of the volume of the lowest minimum and whether there is one: a grid, then Newton's method within a bracket."""
    arguments = phase, temperature, pressure
    lowest, highest = phase.volume_range or (jnp.nan, jnp.nan)
    grid = jnp.linspace(jnp.log(lowest), jnp.log(highest), N_GRID)
    values = jax.vmap(lambda u: _at(u, *arguments))(grid)
    k = jnp.argmin(jnp.where(jnp.isfinite(values), values, jnp.inf))
    low, high = grid[jnp.maximum(k - 1, 0)], grid[jnp.minimum(k + 1, N_GRID - 1)]
    outside = jax.vmap(lambda u: jax.grad(_at)(u, *arguments))(jnp.stack([low, high]))
    is_bracket = (outside[0] < 0) & (outside[1] > 0)

    def step(state: tuple[Array, Array, Array, Array], _nothing: None) -> tuple[tuple[Array, Array, Array, Array], None]:
        u, low, high, _ = state
        down, stiff = _slope_and_curvature(u, *arguments)
        low, high = jnp.where(down < 0, u, low), jnp.where(down < 0, high, u)
        newton = u - down / jnp.where(stiff > 0, stiff, 1.0)
        is_safe = (stiff > 0) & (newton > low) & (newton < high)
        left = jnp.where(stiff > 0, jnp.abs(newton - u), jnp.inf)
        return (jnp.where(is_safe | (left < CLOSE), newton, (low + high) / 2), low, high, left), None

    start = (grid[k], low, high, jnp.full_like(low, jnp.inf))
    (found, _, _, left), _ = jax.lax.scan(step, start, None, length=N_STEP)
    return found, is_bracket & (left < CLOSE)


def require_volume(phase: Phase, pressure: ArrayLike) -> None:
    """What can be known from the structure of a phase, before anything is computed."""
    if phase.volume is not None:
        return
    if phase.volume_range is None:
        if not (isinstance(pressure, (int, float)) and pressure == 0):
            raise ValueError(
                "no part of the phase knows its volume, so that pressure has nothing to act on: leave it out, or use phase.at(volume)"
            )
    elif not hasattr(phase.static, "volume_range"):
        raise ValueError(
            f"the free energy depends on volume ({', '.join(phase.names)}), but its static energy does not: there is no volume to find; "
            "give an equation of state, or hold the volume by phase.at(volume)"
        )
