"""Order and short-range order on fcc by the cluster variation method in the tetrahedron approximation.

Nearest neighbours of fcc close triangles, so that not all bonds can be satisfied; pairs alone get the order wrong there. Tetrahedra
whose corners lie on four sublattices hold L1_0, L1_2 and the disordered solution, with their short-range order.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations, permutations
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from matjax.thermo.host import float64
from matjax.thermo.order.pair_approximation import ABSENT
from matjax.units import BOLTZMANN

PAIRS = tuple(combinations(range(4), 2))
"""Corners that each of the six bonds of a tetrahedron joins."""

TOLERANCE = 1e-11
"""Change of a tetrahedron's probability in one iteration at which the search ends."""

MAX_ITERATION = 20_000
"""Iterations after which it gives up; `residual` then says how far it came."""

_RIDGE = 1e-10  # perfect order has one composition, whatever the activities


class Tetrahedra(NamedTuple):
    """An alloy on fcc.

    Attributes:
      free_energy: Energy minus T times the configurational entropy, eV/atom.
      chemical_potentials: [n_element], eV/atom: free_energy = x @ chemical_potentials, and its slope in x.
      sublattices: Site fractions [4, n_element]: all alike if disordered, 3 + 1 in L1_2, 2 + 2 in L1_0.
      probabilities: Of tetrahedra [n_element] * 4, by the elements at their corners.
      warren_cowley: 1 - p_ij / (x_i x_j) of nearest neighbours, averaged over the bonds [n_element, n_element].
      residual: Largest change of a probability in the last iteration.
    """

    free_energy: Array
    chemical_potentials: Array
    sublattices: Array
    probabilities: Array
    warren_cowley: Array
    residual: Array


def tetrahedron_energies(bond_energies: ArrayLike) -> Array:
    """Energy of each tetrahedron [n_element] * 4, eV, from those of its bonds: every bond is shared by two tetrahedra.

    Args:
      bond_energies: e_ij [n_element, n_element], eV per bond, symmetric.
    """
    with float64():
        bond = jnp.asarray(bond_energies, jnp.float64)
        return sum((_spread(bond, pair) for pair in PAIRS), jnp.zeros((1,) * 4)) / 2


def tetrahedron_approximation(x: ArrayLike, energies: ArrayLike, temperature: ArrayLike, start: ArrayLike | None = None) -> Tetrahedra:
    """The state of an fcc solution at one composition: the minimum of the free energy that is reached from a start.

    F = 2 sum w (e + kT ln w) - kT sum_pairs sum y ln y + 5/4 kT sum_sublattices sum x ln x, over the probabilities w of tetrahedra,
    with y and x their marginals. The free energy falls in every iteration. It can have several minima: from `start=None` the
    sublattices stay alike, which is the disordered solution whether it is stable or not; from ordered fractions the ordered state is
    found if it exists. Compare their free energies. Far below the ordering temperature (under 0.6 J/k for L1_0, a third of it) the
    approximation itself gives way: a mixture of all variants of the order gains k ln 2 or more and the sublattices come out alike. Runs
    in jit and vmap; the free energy can be differentiated once, with respect to x, energies and temperature.

    Args:
      x: Atomic fractions [n_element] of the whole.
      energies: Of tetrahedra [n_element] * 4, eV, as from `tetrahedron_energies`; any dependence on the four elements, whose order
        does not count (the mean over all orders is taken).
      temperature: K, positive.
      start: Site fractions [4, n_element] to start from, such as those of perfect L1_0; None: disordered.

    Raises:
      ValueError: If shapes do not fit.

    Source:
      Kikuchi, Phys. Rev. 81, 988 (1951); natural iteration: Kikuchi, J. Chem. Phys. 60, 1071 (1974). The composition is kept by
      Newton steps on the chemical potentials within each iteration.
    """
    with float64():
        x, energies = jnp.asarray(x, jnp.float64), jnp.asarray(energies, jnp.float64)
        if x.ndim != 1 or energies.shape != x.shape * 4:
            raise ValueError(
                f"x [n] and energies of tetrahedra [n, n, n, n] do not fit: {x.shape}, {energies.shape}; use jax.vmap over alloys"
            )
        sublattices = jnp.tile(x[None], (4, 1)) if start is None else jnp.asarray(start, jnp.float64)
        if sublattices.shape != (4, *x.shape):
            raise ValueError(f"a start has the site fractions of four sublattices [4, {len(x)}], not {sublattices.shape}")
        return _tetrahedra(x, energies, jnp.asarray(temperature, jnp.float64), sublattices, start is None)


class _State(NamedTuple):
    """log w; ln of the activities' factors [n]; the last change of a probability; iterations."""

    log_w: Array
    activity: Array
    change: Array
    n_iteration: Array


