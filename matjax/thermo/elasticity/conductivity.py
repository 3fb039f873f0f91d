"""How well a lattice conducts heat, from its elastic moduli: proxies that rank candidates, not predictions.

Heat carried by the lattice alone. In metals electrons carry most of it (by the Wiedemann-Franz law some 2.4e-8 W Ohm/K² times T over
the resistivity), and that part is missing here: of a metal these numbers say what is left where its electrons scatter strongly.

Moduli are in eV/Å³, volumes in Å³/atom, masses in amu; conductivities come out in W/(m K).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.elasticity.moduli import poisson_ratio
from matjax.thermo.free_energy.vibration import SOUND, debye_temperature
from matjax.thermo.host import float64
from matjax.units import BOLTZMANN

SI = 1.602176634e-9
"""W/(m K) in one eV/(Å s K)."""


def grueneisen_from_poisson(poisson: ArrayLike) -> Array:
    """Grueneisen parameter (3/2) (1 + nu) / (2 - 3 nu) of an isotropic solid, within some 10 to 20% for most crystals.

    Args:
      poisson: Poisson's ratio [...], below 1/2.

    Source:
      Belomestnykh (2004), The acoustical Grueneisen constants of solids, Tech. Phys. Lett. 30, 91, eq. 7.
    """
    with float64():
        poisson = jnp.asarray(poisson, jnp.float64)
        return 1.5 * (1 + poisson) / (2 - 3 * poisson)


def slack_conductivity(
    bulk: ArrayLike,
    shear: ArrayLike,
    volume_per_atom: ArrayLike,
    mass: ArrayLike,
    temperature: ArrayLike = 300.0,
    n_atom: ArrayLike = 1,
    grueneisen: ArrayLike | None = None,
) -> Array:
    """Lattice conductivity of a perfect crystal in which acoustic phonons scatter each other, W/(m K).

    A m theta³ d / (g² T n^(2/3)), theta the Debye temperature of all n atoms of the primitive cell, d³ the volume per atom, g the
    Grueneisen parameter, A = 2.43e-6 / (1 - 0.514/g + 0.228/g²). With the acoustic Debye temperature theta / n^(1/3) the same reads
    n^(1/3) in the numerator. Meant for T about theta and above, good within a factor of two or so; g enters squared, so give it where
    it is known. A random alloy conducts much worse, its masses scatter: see the minima below.

    Args:
      bulk: Bulk modulus [...], eV/Å³.
      shear: Shear modulus [...], eV/Å³.
      volume_per_atom: Å³/atom [...].
      mass: Mean mass per atom [...], amu.
      temperature: K.
      n_atom: Atoms in the primitive cell.
      grueneisen: [...]; by default that which follows from Poisson's ratio.

    Source:
      Slack (1979), The thermal conductivity of nonmetallic crystals; Julian (1965), Phys. Rev. 137, A128, the prefactor; Toher et al.
      (2014), PRB 90, 174107, eq. 6, the same in natural constants.
    """
    with float64():
        known = grueneisen_from_poisson(poisson_ratio(bulk, shear)) if grueneisen is None else grueneisen
        theta = debye_temperature(bulk, shear, volume_per_atom, mass)
        return _slack(*_together(theta, volume_per_atom, mass, temperature, n_atom, known))


def clarke_conductivity(bulk: ArrayLike, shear: ArrayLike, volume_per_atom: ArrayLike, mass: ArrayLike) -> Array:
    """Least lattice conductivity at high temperature, W/(m K): 0.87 k v / d², v = (Young's modulus / density)^(1/2), d³ volume per atom.

    Args:
      bulk: Bulk modulus [...], eV/Å³.
      shear: Shear modulus [...], eV/Å³.
      volume_per_atom: Å³/atom [...].
      mass: Mean mass per atom [...], amu.

    Source:
      Clarke (2003), Materials selection guidelines for low thermal conductivity thermal barrier coatings, eq. 11.
    """
    with float64():
        return _clarke(*_together(bulk, shear, volume_per_atom, mass))


def cahill_conductivity(bulk: ArrayLike, shear: ArrayLike, volume_per_atom: ArrayLike, mass: ArrayLike) -> Array:
    """Least lattice conductivity at high temperature, W/(m K), of phonons that travel half a wavelength.

    1/2 (pi/6)^(1/3) k (v_l + 2 v_t) / d², the sound velocities those of the isotropic polycrystal.

    Args:
      bulk: Bulk modulus [...], eV/Å³.
      shear: Shear modulus [...], eV/Å³.
      volume_per_atom: d³, Å³/atom [...].
      mass: Mean mass per atom [...], amu.

    Source:
      Cahill, Watson & Pohl (1992), Lower limit to the thermal conductivity of disordered crystals, eq. 4 in the limit of high T.
    """
    with float64():
        return _cahill(*_together(bulk, shear, volume_per_atom, mass))


@jax.jit
def _slack(theta: Array, volume: Array, mass: Array, temperature: Array, n_atom: Array, grueneisen: Array) -> Array:
    factor = 2.43e-6 / (1 - 0.514 / grueneisen + 0.228 / grueneisen**2)
    return factor * mass * theta**3 * jnp.cbrt(volume) / (grueneisen**2 * temperature * n_atom ** (2 / 3))


@jax.jit
def _clarke(bulk: Array, shear: Array, volume: Array, mass: Array) -> Array:
    young = 9 * bulk * shear / (3 * bulk + shear)
    return 0.87 * BOLTZMANN * SI * _sound(young, volume, mass) * volume ** (-2 / 3)


@jax.jit
def _cahill(bulk: Array, shear: Array, volume: Array, mass: Array) -> Array:
    speeds = _sound(bulk + 4 / 3 * shear, volume, mass) + 2 * _sound(shear, volume, mass)
    return 0.5 * (np.pi / 6) ** (1 / 3) * BOLTZMANN * SI * speeds * volume ** (-2 / 3)


def _sound(modulus: Array, volume: Array, mass: Array) -> Array:
    """Å/s; not a number where the modulus is negative."""
    return SOUND * jnp.sqrt(modulus * volume / mass)


def _together(*values: ArrayLike) -> list[Array]:
    """Float64 arrays of one shape."""
    return jnp.broadcast_arrays(*(jnp.asarray(value, jnp.float64) for value in values))
