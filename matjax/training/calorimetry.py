"""Calorimetry: free energies of crystals as they are measured, and as a network's energies over volume say them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_masses
from jax import Array
from jax.typing import ArrayLike

from matjax.config import spec
from matjax.graph import Shape, pack, shape_for, sizes_of, to_graph
from matjax.nn import Model
from matjax.simulate.network import energies
from matjax.thermo.free_energy.equation_of_state import fit_equation_of_state
from matjax.thermo.free_energy.gruneisen import debye_gruneisen_from_bulk
from matjax.thermo.free_energy.phase import Phase, gibbs
from matjax.thermo.host import float64
from matjax.training.predictor import GraphPredictor
from matjax.types import Crystal, Graph

ROOM = 298.15
"""Temperature (K) whose enthalpy free energies count from."""


@spec
class Volumes:
    """Volumes at which a network is asked for energies, as shares of the crystal's own.

    Attributes:
      compression: Smallest.
      expansion: Largest.
      n: How many.
    """

    compression: float = 0.85
    expansion: float = 1.25
    n: int = 7


VOLUMES = Volumes()


@dataclasses.dataclass(frozen=True, eq=False)
class Calorimetry:
    """Measured free energies of crystals.

    Attributes:
      crystals: At their known volumes.
      temperatures: K [n_temperature].
      gibbs: G(T) - H(298.15 K), eV/atom [n, n_temperature]; NaN where unknown.

    Raises:
      ValueError: If shapes do not fit, a temperature is not positive or nothing is known of a crystal.
    """

    crystals: tuple[Crystal, ...]
    temperatures: np.ndarray
    gibbs: np.ndarray

    def __post_init__(self) -> None:
        """Checks shapes and numbers."""
        if np.shape(self.gibbs) != (len(self.crystals), len(self.temperatures)) or not len(self.crystals):
            raise ValueError(
                f"{len(self.crystals)} crystals and {len(self.temperatures)} temperatures need free energies of that shape,"
                f" not {np.shape(self.gibbs)}"
            )
        if not np.all(np.asarray(self.temperatures) > 0):
            raise ValueError(f"temperatures are in K and positive; these are {self.temperatures}")
        if (bad := np.flatnonzero(~np.isfinite(self.gibbs).any(1))).size:
            raise ValueError(f"crystal {bad[0]} ({len(bad)} in all) has no known free energy; leave it out")


def calorimetric_energies(volumes: ArrayLike, energy: ArrayLike, mass: ArrayLike, temperatures: ArrayLike) -> Array:
    """G(T) - H(298.15 K) at zero pressure in the Debye-Gruneisen model from energies over volume; NaN where these have no minimum.

    Args:
      volumes: Å³/atom [n_volume].
      energy: eV/atom [n_volume], any zero.
      mass: Mean mass per atom, amu.
      temperatures: K [n_temperature].

    Returns:
      eV/atom [n_temperature].

    Source:
      Moruzzi, Janak & Schwarz (1988), Calculated thermal properties of metals: for metals; rough for other solids.
    """
    with float64():
        volumes, energy, mass, temperatures = (jnp.asarray(value, jnp.float64) for value in (volumes, energy, mass, temperatures))
        curve = fit_equation_of_state(volumes, energy)
        phase = Phase(static=curve, vibrational=debye_gruneisen_from_bulk(curve, mass))
        room, slope = jax.value_and_grad(lambda t: gibbs(phase, t))(jnp.asarray(ROOM, jnp.float64))
        return gibbs(phase, temperatures) - (room - ROOM * slope)


def predict_calorimetry(
    predictor: GraphPredictor, crystals: Sequence[Crystal], temperatures: ArrayLike, volumes: Volumes = VOLUMES
) -> np.ndarray:
    """G(T) - H(298.15 K) that a network's energies over volume say, eV/atom [n_member, n, n_temperature]; NaN without a minimum.

    Args:
      predictor: Trained on energies and forces.
      crystals: At rest, atoms carried along when the volume changes.
      temperatures: K [n_temperature].
      volumes: Where the network is asked.
    """
    curves = Curves.of(crystals, predictor, volumes)
    found = curves.energies(member_variables(predictor), predictor.model)
    with float64():
        temperatures = jnp.asarray(temperatures, jnp.float64)
        return np.asarray(
            _members_gibbs(jnp.asarray(curves.volumes), jnp.asarray(found, jnp.float64), jnp.asarray(curves.mass), temperatures)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """Graphs of every crystal at every volume.

    Attributes:
      graphs: Per crystal and volume.
      volumes: Å³/atom [n, n_volume].
      n_atom: Atoms [n].
      mass: Mean mass, amu [n].
      cutoff: Å.
      batch_size: Crystals in a batch.
      shape: Room of the largest possible batch.
    """

    graphs: tuple[tuple[Graph, ...], ...]
    volumes: np.ndarray
    n_atom: np.ndarray
    mass: np.ndarray
    cutoff: float
    batch_size: int
    shape: Shape

    @classmethod
    def of(cls, crystals: Sequence[Crystal], predictor: GraphPredictor, at: Volumes, batch_size: int = 16) -> Curves:
        """Graphs of crystals at a predictor's cutoff."""
        shares = np.linspace(at.compression, at.expansion, at.n)
        cutoff = predictor.model.cutoff
        stretched = lambda c, s: dataclasses.replace(c, lattice=c.lattice * s ** (1 / 3), positions=c.positions * s ** (1 / 3))
        graphs = tuple(tuple(to_graph(stretched(c, s), cutoff=cutoff) for s in shares) for c in crystals)
        n_atom = np.array([len(c) for c in crystals])
        volumes = np.array([abs(np.linalg.det(c.lattice)) for c in crystals])[:, None] / n_atom[:, None] * shares[None]
        mass = np.array([atomic_masses[c.numbers].mean() for c in crystals])
        batch_size = min(batch_size, len(crystals))
        largest = np.sort(sizes_of([g for row in graphs for g in row]), 0)[::-1][: batch_size * at.n]  # in atoms, and in edges
        return cls(graphs, volumes, n_atom, mass, cutoff, batch_size, shape_for(largest, len(largest), slack=1.0))

    def batch(self, rows: np.ndarray) -> Graph:
        """Crystals at all volumes, one after another; every batch has the shape of the largest possible."""
        return pack([g for i in rows for g in self.graphs[i]], self.shape, cutoff=self.cutoff)

    def energies(self, variables: Any, model: Model) -> np.ndarray:
        """Of all crystals, eV/atom [n_member, n, n_volume]."""
        found = []
        for start in range(0, len(self.graphs), self.batch_size):
            rows = np.arange(start, min(start + self.batch_size, len(self.graphs)))
            said = np.asarray(forward(variables, self.batch(rows), model))[:, : len(rows) * self.volumes.shape[1]]
            found.append(said.reshape(len(said), len(rows), -1) / self.n_atom[rows][None, :, None])
        return np.concatenate(found, 1)


def member_variables(predictor: GraphPredictor) -> dict[str, Any]:
    """What the network of every member is applied with, arrays with a leading member axis."""
    n_member = len(jax.tree.leaves(predictor.params)[0])
    constants = jax.tree.map(lambda x: jnp.broadcast_to(x, (n_member, *jnp.shape(x))), predictor.constants)
    return {"params": predictor.params, "constants": constants}


@partial(jax.jit, static_argnames="model")
def forward(variables: Any, graph: Graph, model: Model) -> Array:
    """Energies of a packed batch [n_member, n_graph], eV."""
    return energies(model, variables, graph)


@jax.jit
def _members_gibbs(volumes: Array, found: Array, mass: Array, temperatures: Array) -> Array:
    per_crystal = jax.vmap(calorimetric_energies, (0, 0, 0, None))
    return jax.vmap(per_crystal, (None, 0, None, None))(volumes, found, mass, temperatures)
