"""Free energy of phonons over temperature and volume, from frequencies at several volumes."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.free_energy.harmonic import harmonic_free_energy, stiffened
from matjax.thermo.host import float64


class QuasiHarmonic(NamedTuple):
    """Modes whose frequencies depend on the volume, as a part of a free energy: called with (temperature, volume).

    ln nu of every mode is a polynomial of ln V: frequencies stay positive, F is smooth in T and V with the right limits at 0 K and at high
    temperature, and one fit serves all temperatures (an equation of state fitted at each temperature has none of these).
    Modes are matched by their order at each wave vector; where two cross, their mean is what matters and that is smooth.

    Attributes:
      coefficients: [n_power, n_mode] of ln(h nu / eV) in powers of ln(V / reference).
      shares: Modes per atom that each stands for [n_mode]; they sum to 3.
      reference: Volume from which its logarithm counts, Å³/atom.
      lowest: Smallest volume with frequencies, Å³/atom.
      highest: Largest.
      imaginary: Share of imaginary modes at each of the given volumes [n_volume].
    """

    coefficients: Array
    shares: Array
    reference: Array
    lowest: Array
    highest: Array
    imaginary: Array

    def __call__(self, temperature: ArrayLike, volume: ArrayLike) -> Array:
        """Free energy with the zero-point energy, eV/atom."""
        return harmonic_free_energy(temperature, self.energies(volume), self.shares)

    def energies(self, volume: ArrayLike) -> Array:
        """Energies h nu of the modes [..., n_mode] at volumes [...], Å³/atom; eV."""
        with float64():
            return _energies(self, jnp.asarray(volume, jnp.float64))

    @property
    def volume_range(self) -> tuple[Array, Array]:
        """Volumes between the given ones, Å³/atom."""
        return self.lowest, self.highest

    @property
    def gruneisen(self) -> Array:
        """-d ln nu / d ln V of the modes at the reference volume [n_mode]."""
        return -self.coefficients[1]


def quasi_harmonic(
    volumes: ArrayLike, frequencies: ArrayLike, weights: ArrayLike, *, degree: int = 2, stiffen_to: float | None = None
) -> QuasiHarmonic:
    """Frequencies at several volumes as a free energy; gradients pass to the frequencies.

    Args:
      volumes: Å³/atom [n_volume], ascending.
      frequencies: h nu [n_volume, n_q, 3 n_atom], eV, ascending at each wave vector; imaginary ones negative. The same mesh everywhere.
      weights: Of the wave vectors [n_q].
      degree: Of the polynomial in ln V; at least one volume more is needed. 1 is a constant Grüneisen parameter.
      stiffen_to: As in `harmonic`; by default imaginary modes at any volume make the free energy NaN, with `imaginary` saying where.

    Raises:
      ValueError: If shapes do not fit, volumes do not ascend, or there are too few of them.
    """
    with float64():
        volumes, frequencies, weights = (jnp.asarray(value, jnp.float64) for value in (volumes, frequencies, weights))
        _check(volumes, frequencies, weights, degree)
        energies, counted, is_imaginary = stiffened(frequencies, stiffen_to)
        counted = counted.all(0)
        share = jnp.broadcast_to(weights[:, None], counted.shape)
        kept = jnp.where(counted, share, 0.0)
        imaginary = jnp.where(is_imaginary, share[None], 0.0).sum((1, 2)) / share.sum()
        reference = jnp.exp(jnp.log(volumes).mean())
        logs = jnp.log(jnp.where(counted[None], energies, 1.0)).reshape(len(volumes), -1)
        powers = jnp.log(volumes / reference)[:, None] ** jnp.arange(degree + 1)[None]
        basis, triangle = jnp.linalg.qr(powers)
        coefficients = jax.scipy.linalg.solve_triangular(triangle, basis.T @ logs)
        shares = (3 * kept / kept.sum()).reshape(-1)
        return QuasiHarmonic(coefficients, shares, reference, volumes.min(), volumes.max(), imaginary)


def _check(volumes: Array, frequencies: Array, weights: Array, degree: int) -> None:
    if volumes.ndim != 1 or frequencies.ndim != 3 or frequencies.shape[:1] != volumes.shape or frequencies.shape[1:2] != weights.shape:
        raise ValueError(
            "volumes [n_volume], frequencies [n_volume, n_q, n_mode] and weights [n_q] are needed; "
            f"these are {volumes.shape}, {frequencies.shape}, {weights.shape}"
        )
    if degree < 1 or len(volumes) <= degree:
        raise ValueError(
            f"a polynomial of degree {degree} needs a degree of at least 1 and {max(degree, 1) + 1} volumes; there are {len(volumes)}"
        )
    if not bool((jnp.diff(volumes) > 0).all() & (volumes > 0).all()):
        raise ValueError(f"volumes must be positive and ascend; these are {volumes.tolist()}")


@jax.jit
def _energies(modes: QuasiHarmonic, volume: Array) -> Array:
    strain = jnp.log(volume / modes.reference)[..., None]
    logs = jnp.zeros((*volume.shape, modes.coefficients.shape[1]))
    for coefficient in modes.coefficients[::-1]:
        logs = logs * strain + jnp.broadcast_to(coefficient, logs.shape)
    return jnp.exp(logs)
