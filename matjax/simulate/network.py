"""A network as a potential on the device: its model, the weights of every member, and what is added back on the host."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from matjax.data.elements import N_ELEMENT, symbol
from matjax.graph import neighbours, pack, shape_for, to_graph
from matjax.nn import Model
from matjax.nn.sharing import count, repeated
from matjax.types import Crystal, Graph


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """What runs on the device when atoms move.

    Attributes:
      model: The network.
      variables: Its variables, every array with a leading axis over members.
      references: Energy per atom of each element [n_element], eV, the mean over members; float64, added on the host.
      elements: Atomic numbers that a table of elements was trained on; None where any element will do.
    """

    model: Model
    variables: Any
    references: np.ndarray
    elements: tuple[int, ...] | None = None

    def strangers(self, crystal: Crystal) -> str:
        """What the crystal has that the network cannot represent, in words; empty if nothing."""
        strange = set() if self.elements is None else {int(z) for z in crystal.numbers} - set(self.elements)
        names = ", ".join(symbol(z) for z in sorted(strange))
        return f"{names} not known to this model ({len(self.elements or ())} elements are)" if strange else ""

    def require_elements(self, crystal: Crystal) -> None:
        """Refuses a crystal with elements that the network does not know.

        Raises:
          ValueError: Naming them.
        """
        if strangers := self.strangers(crystal):
            raise ValueError(f"the crystal has {strangers}: leave it out, or fine-tune on crystals with it")


def network(potential: Any, *, needs: tuple[str, ...] = ("forces",)) -> Network:
    """The network of a potential.

    Args:
      potential: A trained predictor (`matjax.training.GraphPredictor` or anything with its `model`, `params`, `constants` and
        `references`); or (model, variables), one member, with energies as the network says them; or a `Network`.
      needs: What will be asked of it: a predictor refuses what did not supervise it.

    Raises:
      ValueError: If it is none of these, predicts no energy, or was not trained on what it needs.
    """
    if isinstance(potential, Network):
        return potential
    if isinstance(potential, tuple) and len(potential) == 2 and hasattr(potential[0], "apply"):
        model, variables = potential
        return Network(model, jax.tree.map(lambda x: jnp.asarray(x)[None], variables), np.zeros(N_ELEMENT + 1))
    return _of_predictor(potential, needs)


def _of_predictor(potential: Any, needs: tuple[str, ...]) -> Network:
    if not all(hasattr(potential, name) for name in ("model", "params", "constants", "references")):
        raise ValueError(f"a potential is a trained predictor or (model, variables); this is a {type(potential).__name__}")
    for name in needs:
        potential.supervision.require(name)
    if potential.supervision.unit != "eV/atom":
        raise ValueError(
            f"the model predicts {potential.supervision.label} in {potential.supervision.unit}; a potential is an energy in eV/atom"
        )
    n_member = count(potential.params)
    params = repeated(potential.params, n_member)
    constants = jax.tree.map(lambda x: jnp.broadcast_to(x, (n_member, *jnp.shape(x))), potential.constants)
    own = getattr(potential, "own_references", None)
    references = potential.references.energies + (0.0 if own is None else own.mean(0))
    elements = potential.supervision.elements if getattr(potential.model, "embedding", "") == "table" else None
    return Network(potential.model, {"params": params, "constants": constants}, np.asarray(references, np.float64), elements)


def energies(model: Model, variables: Any, graph: Graph) -> jax.Array:
    """What every member says of a packed batch [n_member, n_graph], eV above the references."""
    return jax.lax.map(lambda member: model.apply(member, graph).energy, variables)


def packed_alone(crystal: Crystal, reach: float) -> Graph:
    """The padded graph of one crystal, its edge vectors in float64; similar crystals share a shape.

    Args:
      crystal: The crystal.
      reach: Longest edge, Å.
    """
    graph = to_graph(crystal, cutoff=reach, found=neighbours(crystal, reach))
    return pack([graph], shape_for([graph], 1)._replace(n_graph=2), cutoff=reach)


def displaced(graph: Graph, displacements: jax.Array, deformation: jax.Array | None = None) -> Graph:
    """A packed batch whose atoms and cells have moved: vector' = (vector + u_receiver - u_sender) @ deformation.

    Who is whose neighbour stays; edges must reach as far as the cutoff after the move.

    Args:
      graph: Packed batch.
      displacements: u [n_node, 3], Å, before the deformation.
      deformation: [n_graph, 3, 3], or None where cells stay.
    """
    vectors = graph.edges.vectors + displacements[graph.receivers] - displacements[graph.senders]
    if deformation is None:
        return graph._replace(edges=graph.edges._replace(vectors=vectors))
    owner = jnp.repeat(jnp.arange(graph.n_edge.shape[0]), graph.n_edge, total_repeat_length=vectors.shape[0])
    vectors = jnp.einsum("ei,eij->ej", vectors, deformation[owner])
    volume = graph.globals.volume * jnp.abs(jnp.linalg.det(deformation))
    return graph._replace(edges=graph.edges._replace(vectors=vectors), globals=graph.globals._replace(volume=volume))
