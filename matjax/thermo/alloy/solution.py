"""A property of a solid solution as a smooth function of composition: Redlich-Kister surfaces by Bayesian regression.

The regression is closed form and linear in the data, so gradients pass through it to whatever made the data (the weights
of a network), and an ensemble costs one solve: the covariance does not depend on the values.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from matjax.config import spec
from matjax.thermo.host import float64

N_ORDER = 3  # of a pair: 0, 1, 2


@spec
class RedlichKister:
    """Standard deviations of the coefficients before any data, and of one datum, in the unit of the property.

    Attributes:
      element: Of a pure element's value about the mean of the data.
      pair: Of the regular-solution coefficient; 0.8 eV/atom covers strongly ordering pairs (0.2 eV/atom at x = 1/2).
      pair_1: Of the coefficient of order 1 (asymmetry).
      pair_2: Of the coefficient of order 2.
      ternary: Of each of the three ternary coefficients.
      quaternary: Of the quaternary coefficient.
      noise: Of one random cell about the mean over cells.
      noise_element: Of a pure element, whose cell is no sample.
    """

    element: float = 2.0
    pair: float = 0.8
    pair_1: float = 0.4
    pair_2: float = 0.2
    ternary: float = 1.0
    quaternary: float = 2.0
    noise: float = 0.005
    noise_element: float = 1e-4


PRIOR = RedlichKister()


class Surface(NamedTuple):
    """A property over composition, with what is not known of it.

    Attributes:
      mean: Coefficients [..., n_basis]; leading axes (members, lattices) as in the data.
      covariance: Of the coefficients [n_basis, n_basis]; the same for every member.
    """

    mean: Array
    covariance: Array


class _Terms(NamedTuple):
    """Elements of each basis function: [n_pair, 2], [n_triple, 3], [n_quadruple, 4]."""

    pairs: np.ndarray
    triples: np.ndarray
    quadruples: np.ndarray


@cache
def _terms(n_element: int) -> _Terms:
    return _Terms(*(np.array(list(combinations(range(n_element), k)), int).reshape(-1, k) for k in (2, 3, 4)))


def n_basis(n_element: int) -> int:
    """Number of basis functions of `n_element` elements: linear, three per pair, three per triple, one per quadruple."""
    pairs, triples, quadruples = _terms(n_element)
    return n_element + N_ORDER * len(pairs) + 3 * len(triples) + len(quadruples)


def basis(x: ArrayLike) -> Array:
    """Values of the basis functions at compositions.

    Linear x_i; pairs x_i x_j (x_i - x_j)^k, k = 0, 1, 2; triples x_i x_j x_k v_l, l in (i, j, k), with
    v_l = x_l + (1 - x_i - x_j - x_k) / 3; quadruples x_i x_j x_k x_l. All but the linear ones vanish at pure elements, and
    those of a subsystem are among those of the system.

    Args:
      x: Compositions; the last axis sums to 1.

    Source:
      Redlich & Kister, Ind. Eng. Chem. 40, 345 (1948); extrapolation to many elements of Muggianu et al., J. Chim. Phys.
      72, 83 (1975); ternary term of Hillert, Calphad 4, 1 (1980). The quaternary term is the symmetric product.
    """
    with float64():
        x = jnp.asarray(x, jnp.float64)
        pairs, triples, quadruples = _terms(x.shape[-1])
        first, second = x[..., pairs[:, 0]], x[..., pairs[:, 1]]
        product, difference = first * second, first - second
        columns = [x, product, product * difference, product * difference**2]
        if len(triples):
            members = x[..., triples]
            share = members + (1 - members.sum(-1, keepdims=True)) / 3
            columns.append((members.prod(-1, keepdims=True) * share).reshape(*x.shape[:-1], members.shape[-2] * members.shape[-1]))
        if len(quadruples):
            columns.append(x[..., quadruples].prod(-1))
        return jnp.concatenate(columns, -1)


@cache
def _places(n_element: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of each pair, triple and quadruple, looked up by its (ascending) elements."""
    tables = []
    for rows in _terms(n_element):
        table = np.zeros((n_element,) * rows.shape[1], int)
        table[tuple(rows.T)] = np.arange(len(rows))
        tables.append(table)
    return tables[0], tables[1], tables[2]


def restrict(n_element: int, elements: Array) -> Array:
    """Which basis functions of the system are those of a subsystem, in the subsystem's own order.

    Args:
      n_element: Elements of the system.
      elements: Ascending element numbers of the subsystem [n_sub] (may be traced).

    Returns:
      Indices [n_basis(n_sub)].
    """
    terms, places = _terms(n_element), [jnp.asarray(table) for table in _places(n_element)]
    n_pair, n_triple = len(terms.pairs), len(terms.triples)
    pairs, triples, quadruples = (
        table[tuple(elements[rows[:, k]] for k in range(rows.shape[1]))] for table, rows in zip(places, _terms(len(elements)), strict=True)
    )
    orders = [n_element + k * n_pair + pairs for k in range(N_ORDER)]
    ternary = (n_element + N_ORDER * n_pair + 3 * triples[:, None] + np.arange(3)[None]).reshape(-1)
    return jnp.concatenate([elements, *orders, ternary, n_element + N_ORDER * n_pair + 3 * n_triple + quadruples])


def prior_std(prior: RedlichKister, n_element: int) -> Array:
    """Standard deviation of every coefficient before any data."""
    pairs, triples, quadruples = _terms(n_element)
    counts = (n_element, len(pairs), len(pairs), len(pairs), 3 * len(triples), len(quadruples))
    levels = (prior.element, prior.pair, prior.pair_1, prior.pair_2, prior.ternary, prior.quaternary)
    return jnp.concatenate([jnp.full(n, level, jnp.float64) for n, level in zip(counts, levels, strict=True)])


