"""Short-range order in the pair approximation: how often i sits next to j, and what that is worth.

Quasi-chemical or Bethe approximation, for lattices whose bonds join two sublattices alike (bcc, a chain, a square net) and for any
lattice at high temperature. It knows no frustration: for order on fcc, where three neighbours close a triangle, see `tetrahedron`.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.host import float64
from matjax.units import BOLTZMANN

ABSENT = 1e-30
"""Fraction that stands for an absent element, so that every logarithm is finite."""

_N_STEP, _LONGEST, _TOLERANCE = 200, 1.5, 1e-14
_N_SCAN, _N_BISECTION = 64, 60
_ROUNDING = 1e-10  # of a curvature, in kT


class Pairs(NamedTuple):
    """An alloy of neighbours.

    Attributes:
      free_energy: Energy of the bonds minus T times the configurational entropy, eV/atom.
      probabilities: Share of the bonds that have i at the first and j at the second end [n_element, n_element].
      warren_cowley: 1 - p_ij / (x_i y_j), zero where neighbours are independent, negative for pairs that seek each other.
      residual: Largest error of the marginals of `probabilities`.
    """

    free_energy: Array
    probabilities: Array
    warren_cowley: Array
    residual: Array


def pair_approximation(
    x: ArrayLike, bond_energies: ArrayLike, coordination: ArrayLike, temperature: ArrayLike, y: ArrayLike | None = None
) -> Pairs:
    """Free energy and pair probabilities of a solution whose nearest neighbours interact.

    F = z/2 sum_ij p_ij (e_ij + kT ln p_ij) - (z - 1)/2 kT sum_i (x_i ln x_i + y_i ln y_i), lowest over all p with marginals x and y.
    Exact for a chain (z = 2); the random solution at high temperature. The minimum is unique. Runs in jit and vmap, and can be
    differentiated twice with respect to all but `coordination`.

    Args:
      x: Atomic fractions [n_element], on the first of two sublattices if y is given.
      bond_energies: e_ij [n_element, n_element], eV per bond, symmetric.
      coordination: Neighbours of a site.
      temperature: K, positive.
      y: Atomic fractions on the other sublattice (long-range order, as of B2 on bcc); None: as x, no long-range order.

    Raises:
      ValueError: If shapes do not fit.

    Source:
      Bethe (1935); Fowler & Guggenheim (1940); Kikuchi (1951), A theory of cooperative phenomena. Cowley (1950) for the parameters.
    """
    with float64():
        x, energies = jnp.asarray(x, jnp.float64), jnp.asarray(bond_energies, jnp.float64)
        y = x if y is None else jnp.asarray(y, jnp.float64)
        if x.ndim != 1 or y.shape != x.shape or energies.shape != (*x.shape, *x.shape):
            raise ValueError(
                f"x and y [n], bond energies [n, n] do not fit: {x.shape}, {y.shape}, {energies.shape}; use jax.vmap over alloys"
            )
        return _pairs(x, y, energies, jnp.asarray(coordination, jnp.float64), jnp.asarray(temperature, jnp.float64))


def ordering_temperature(x: ArrayLike, bond_energies: ArrayLike, coordination: ArrayLike) -> Array:
    """Temperature (K) below which the solution orders on two sublattices: where the disordered state stops being a minimum.

    The highest temperature at which moving atoms between the sublattices costs nothing to second order. 0 where there is none above
    a hundredth of the largest bond energy. For two elements at x = 1/2, k Tc / J = 2 / ln(z / (z - 2)) with e_AB = -J, e_AA = e_BB = J.

    Args:
      x: Atomic fractions [n_element].
      bond_energies: e_ij [n_element, n_element], eV per bond.
      coordination: Neighbours of a site.

    Source:
      Bethe (1935), Statistical theory of superlattices.
    """
    with float64():
        x, energies = jnp.asarray(x, jnp.float64), jnp.asarray(bond_energies, jnp.float64)
        return _ordering_temperature(x, energies, jnp.asarray(coordination, jnp.float64))


@jax.jit
def _pairs(x: Array, y: Array, energies: Array, coordination: Array, temperature: Array) -> Pairs:
    thermal = BOLTZMANN * temperature
    x, y = (jnp.where(value > ABSENT, value, ABSENT) for value in (x, y))
    log_kernel = -(energies - jnp.min(jax.lax.stop_gradient(energies))) / thermal
    start = _solve(*jax.lax.stop_gradient((x, y, log_kernel)))
    # One more step, now with derivatives: those of the solution, by the implicit function theorem.
    a, b = _step(start, x, y, log_kernel)
    pairs = _probabilities(a, b, log_kernel)
    bonds = x @ a + y @ b - jnp.sum(pairs) + 1  # the dual: stationary in a and b, so that their error enters squared
    sites = (x @ jnp.log(x) + y @ jnp.log(y)) / 2
    free = thermal * (coordination / 2 * bonds - (coordination - 1) * sites) + coordination / 2 * jnp.min(jax.lax.stop_gradient(energies))
    residual = jnp.maximum(jnp.max(jnp.abs(pairs.sum(1) - x)), jnp.max(jnp.abs(pairs.sum(0) - y)))
    return Pairs(free, pairs, 1 - pairs / (x[:, None] * y[None, :]), residual)


def _probabilities(a: Array, b: Array, log_kernel: Array) -> Array:
    return jnp.exp(a[:, None] + b[None, :] + log_kernel)


def _solve(x: Array, y: Array, log_kernel: Array) -> tuple[Array, Array]:
    """Multipliers of the marginals by damped Newton steps on a convex function."""

    def improve(state):
        (a, b), _, k = state
        new = _step((a, b), x, y, log_kernel)
        longest = jnp.maximum(jnp.max(jnp.abs(new[0] - a)), jnp.max(jnp.abs(new[1] - b)))
        shrink = jnp.minimum(1.0, _LONGEST / jnp.maximum(longest, ABSENT))
        return (a + shrink * (new[0] - a), b + shrink * (new[1] - b)), longest, k + 1

    start = (jnp.log(x), jnp.log(y) - jax.nn.logsumexp(log_kernel + jnp.log(x)[:, None], axis=0))
    is_open = lambda state: (state[1] > _TOLERANCE) & (state[2] < _N_STEP)
    return jax.lax.while_loop(is_open, improve, (start, jnp.ones(()), jnp.zeros((), jnp.int32)))[0]


def _step(start: tuple[Array, Array], x: Array, y: Array, log_kernel: Array) -> tuple[Array, Array]:
    """One Newton step; what a gains b may lose, which is held by a further row."""
    (a, b), n = start, len(x)
    pairs = _probabilities(a, b, log_kernel)
    rows, columns = pairs.sum(1), pairs.sum(0)
    size = jnp.sqrt(jnp.concatenate([x, y]))
    hessian = jnp.block([[jnp.diag(rows), pairs], [pairs.T, jnp.diag(columns)]]) / jnp.outer(size, size)
    gauge = jnp.concatenate([jnp.ones(n), -jnp.ones(n)]) * size
    residual = jnp.concatenate([x - rows, y - columns]) / size
    step = jnp.linalg.solve(hessian + jnp.outer(gauge, gauge), residual) / size
    return a + step[:n], b + step[n:]


@partial(jax.jit)
def _ordering_temperature(x: Array, energies: Array, coordination: Array) -> Array:
    n = len(x)
    basis = jnp.linalg.qr(jnp.concatenate([jnp.ones((n, 1)), jnp.eye(n)[:, : n - 1]], 1))[0][:, 1:]
    weight = jnp.sqrt(jnp.where(x > ABSENT, x, 0.0))[:, None]  # an absent element does not move

    def is_unstable(temperature: Array) -> Array:
        def exchanged(eta: Array) -> Array:
            moved = weight[:, 0] * (basis @ eta)
            moved = moved - x * jnp.sum(moved)
            return _pairs(x + moved, x - moved, energies, coordination, temperature).free_energy

        return jnp.linalg.eigvalsh(jax.hessian(exchanged)(jnp.zeros(n - 1)))[0] < -_ROUNDING * BOLTZMANN * temperature

    largest = jnp.max(jnp.abs(energies - energies.mean())) / BOLTZMANN
    scan = jnp.geomspace(0.01, 2.0, _N_SCAN) * largest * coordination
    unstable = jax.vmap(is_unstable)(scan)
    last = jnp.max(jnp.where(unstable, jnp.arange(_N_SCAN), -1))

    def halve(_, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        is_low = is_unstable(middle)
        return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

    ends = scan[jnp.maximum(last, 0)], scan[jnp.minimum(last + 1, _N_SCAN - 1)]
    return jnp.where(last < 0, 0.0, sum(jax.lax.fori_loop(0, _N_BISECTION, halve, ends)) / 2)
