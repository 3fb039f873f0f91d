"""Electrons excited across the Fermi level of a metal: Sommerfeld's leading term, or the integral over a density of states."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.host import float64
from matjax.units import BOLTZMANN

# -df/du = sech²(u/2)/4 with equal weights: its poles at i pi make the trapezoid rule of this spacing exact to exp(-4 pi²) ~ 1e-17
_SPACING = 0.5
_NODES = np.arange(-38, 38 + _SPACING / 2, _SPACING)
_WEIGHTS = _SPACING / (4 * np.cosh(_NODES / 2) ** 2)

N_BISECT = 60
"""Halvings of the window of energies on the way to the chemical potential."""

TAIL = 1e-6
"""Largest occupation at the top, and emptiness at the bottom, of energies whose density goes on there: states are missing."""


class Sommerfeld(NamedTuple):
    """Electronic free energy per atom of a metal at low temperature, -(pi²/6) N(E_F) k² T².

    Attributes:
      density: Density of states at the Fermi level, both spins, states/(eV atom).

    Source:
      Sommerfeld (1928), Z. Phys. 47, 1; the entropy is gamma T with gamma = pi²/3 k² N(E_F).
    """

    density: ArrayLike

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Electronic free energy, eV/atom; zero at 0 K."""
        with float64():
            return -(np.pi**2) / 6 * jnp.asarray(self.density, jnp.float64) * (BOLTZMANN * jnp.asarray(temperature, jnp.float64)) ** 2


class FermiDirac(NamedTuple):
    """Electronic free energy per atom of a fixed density of states, relative to 0 K.

    F(T) = Omega(mu, T) + mu n, Omega = -k T integral of D(e) ln(1 + exp((mu - e)/(k T))), mu from n electrons. With D linear between the
    energies, twice integrated by parts, Omega is the mean of a piecewise cubic over the width of the Fermi edge, so that it is as exact at
    1 K as at 5000 K. NaN where the energies do not reach far enough for the temperature; a density of zero at an end is a band's edge.

    Attributes:
      energies: Rising [n_energy], eV, from any zero.
      density: D at them, both spins, states/(eV atom) [n_energy].
      n_electron: Electrons per atom among these states.

    Source:
      Mermin (1965), Thermal properties of the inhomogeneous electron gas, Phys. Rev. 137, A1441.
    """

    energies: ArrayLike
    density: ArrayLike
    n_electron: ArrayLike

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Electronic free energy at one temperature, eV/atom; zero at 0 K."""
        with float64():
            return self._canonical(jnp.asarray(temperature, jnp.float64)) - self._canonical(jnp.zeros((), jnp.float64))

    def chemical_potential(self, temperature: ArrayLike) -> Array:
        """Of n electrons at one temperature, eV; in the middle of a gap at 0 K."""
        with float64():
            width = BOLTZMANN * jnp.asarray(temperature, jnp.float64)
            energies, n = jnp.asarray(self.energies, jnp.float64), jnp.asarray(self.n_electron, jnp.float64)
            held = jax.tree.map(jax.lax.stop_gradient, (self, width, n))
            found = jax.lax.stop_gradient(_bisect(*held, energies))  # type: ignore
            # Newton's last step carries the derivative; within a gap at 0 K there is none
            states = self._mean(found, width, 0)
            is_metal = states > 0
            return found + jnp.where(is_metal, n - self._mean(found, width, 1), 0.0) / jnp.where(is_metal, states, 1.0)

    def _canonical(self, temperature: Array) -> Array:
        potential, width = self.chemical_potential(temperature), BOLTZMANN * temperature
        energies, density = jnp.asarray(self.energies, jnp.float64), jnp.asarray(self.density, jnp.float64)
        reach = width * np.log(1 / TAIL)
        is_inside = (potential - energies[0] > reach) | (density[0] == 0)
        is_inside &= (energies[-1] - potential > reach) | (density[-1] == 0)
        return (potential * self.n_electron - self._mean(potential, width, 2)) * jnp.where(is_inside, 1.0, jnp.nan)

    def _mean(self, potential: Array, width: Array, order: int) -> Array:
        """The density's integral of some order, averaged over the Fermi edge."""
        return jnp.sum(_WEIGHTS * self._integrated(potential + width * _NODES, order))

    def _integrated(self, at: Array, order: int) -> Array:
        """The density of states integrated 0, 1 or 2 times from the bottom, at energies [n]."""
        energies, density = jnp.asarray(self.energies, jnp.float64), jnp.asarray(self.density, jnp.float64)
        step, slope = jnp.diff(energies), jnp.diff(density) / jnp.diff(energies)
        once = density[:-1] * step + slope * step**2 / 2
        counted = jnp.concatenate([jnp.zeros(1, jnp.float64), jnp.cumsum(once)])
        twice = counted[:-1] * step + density[:-1] * step**2 / 2 + slope * step**3 / 6
        grand = jnp.concatenate([jnp.zeros(1, jnp.float64), jnp.cumsum(twice)])
        inside = jnp.clip(at, energies[0], energies[-1])
        k = jnp.clip(jnp.searchsorted(energies, inside, side="right") - 1, 0, len(energies) - 2)
        t, d, s = inside - energies[k], density[k], slope[k]
        above = jnp.maximum(at - energies[-1], 0.0)
        if order == 0:
            return jnp.where(inside == at, d + s * t, 0.0)
        if order == 1:
            return counted[k] + d * t + s * t**2 / 2
        return grand[k] + counted[k] * t + d * t**2 / 2 + s * t**3 / 6 + counted[-1] * above


def _bisect(density: FermiDirac, width: Array, n: Array, energies: Array) -> Array:
    """Where n electrons fill the states; the middle of the interval where several do."""

    def edge(side: str) -> Array:
        def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bracket
            middle = (low + high) / 2
            filled = density._mean(middle, width, 1)
            is_low = filled < n * (1 - 1e-13) if side == "left" else filled <= n * (1 + 1e-13)
            return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

        low, high = jax.lax.fori_loop(0, N_BISECT, halve, (energies[0], energies[-1]))
        return (low + high) / 2

    return (edge("left") + edge("right")) / 2
