"""Adversarial deformation: crystals displaced and strained, by a little, to where the loss grows fastest."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from matjax.config import spec
from matjax.risk.protocol import check_range
from matjax.types import Graph


@spec
class Adversarial:
    """Deforms a random share of the crystals of a batch along the gradient of their loss, and corrects their energies.

    Atoms move by d, of root mean square `displacement` over the crystal, and the lattice by the symmetric strain e, of
    Frobenius norm `strain`, each parallel to the gradient of the loss of the energy. To first order the energy there is

        E' = E - sum_i F_i . d_i + V stress : e

    with the labelled forces and stress. A crystal without them keeps its energy, which holds where it is relaxed; one with
    forces and without stress is not strained. Forces and stress labels of deformed crystals are left out, since their change
    would take second derivatives. The neighbours stay, so keep d far below the cutoff. It costs one more gradient of
    the energy. Errors of the label are of second order: about k d^2 / 2 per atom, with k some 10 eV/Å^2.

    Attributes:
      displacement: Root mean square displacement, Å.
      strain: Frobenius norm of the strain.
      share: Share of the crystals that are deformed; 0 leaves the batch alone.

    Source:
      Goodfellow, Shlens & Szegedy (2015), Explaining and harnessing adversarial examples, section 4, with steps of fixed length
      instead of signs; the corrected labels are ours.
    """

    displacement: float = 0.02
    strain: float = 0.005
    share: float = 0.5

    def __post_init__(self) -> None:
        """Refuses deformations that are not small."""
        check_range(self, displacement=(0, 0.5), strain=(0, 0.1), share=(0, 1))

    def apply(self, key: jax.Array, graph: Graph, loss: Callable[[Graph], jax.Array]) -> Graph:
        """The batch with some of its crystals deformed.

        Args:
          key: Of the choice of crystals.
          graph: A batch with its labels.
          loss: Loss per crystal [n_graph] of a batch, without derivatives.
        """
        g, n_graph, owner = graph.globals, graph.n_node.shape[0], _owner(graph)
        chosen = (jax.random.uniform(key, (n_graph,)) < self.share) & g.mask
        still = jnp.zeros(graph.nodes.forces.shape), jnp.zeros(g.stress.shape)
        objective = lambda d, e: jnp.where(g.mask, loss(deformed(graph, d, e)), 0.0).sum()
        by_place, by_strain = jax.lax.stop_gradient(jax.grad(objective, (0, 1))(*still))
        square = jax.ops.segment_sum((by_place**2).sum(1), owner, n_graph, indices_are_sorted=True) / jnp.maximum(graph.n_node, 1)
        shift = self.displacement * _inverse_root(chosen * square)[owner][:, None] * by_place
        by_strain = (by_strain + by_strain.transpose(0, 2, 1)) / 2
        strainable = chosen & ((g.has_stress > 0) | (g.has_forces == 0))
        strain = self.strain * _inverse_root(strainable * (by_strain**2).sum((1, 2)))[:, None, None] * by_strain
        return _relabelled(deformed(graph, shift, strain), graph, shift, strain, chosen)


def deformed(graph: Graph, displacement: jax.Array, strain: jax.Array) -> Graph:
    """The batch with displaced atoms [n_node, 3], Å, and then strained lattices [n_graph, 3, 3], on the same edges; labels as they were."""
    vectors = graph.edges.vectors + displacement[graph.receivers] - displacement[graph.senders]
    moved = vectors + jnp.einsum("ei,eij->ej", vectors, strain[_owner(graph)[graph.receivers]], precision="highest")
    volume = graph.globals.volume * jnp.linalg.det(jnp.eye(3)[None, :, :] + strain)
    return graph._replace(edges=graph.edges._replace(vectors=moved), globals=graph.globals._replace(volume=volume))


def _relabelled(moved: Graph, graph: Graph, displacement: jax.Array, strain: jax.Array, chosen: jax.Array) -> Graph:
    """The deformed batch with energies corrected to first order and without the forces and stress of what was deformed."""
    g = graph.globals
    work = jax.ops.segment_sum((graph.nodes.forces * displacement).sum(1), _owner(graph), graph.n_node.shape[0], indices_are_sorted=True)
    change = g.volume * (g.stress * strain).sum((1, 2)) * g.has_stress - work * g.has_forces
    kept = 1.0 - chosen
    labels = {"has_forces": g.has_forces * kept, "has_stress": g.has_stress * kept, "energy": g.energy + change * g.has_energy}
    return moved._replace(globals=moved.globals._replace(**labels))


def _owner(graph: Graph) -> jax.Array:
    """The crystal of each atom [n_node]."""
    return jnp.repeat(jnp.arange(graph.n_node.shape[0]), graph.n_node, total_repeat_length=graph.nodes.mask.shape[0])


def _inverse_root(square: jax.Array) -> jax.Array:
    """1 / sqrt(x), and 0 at 0."""
    return jnp.where(square > 0, jax.lax.rsqrt(jnp.where(square > 0, square, 1.0)), 0.0)
