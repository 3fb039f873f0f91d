"""The lowest mixture of sampled points for many compositions at once: the simplex method side by side."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

MISSING = 1e3
"""eV/atom, price of matter that no point holds."""

BLOCK = 32
"""Points whose lowest is looked for together."""

COARSE, FINE = 1e-3, 1e-4
"""eV/atom that a mixture must gain by one more point: on the thinned set, on all points. Newton's method does the rest."""

_FALLS = 1e-9


class Mixtures(NamedTuple):
    """Low mixtures of C points: their rows [B, C], -1 where matter is missing; shares of the atoms [B, C]; chemical potentials [B, C]."""

    index: Array
    fractions: Array
    potentials: Array


class _State(NamedTuple):
    """Of the search: rows [C, B], inverse of their compositions [C, C, B], costs [C, B]; the next one to come in [B], its gain [B]."""

    index: Array
    inverse: Array
    cost: Array
    entering: Array
    gain: Array
    n_pivot: Array


@jax.jit
def lowest(x: Array, points: Array, energies: Array, thin: Array) -> Mixtures:
    """Mixtures of the points [N, C] that have the compositions x [B, C] and nearly the lowest energy.

    Absent elements keep points that hold them away. Compositions are displaced by 1e-9, so that the search ends at ties as well.

    Args:
      x: Atomic fractions [B, C].
      points: Atomic fractions [N, C]; N a multiple of BLOCK.
      energies: eV/atom [B, N].
      thin: Rows of points to begin with, [n], a multiple of BLOCK.
    """
    n_batch, n_element = x.shape
    present = (x > 0).T
    displaced = x.T + 1e-9 * present * jnp.asarray(np.random.default_rng(0).uniform(1, 2, (n_element, 1)))
    price = jnp.where(present, MISSING, -MISSING)
    identity = jnp.broadcast_to(jnp.eye(n_element)[:, :, None], (n_element, n_element, n_batch))
    zero = jnp.zeros(n_batch)
    state = _State(jnp.full((n_element, n_batch), -1), identity, price, zero.astype(int), zero, jnp.zeros((), int))
    costs = energies.T
    few = _search(state, displaced, points[thin], costs[thin], COARSE)
    state = _search(few._replace(index=jnp.where(few.index < 0, -1, thin[few.index])), displaced, points, costs, FINE)
    share = jnp.einsum("cb,cib->ib", displaced, state.inverse)
    return Mixtures(state.index.T, share.T, jnp.einsum("cib,ib->cb", state.inverse, state.cost).T)


def _search(state: _State, x: Array, points: Array, costs: Array, enough: float) -> _State:
    """Pivots until no point gains more than `enough`."""
    n_element, n_batch = x.shape
    lane, columns, blocks = jnp.arange(n_batch), points.reshape(-1, BLOCK, n_element), costs.reshape(-1, BLOCK, n_batch)

    def price(state: _State) -> _State:
        potentials = jnp.einsum("cib,ib->cb", state.inverse, state.cost)
        reduced = blocks - sum(columns[..., c : c + 1] * potentials[c][None, None] for c in range(n_element))
        block = jnp.argmin(reduced.min(1), 0)
        rows = block[None] * BLOCK + jnp.arange(BLOCK)[:, None]
        within = costs[rows, lane[None]] - jnp.einsum("ibc,cb->ib", points[rows], potentials)
        place = jnp.argmin(within, 0)
        return state._replace(entering=block * BLOCK + place, gain=-within[place, lane])

    def pivot(state: _State) -> _State:
        step = jnp.einsum("bc,cib->ib", points[state.entering], state.inverse)
        share = jnp.einsum("cb,cib->ib", x, state.inverse)
        falls = step > _FALLS
        ratio = jnp.where(falls, jnp.maximum(share, 0.0) / jnp.where(falls, step, 1.0), jnp.inf)
        leaving = jnp.argmin(ratio, 0)
        improves = state.gain > enough
        gone = (jnp.arange(n_element)[:, None] == leaving[None]) & improves[None]
        scaled = jnp.where(improves[None], state.inverse[:, leaving, lane] / step[leaving, lane][None], 0.0)  # [C, B]
        return price(
            state._replace(
                inverse=state.inverse - scaled[:, None] * jnp.where(gone, step - 1, step)[None],
                index=jnp.where(gone, state.entering[None], state.index),
                cost=jnp.where(gone, costs[state.entering, lane][None], state.cost),
                n_pivot=state.n_pivot + 1,
            )
        )

    more = lambda state: jnp.any(state.gain > enough) & (state.n_pivot < 200 * n_element)
    return jax.lax.while_loop(more, pivot, price(state))


def thinned(start: np.ndarray, share: int = 8) -> np.ndarray:
    """Every `share`-th point of each phase, repeated to a multiple of BLOCK."""
    rows = np.concatenate([np.arange(a, b, share) for a, b in zip(start[:-1], start[1:], strict=True)])
    return np.resize(rows, -(-len(rows) // BLOCK) * BLOCK)
