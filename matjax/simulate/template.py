"""A prototype's fixed topology: who neighbours whom is found once, so that a decoration is a gather inside jit."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from matjax.graph.neighbours import neighbours
from matjax.simulate.prototypes import Prototype
from matjax.types import Crystal, Edges, Globals, Graph, Nodes


class Template(NamedTuple):
    """The neighbours of every site of a prototype, lengths in nearest-neighbour distances.

    vectors [n_edge, 3]; senders, receivers [n_edge] int32, sorted by receiver; pair [n_edge], first [n_edge / 2] as in
    `types.Edges`; volume: of the cell; response
    [3 n_atom, 3 n_atom]: displacements under unit forces when nearest (and, in bcc, second) neighbours are joined by unit
    springs, translations left out.
    """

    vectors: jax.Array
    senders: jax.Array
    receivers: jax.Array
    pair: jax.Array
    first: jax.Array
    volume: jax.Array
    response: jax.Array

    @property
    def n_atom(self) -> int:
        """Sites of the cell."""
        return self.response.shape[0] // 3


def template(cell: Prototype, reach: float) -> Template:
    """The template of a cell.

    Args:
      cell: Prototype or representative cell.
      reach: Longest pair, in nearest-neighbour distances: the network's cutoff over the smallest distance that will occur.
    """
    crystal = Crystal(cell.vectors, cell.frac_coords @ cell.vectors, np.ones(len(cell), int))
    found = neighbours(crystal, reach)
    return Template(
        vectors=jnp.asarray(found.vectors, jnp.float32),
        senders=jnp.asarray(found.senders),
        receivers=jnp.asarray(found.receivers),
        pair=jnp.asarray(found.pair),
        first=jnp.asarray(found.first),
        volume=jnp.float32(crystal.volume),
        response=jnp.asarray(_spring_response(crystal), jnp.float32),
    )


def decorate(template: Template, numbers: jax.Array, scale: jax.Array, displacements: jax.Array) -> Graph:
    """A batch of decorated cells as one graph, without padding: no neighbour search, so it runs inside jit.

    Args:
      template: The prototype's topology.
      numbers: Atomic numbers [b, n_atom].
      scale: Nearest-neighbour distance of each cell [b], Å.
      displacements: From the sites [b, n_atom, 3], in nearest-neighbour distances.

    Returns:
      A graph of b cells; edges beyond a network's cutoff carry its envelope's zero.
    """
    b, n_atom = numbers.shape
    n_edge = template.senders.shape[0]
    moved = displacements[:, template.receivers] - displacements[:, template.senders]
    vectors = scale[:, None, None] * (template.vectors[None] + moved)
    shifted = lambda index, step: (index[None] + jnp.arange(b, dtype=jnp.int32)[:, None] * step).reshape(-1)
    zeros, ones = jnp.zeros(b, jnp.float32), jnp.ones(b, jnp.float32)
    return Graph(
        nodes=Nodes(numbers.reshape(-1).astype(jnp.int32), jnp.zeros((b * n_atom, 3), jnp.float32), jnp.ones(b * n_atom, bool)),
        edges=Edges(vectors.reshape(-1, 3), shifted(template.pair, n_edge // 2), shifted(template.first, n_edge)),
        senders=shifted(template.senders, n_atom),
        receivers=shifted(template.receivers, n_atom),
        globals=Globals(
            energy=zeros,
            has_energy=zeros,
            has_forces=zeros,
            stress=jnp.zeros((b, 3, 3), jnp.float32),
            has_stress=zeros,
            volume=scale**3 * template.volume,
            domain=jnp.zeros(b, jnp.int32),
            held_from=jnp.zeros(b, jnp.int32),
            weight=ones,
            index=jnp.arange(b, dtype=jnp.int32),
            mask=jnp.ones(b, bool),
            fidelity=jnp.zeros(b, jnp.int32),
            charge=zeros,
        ),
        n_node=jnp.full(b, n_atom, jnp.int32),
        n_edge=jnp.full(b, n_edge, jnp.int32),
    )


def _spring_response(crystal: Crystal) -> np.ndarray:
    """Pseudo-inverse [3n, 3n] of the unit spring network of near neighbours (up to 1.2 nearest-neighbour distances)."""
    senders, receivers, vectors, *_ = neighbours(crystal, 1.2)
    n = len(crystal)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    bond = unit[:, :, None] * unit[:, None, :]
    stiffness = np.zeros((n, n, 3, 3))
    for one, other, sign in ((receivers, receivers, 1), (senders, senders, 1), (receivers, senders, -1), (senders, receivers, -1)):
        np.add.at(stiffness, (one, other), 0.5 * sign * bond)
    matrix = stiffness.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
    values, rows = np.linalg.eigh((matrix + matrix.T) / 2)
    soft = values < 1e-8 * values[-1]  # translations, and floppy modes of a small cell
    return (rows[:, ~soft] / np.maximum(values[~soft], 0.05 * values[-1])) @ rows[:, ~soft].T
