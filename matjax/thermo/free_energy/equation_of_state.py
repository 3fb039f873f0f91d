"""Equations of state: energy over volume from a handful of points, by least squares that gradients pass through.

A curve is a part of a phase's free energy: called with (temperature, volume) it says eV/atom, and it knows the volumes it was fitted to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.host import float64

Form = Literal["birch_murnaghan", "vinet"]

N_REFINE = 20
"""Steps of Levenberg and Marquardt from the Birch-Murnaghan to the Vinet curve; it is there after about five."""


class BirchMurnaghan(NamedTuple):
    """Third-order Birch-Murnaghan equation of state of one atom.

    E = E0 + 9/16 V0 B0 s² (6 - 4 x + B0' s), x = (V0/V)^(2/3), s = x - 1.

    Attributes:
      energy: E0, eV/atom.
      volume: V0, Å³/atom.
      bulk: B0, eV/Å³.
      bulk_derivative: B0' = dB/dP at V0.
      lowest: Smallest volume of the data, Å³/atom.
      highest: Largest.

    Source:
      Birch (1947), Finite elastic strain of cubic crystals, Phys. Rev. 71, 809.
    """

    energy: ArrayLike
    volume: ArrayLike
    bulk: ArrayLike
    bulk_derivative: ArrayLike
    lowest: ArrayLike
    highest: ArrayLike

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Static energy, eV/atom; the temperature does not matter."""
        with float64():
            squared = (self.volume / jnp.asarray(volume, jnp.float64)) ** (2 / 3)
            strain = squared - 1
            return jnp.asarray(
                self.energy + 9 / 16 * self.volume * self.bulk * strain**2 * (6 - 4 * squared + self.bulk_derivative * strain)
            )

    @property
    def volume_range(self) -> tuple[ArrayLike, ArrayLike]:
        """Volumes that the curve knows, Å³/atom."""
        return self.lowest, self.highest


class Vinet(NamedTuple):
    """Vinet's equation of state of one atom; better than Birch-Murnaghan's under strong compression.

    E = E0 + 9 B0 V0 / c² (1 - (1 + c (u - 1)) exp(-c (u - 1))), u = (V/V0)^(1/3), c = 3/2 (B0' - 1).

    Attributes:
      energy: E0, eV/atom.
      volume: V0, Å³/atom.
      bulk: B0, eV/Å³.
      bulk_derivative: B0' = dB/dP at V0; not 1.
      lowest: Smallest volume of the data, Å³/atom.
      highest: Largest.

    Source:
      Vinet, Rose, Ferrante & Smith (1987), Universal features of the equation of state of solids, PRB 35, 1945.
    """

    energy: ArrayLike
    volume: ArrayLike
    bulk: ArrayLike
    bulk_derivative: ArrayLike
    lowest: ArrayLike
    highest: ArrayLike

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Static energy, eV/atom; the temperature does not matter."""
        with float64():
            steepness = 1.5 * (jnp.asarray(self.bulk_derivative, jnp.float64) - 1)
            stretch = steepness * ((jnp.asarray(volume, jnp.float64) / self.volume) ** (1 / 3) - 1)
            # 1 - (1 + y) exp(-y) without the cancellation near the minimum
            return jnp.asarray(
                self.energy + 9 * self.bulk * self.volume / steepness**2 * (-jnp.expm1(-stretch) - stretch * jnp.exp(-stretch))
            )

    @property
    def volume_range(self) -> tuple[ArrayLike, ArrayLike]:
        """Volumes that the curve knows, Å³/atom."""
        return self.lowest, self.highest


EquationOfState = BirchMurnaghan | Vinet
FORMS: dict[Form, Callable[..., EquationOfState]] = {"birch_murnaghan": BirchMurnaghan, "vinet": Vinet}


def fit_equation_of_state(volumes: ArrayLike, energies: ArrayLike, form: Form = "birch_murnaghan") -> EquationOfState:
    """The curve through points of energy over volume, by least squares; one per row of energies.

    Gradients pass from the curve to the energies, and so to the weights of the network that said them. Where the data have no minimum
    inside, or are not convex there, every parameter is NaN: extrapolated minima are not minima.

    Args:
      volumes: At least 5 different ones around the minimum [n_volume], Å³/atom.
      energies: At these volumes [..., n_volume], eV/atom; leading axes, such as members, are those of the curve's numbers.
      form: "birch_murnaghan", which is linear in the data, or "vinet".

    Raises:
      ValueError: If there are fewer than 5 points, not one energy per volume, or no such form.

    Example:
      >>> curve = fit_equation_of_state([14.0, 15.0, 16.0, 17.0, 18.0], [-3.65, -3.71, -3.73, -3.72, -3.68])
      >>> round(float(curve.volume), 1)
      16.2
    """
    if form not in FORMS:
        raise ValueError(f"no equation of state is called {form!r}; there are {', '.join(FORMS)}")
    with float64():
        volumes, energies = jnp.asarray(volumes, jnp.float64), jnp.asarray(energies, jnp.float64)
        if volumes.ndim != 1 or volumes.shape != energies.shape[-1:]:
            raise ValueError(
                f"one energy per volume is needed, [..., n_volume] and [n_volume]; these are {energies.shape}, {volumes.shape}"
            )
        if len(volumes) < 5:
            raise ValueError(f"{len(volumes)} points cannot check a curve with 4 parameters; give at least 5 volumes around the minimum")
        curves = _fit(volumes, energies.reshape(-1, len(volumes)), form)
        return jax.tree.map(lambda number: number.reshape(energies.shape[:-1]), curves)


def pressure(curve: Callable[[ArrayLike, ArrayLike], Array], volume: ArrayLike, temperature: ArrayLike = 0.0) -> Array:
    """-dF/dV of a curve or any other part at one volume, eV/Å³; positive under compression."""
    with float64():
        return -jax.grad(curve, argnums=1)(jnp.asarray(temperature, jnp.float64), jnp.asarray(volume, jnp.float64))


def bulk_modulus(curve: Callable[[ArrayLike, ArrayLike], Array], volume: ArrayLike, temperature: ArrayLike = 0.0) -> Array:
    """V d²F/dV² of a curve or any other part at one volume, eV/Å³."""
    with float64():
        volume = jnp.asarray(volume, jnp.float64)
        return -volume * jax.grad(lambda v: pressure(curve, v, temperature))(volume)


@partial(jax.jit, static_argnames="form")
@partial(jax.vmap, in_axes=(None, 0, None))
def _fit(volumes: Array, energies: Array, form: Form) -> EquationOfState:
    """Everything is scaled by the middle of the data, so that the normal equations are of order one."""
    middle, level = jnp.mean(volumes), jnp.mean(energies)
    depth = jax.lax.stop_gradient(jnp.max(energies) - jnp.min(energies))
    reduced, height = volumes / middle, (energies - level) / depth
    parameters = _birch(reduced, height)
    if form == "vinet":
        parameters = _refine(parameters, reduced, height)
    energy, volume, bulk, derivative = parameters
    known = (volume > jnp.min(reduced)) & (volume < jnp.max(reduced)) & (bulk > 0)
    known = jnp.where(known & jnp.all(volumes > 0), 1.0, jnp.nan)
    scaled = level + depth * energy, middle * volume, depth / middle * bulk, derivative
    return FORMS[form](*(known * value for value in scaled), jnp.min(volumes), jnp.max(volumes))


def _birch(volumes: Array, energies: Array) -> tuple[Array, Array, Array, Array]:
    """E0, V0, B0, B0' of a cubic in x = V^(-2/3); its minimum is the root of a quadratic equation with positive curvature."""
    x = volumes ** (-2 / 3) - 1
    powers = jnp.stack([x**k for k in range(4)], axis=1)
    basis, triangle = jnp.linalg.qr(powers)
    a, b, c, d = jax.scipy.linalg.solve_triangular(triangle, basis.T @ energies)
    discriminant = 4 * c**2 - 12 * b * d
    root = jnp.sqrt(jnp.asarray(jnp.where(discriminant > 0, discriminant, jnp.nan)))
    lowest = -2 * b / (2 * c + root)  # without cancellation, and for d = 0 too
    volume = (1 + lowest) ** (-3 / 2)
    bulk = root * (2 / 3) ** 2 * volume ** (-7 / 3)  # V d²E/dV² with dE/dx = 0, where d²E/dx² = root
    # dE³/dx³ = 6 d; with V = x^(-3/2) the third derivative of the curve's own form in x is 27/8 V0 B0 x0^(-3) (B0' - 4)
    derivative = 4 + 8 / 27 * 6 * d * (1 + lowest) ** 3 / (volume * bulk)
    return a + lowest * (b + lowest * (c + lowest * d)), volume, bulk, derivative


def _refine(start: tuple[Array, ...], volumes: Array, energies: Array) -> tuple[Array, ...]:
    """Least squares of Vinet's curve; the last step is Newton's, by which the answer has its derivative (implicit function)."""
    residual = lambda p, e: Vinet(p[0], jnp.exp(p[1]), jnp.exp(p[2]), p[3], 0.0, 0.0)(0.0, volumes) - e
    loss = lambda p, e: 0.5 * jnp.sum(residual(p, e) ** 2)
    held = jax.lax.stop_gradient(energies)

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        p, damping = carry
        slope = jax.jacfwd(residual)(p, held)
        normal = slope.T @ slope
        new = p - jnp.linalg.solve(normal + damping * jnp.diag(jnp.diag(normal)), slope.T @ residual(p, held))
        better = loss(new, held) < loss(p, held)
        return (jnp.asarray(jnp.where(better, new, p)), damping * jnp.where(better, 0.1, 10.0)), None

    first = jnp.stack([start[0], jnp.log(start[1]), jnp.log(start[2]), start[3]])
    (found, _), _ = jax.lax.scan(step, (jax.lax.stop_gradient(first), jnp.asarray(1e-3, jnp.float64)), None, length=N_REFINE)
    found = jax.lax.stop_gradient(found)
    energy, volume, bulk, derivative = found - jnp.linalg.solve(jax.hessian(loss)(found, held), jax.grad(loss)(found, energies))
    return energy, jnp.exp(volume), jnp.exp(bulk), derivative