@partial(jax.jit, static_argnames="is_disordered")
def _tetrahedra(x: Array, energies: Array, temperature: Array, start: Array, is_disordered: bool) -> Tetrahedra:
    x, energies = jnp.where(x > ABSENT, x, ABSENT), _symmetric(energies)
    found = _solve(*jax.lax.stop_gradient((x, energies, temperature, start)), is_disordered)
    thermal, w = BOLTZMANN * temperature, jnp.exp(found.log_w)
    sites = _sites(w)
    potentials = 8 * BOLTZMANN * jax.lax.stop_gradient(temperature) * found.activity
    value = _free_energy(w, found.log_w, energies, thermal)
    potentials = potentials + jax.lax.stop_gradient(value) - jax.lax.stop_gradient(x) @ potentials  # Euler's relation sets the zero
    free = value + potentials @ (x - jax.lax.stop_gradient(x))  # the slope at constant w, by the envelope theorem
    mean = sum((_pair(w, pair) + _pair(w, pair).T for pair in PAIRS), jnp.zeros(energies.shape[:2])) / 12
    return Tetrahedra(free, potentials, sites, w, 1 - mean / (x[:, None] * x[None, :]), found.change)


def _free_energy(w: Array, log_w: Array, energies: Array, thermal: Array) -> Array:
    pairs = sum((jnp.sum(_plogp(_pair(w, pair))) for pair in PAIRS), jnp.zeros(()))
    return 2 * jnp.sum(w * (energies + thermal * log_w)) - thermal * pairs + 1.25 * thermal * jnp.sum(_plogp(_sites(w)))


def _solve(x: Array, energies: Array, temperature: Array, start: Array, is_disordered: bool) -> _State:
    thermal = BOLTZMANN * temperature
    boltzmann = -(energies - jnp.min(energies)) / thermal
    start = jnp.where(start > 1e-6, start, 1e-6)

    def improve(state: _State) -> _State:
        w = jnp.exp(state.log_w)
        if is_disordered:  # rounding must not break the symmetry
            w = _symmetric(w)
        sites = _sites(w)
        base = boltzmann + sum((_spread(_log(_pair(w, pair)), pair) for pair in PAIRS), jnp.zeros((1,) * 4)) / 2
        base = base - 5 / 8 * sum((_along(_log(sites[s]), s) for s in range(4)), jnp.zeros((1,) * 4))
        log_w, activity = _constrained(base, state.activity, x)
        change = jnp.max(jnp.abs(jnp.exp(log_w) - w))
        return _State(log_w, activity, change, state.n_iteration + 1)

    first = sum((_along(jnp.log(start[s] / start[s].sum()), s) for s in range(4)), jnp.zeros((1,) * 4))
    state = _State(first, jnp.zeros(len(x)), jnp.ones(()), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(lambda s: (s.change > TOLERANCE) & (s.n_iteration < MAX_ITERATION), improve, state)


def _constrained(base: Array, activity: Array, x: Array) -> tuple[Array, Array]:
    """Log w = base + the corners' activities + a constant, with the composition x: Newton steps on a convex function."""

    def weigh(activity: Array) -> Array:
        log_w = base + sum((_along(activity, s) for s in range(4)), jnp.zeros((1,) * 4))
        return log_w - jax.nn.logsumexp(log_w)

    def step(_, activity: Array) -> Array:
        w = jnp.exp(weigh(activity))
        have = _sites(w).mean(0)
        both = sum((_pair(w, pair) + _pair(w, pair).T for pair in PAIRS), jnp.zeros_like(jnp.outer(x, x)))
        size = jnp.sqrt(x)
        covariance = (jnp.diag(4 * have) + both) / 4 - 4 * jnp.outer(have, have)  # of the counts of corners, by 4
        hessian = (
            covariance / jnp.outer(size, size) + jnp.outer(size, size) + _RIDGE * jnp.eye(len(x))
        )  # a common factor does nothing: held
        moved = jnp.linalg.solve(hessian, (x - have) / size) / size
        return activity + moved * jnp.minimum(1.0, 2.0 / jnp.max(jnp.abs(moved) + ABSENT))

    activity = jax.lax.fori_loop(0, 3, step, activity)
    return weigh(activity), activity


def _symmetric(tensor: Array) -> Array:
    """The mean over all ways to number the corners."""
    ways = list(permutations(range(4)))
    return sum((jnp.transpose(tensor, way) for way in ways), jnp.zeros_like(tensor)) / len(ways)


def _sites(w: Array) -> Array:
    """Marginals [4, n] of tetrahedra."""
    return jnp.stack([w.sum(tuple(k for k in range(4) if k != s)) for s in range(4)])


def _pair(w: Array, pair: tuple[int, int]) -> Array:
    return w.sum(tuple(k for k in range(4) if k not in pair))


def _spread(matrix: Array, pair: tuple[int, int]) -> Array:
    """A matrix of two corners' elements, as a tensor of all four's."""
    return jnp.expand_dims(matrix, tuple(k for k in range(4) if k not in pair))


def _along(vector: Array, corner: int) -> Array:
    return jnp.expand_dims(vector, tuple(k for k in range(4) if k != corner))


def _log(value: Array) -> Array:
    return jnp.log(jnp.where(value > ABSENT**2, value, ABSENT**2))


def _plogp(value: Array) -> Array:
    return value * _log(value)