def fit_surface(
    x: ArrayLike,
    y: ArrayLike,
    prior: RedlichKister = PRIOR,
    *,
    noise: ArrayLike | None = None,
    center: ArrayLike | None = None,
) -> Surface:
    """Bayesian linear regression of a property on composition, in closed form and linear in `y`.

    Args:
      x: Compositions of the data.
      y: Values; leading axes (ensemble members) share one solve.
      prior: Standard deviations of coefficients and data.
      noise: Standard deviation of each datum; infinite where it says nothing. None: `prior.noise`, and
        `prior.noise_element` for pure elements.
      center: Value of every pure element before any data; None: the mean of the data that count.

    Source:
      Bishop, Pattern Recognition and Machine Learning (2006), eqs. 3.50 and 3.51.
    """
    with float64():
        x, y = jnp.asarray(x, jnp.float64), jnp.asarray(y, jnp.float64)
        noise = _noise(x, prior) if noise is None else jnp.broadcast_to(jnp.asarray(noise, jnp.float64), x.shape[:1])
        center = _mean(y, noise) if center is None else jnp.asarray(center, jnp.float64)
        return _fit(x, y, noise, center, prior)


def residuals(
    x: ArrayLike,
    y: ArrayLike,
    prior: RedlichKister = PRIOR,
    *,
    noise: ArrayLike | None = None,
) -> Array:
    """Leave-one-out residuals of `fit_surface`: each value minus its prediction from all the others (same center).

    Source:
      Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), eq. 5.12, as r / (1 - leverage).
    """
    with float64():
        x, y = jnp.asarray(x, jnp.float64), jnp.asarray(y, jnp.float64)
        noise = _noise(x, prior) if noise is None else jnp.broadcast_to(jnp.asarray(noise, jnp.float64), x.shape[:1])
        return _residuals(x, y, noise, _mean(y, noise), prior)


def evaluate(surface: Surface, x: ArrayLike) -> Array:
    """The property at compositions: leading axes of the surface first, then those of `x`."""
    with float64():
        return jnp.tensordot(jnp.asarray(surface.mean, jnp.float64), basis(x), axes=(-1, -1))


def spread(surface: Surface, x: ArrayLike) -> Array:
    """Standard deviation of the surface of one lattice at compositions: what the data leave open."""
    with float64():
        rows = basis(x)
        return jnp.sqrt(jnp.maximum(jnp.einsum("...i,ij,...j->...", rows, surface.covariance, rows), 0.0))


def condition(surface: Surface, x: ArrayLike, y: ArrayLike, noise: ArrayLike | float) -> Surface:
    """The surface of one lattice after `k` further data: a rank-k update, equal to fitting them with the rest.

    Args:
      surface: Mean [..., n_basis] and covariance [n_basis, n_basis].
      x: Compositions of the new data.
      y: Their values; leading axes as in the mean.
      noise: Standard deviation of each (or all).
    """
    with float64():
        rows, noise = basis(x), jnp.asarray(noise, jnp.float64)
        return update(surface, rows, jnp.asarray(y, jnp.float64), jnp.broadcast_to(noise, rows.shape[:1]))


def update(surface: Surface, rows: Array, y: Array, noise: Array) -> Surface:
    """`condition` on rows of the basis [k, n_basis] rather than compositions."""
    cross = rows @ surface.covariance
    gain = jnp.linalg.solve(cross @ rows.T + jnp.diag(noise**2), cross)
    error = y - jnp.tensordot(surface.mean, rows, axes=(-1, -1))
    return Surface(surface.mean + error @ gain, surface.covariance - cross.T @ gain)


def _noise(x: Array, prior: RedlichKister) -> Array:
    return jnp.where(x.max(-1) > 1 - 1e-9, prior.noise_element, prior.noise)


def _mean(y: Array, noise: Array) -> Array:
    known = jnp.isfinite(noise)
    return jnp.where(jnp.broadcast_to(known, y.shape), y, 0.0).sum(-1) / jnp.maximum(known.sum(), 1)


def _smoother(x: Array, noise: Array, prior: RedlichKister) -> tuple[Array, Array, Array]:
    """Rows of the basis, what turns data about the center into coefficients [n_basis, n], and the covariance."""
    rows, scale = basis(x), prior_std(prior, x.shape[-1])
    scaled = rows * scale[None] / noise[:, None]
    factor = jax.scipy.linalg.cho_factor(jnp.eye(len(scale)) + scaled.T @ scaled)
    weights = scale[:, None] * jax.scipy.linalg.cho_solve(factor, scaled.T) / noise[None]
    return rows, weights, scale[:, None] * jax.scipy.linalg.cho_solve(factor, jnp.diag(scale))


@jax.jit
def _fit(x: Array, y: Array, noise: Array, center: Array, prior: RedlichKister) -> Surface:
    _, weights, covariance = _smoother(x, noise, prior)
    about = jnp.where(jnp.broadcast_to(jnp.isfinite(noise), y.shape), y - center[..., None], 0.0)
    mean = jnp.tensordot(about, weights, axes=(-1, -1))
    linear = jnp.arange(mean.shape[-1]) < x.shape[-1]
    return Surface(mean + jnp.where(jnp.broadcast_to(linear, mean.shape), center[..., None], 0.0), covariance)


@jax.jit
def _residuals(x: Array, y: Array, noise: Array, center: Array, prior: RedlichKister) -> Array:
    rows, weights, _ = _smoother(x, noise, prior)
    smooth = rows @ weights
    about = y - center[..., None]
    return (about - jnp.tensordot(about, smooth, axes=(-1, -1))) / jnp.broadcast_to(1 - jnp.diag(smooth), y.shape)
