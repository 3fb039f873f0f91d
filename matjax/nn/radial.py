"""Radial functions: smooth at the cutoff, regular at any distance above zero."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def envelope(x: jax.Array, power: int = 6) -> jax.Array:
    """Polynomial that is 1 at x = 0 and 0 with two zero derivatives at x = 1; 0 beyond.

    f(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2).

    Args:
      x: Distance over cutoff, any shape.
      power: p.

    Source:
      Gasteiger, Gross & Günnemann (2020), Directional message passing, eq. 8.
    """
    p = float(power)
    inside = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
    return jnp.where(x < 1, inside, 0.0)


def bessel(lengths: jax.Array, cutoff: float, n_basis: int) -> jax.Array:
    """Sine-Bessel functions times the envelope: sqrt(2/c) sin(k pi r / c) / r * f(r / c), scaled to order one.

    Args:
      lengths: [n_edge], Å.
      cutoff: c in Å.
      n_basis: Number of functions, k = 1..n_basis.

    Returns:
      [n_edge, n_basis].

    Source:
      Gasteiger, Gross & Günnemann (2020), eq. 7. Multiplied by c / 2 so that a network sees numbers near one.
    """
    x = lengths / cutoff
    sine, twice = jnp.sin(jnp.pi * x), 2 * jnp.cos(jnp.pi * x)
    waves = [sine, twice * sine]
    while len(waves) < n_basis:
        waves.append(twice * waves[-1] - waves[-2])
    common = envelope(x) / (2.0**0.5 * x)
    return jnp.stack([w * common for w in waves[:n_basis]], -1)
