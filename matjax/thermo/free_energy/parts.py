"""The plain parts of a phase's free energy: static energy, magnetic order, random occupation.

A part is a pytree that is called with (temperature, volume), in K and Å³/atom, and says eV/atom. One that depends on volume has
`volume_range`, the volumes that it knows; so `jax.vmap` runs over members and `jax.grad` reaches every number in it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial
from jax.typing import ArrayLike

from matjax.thermo.free_energy.magnetic import above_ferromagnet, magnetic_free_energy
from matjax.thermo.host import float64
from matjax.thermo.order.entropy import configurational_entropy, sublattice_entropy


class StaticEnergy(NamedTuple):
    """A plain number: a measured or computed formation enthalpy, or any energy at the relaxed volume.

    Attributes:
      energy: eV/atom.
    """

    energy: ArrayLike

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """The number."""
        with float64():
            return jnp.asarray(self.energy, jnp.float64)


class EnergyOfVolume(NamedTuple):
    """Any static energy per atom as a function of volume: a network under strain, a spline, another equation of state.

    Attributes:
      function: volume, Å³/atom -> eV/atom; `Partial(function, weights)` lets gradients reach the weights.
      lowest: Smallest volume that it knows, Å³/atom.
      highest: Largest.
    """

    function: Partial
    lowest: ArrayLike
    highest: ArrayLike

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Static energy, eV/atom."""
        with float64():
            return jnp.asarray(self.function(volume), jnp.float64)

    @property
    def volume_range(self) -> tuple[ArrayLike, ArrayLike]:
        """Volumes that the function knows, Å³/atom."""
        return self.lowest, self.highest


class MagneticOrder(NamedTuple):
    """Magnetic free energy against the paramagnet: for a static energy without moments, as in CALPHAD and non-magnetic DFT.

    Attributes:
      critical_temperature: Curie temperature, K; see `magnetic_free_energy` for antiferromagnets.
      moment: Bohr magnetons per atom.
      p: Structure factor, `STRUCTURE_FACTOR`.
      antiferromagnetic_factor: -1 for bcc, -3 otherwise.
    """

    critical_temperature: ArrayLike
    moment: ArrayLike
    p: ArrayLike
    antiferromagnetic_factor: ArrayLike = -1.0

    has_moments = False  # what the static energy beside it must not have

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Magnetic free energy, eV/atom; zero far above the critical temperature."""
        with float64():
            return magnetic_free_energy(jnp.asarray(temperature, jnp.float64), *self)  # type: ignore


class MagneticDisorder(NamedTuple):
    """Magnetic free energy against the ground state, G_mag(T) - G_mag(0): for a static energy that holds the moments' order.

    Attributes:
      critical_temperature: Curie temperature, K; see `magnetic_free_energy` for antiferromagnets.
      moment: Bohr magnetons per atom.
      p: Structure factor, `STRUCTURE_FACTOR`.
      antiferromagnetic_factor: -1 for bcc, -3 otherwise.
    """

    critical_temperature: ArrayLike
    moment: ArrayLike
    p: ArrayLike
    antiferromagnetic_factor: ArrayLike = -1.0

    has_moments = True

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Magnetic free energy, eV/atom; zero at 0 K."""
        with float64():
            return above_ferromagnet(jnp.asarray(temperature, jnp.float64), *self)  # type: ignore


class RandomMixing(NamedTuple):
    """Ideal configurational free energy of a solution, k T sum x ln x.

    Attributes:
      x: Atomic fractions [n_element], summing to 1.
    """

    x: ArrayLike

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Configurational free energy, eV/atom."""
        with float64():
            return -jnp.asarray(temperature, jnp.float64) * configurational_entropy(self.x)


class SublatticeMixing(NamedTuple):
    """Configurational free energy of an ordered phase whose orbits are each occupied at random.

    Attributes:
      occupancy: Site fractions [n_orbit, n_element], each row summing to 1.
      multiplicities: Sites per orbit [n_orbit].
    """

    occupancy: ArrayLike
    multiplicities: ArrayLike

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Configurational free energy, eV/atom."""
        with float64():
            return -jnp.asarray(temperature, jnp.float64) * sublattice_entropy(self.occupancy, self.multiplicities)
