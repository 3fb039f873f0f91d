"""Bessel functions mixed so that each changes forces alike: what a linear radial function needs to be learned fast."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from matjax.nn.radial import envelope

_NEAR = 0.4  # neighbours nearer than this share of the cutoff do not count
_SLOPE = 10.0  # Å²: weight of squared slopes beside squared values
_FLOOR = 1e-3


def whitened_bessel(lengths: jax.Array, cutoff: float, n_basis: int, n_wave: int = 16) -> jax.Array:
    """Fixed combinations [n_basis, n_edge] of sine-Bessel functions times the envelope, orthonormal in values and slopes.

    The overlap is <f, g> = integral of (f g + 10 f' g') over a uniform density of neighbours between 0.4 cutoff and the cutoff, so that
    a step of any coefficient changes forces by about as much. Kept are the `n_basis` leading principal components of `n_wave` waves.
    Unmixed Bessel functions are nearly dependent there, and a linear radial function of them learns more slowly.

    Args:
      lengths: [n_edge], Å.
      cutoff: In Å.
      n_basis: Functions kept, at most n_wave.
      n_wave: Bessel functions mixed.
    """
    mixing = jnp.asarray(_mixing(cutoff, n_basis, n_wave), lengths.dtype)
    return mixing @ _waves(lengths / cutoff, n_wave)


def _waves(x: jax.Array, n_wave: int) -> jax.Array:
    """sin(k pi x) / x times the envelope [n_wave, n], the edges last; sines by sin(k+1)a = 2 cos a sin ka - sin(k-1)a."""
    sine, twice_cosine = jnp.sin(jnp.pi * x), 2 * jnp.cos(jnp.pi * x)
    waves = [jnp.zeros_like(x), sine]
    for _ in range(n_wave - 1):
        waves.append(twice_cosine * waves[-1] - waves[-2])
    return jnp.stack(waves[1:]) * (envelope(x) / (2**0.5 * x))[None, :]


@functools.cache
def _mixing(cutoff: float, n_basis: int, n_wave: int) -> np.ndarray:
    """Rows: principal components of values and slopes, scaled to unit norm [n_basis, n_wave]."""
    if not 1 <= n_basis <= n_wave:
        raise ValueError(f"{n_basis} radial functions out of {n_wave} waves; between 1 and {n_wave} can be kept")
    x = np.linspace(_NEAR, 1.0, 2000, endpoint=False)
    k = np.pi * np.arange(1, n_wave + 1)[:, None]
    cut, cut_slope = _envelope(x)
    over, over_slope = cut / (np.sqrt(2.0) * x), (cut_slope - cut / x) / (np.sqrt(2.0) * x)
    values = np.sin(k * x) * over
    slopes = (k * np.cos(k * x) * over + np.sin(k * x) * over_slope) / cutoff
    density = x**2 / np.sum(x**2)
    size, vectors = np.linalg.eigh((values * density) @ values.T + _SLOPE * (slopes * density) @ slopes.T)
    leading = slice(None, -n_basis - 1, -1)
    return (vectors[:, leading] / np.sqrt(size[leading] + _FLOOR)).T


def _envelope(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes of `radial.envelope` (power 6)."""
    return 1 - 28 * x**6 + 48 * x**7 - 21 * x**8, -168 * x**5 + 336 * x**6 - 168 * x**7
