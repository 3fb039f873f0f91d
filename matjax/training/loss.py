"""The loss per crystal: how wrong a batch is, before any risk weighs crystals or domains."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import optax

from matjax.config import spec
from matjax.types import Graph, Outcome, Output


@spec
class Loss:
    """Weighted sum of energy, force and stress errors, dimensionless, one number per crystal.

    Errors are divided by the model's scale (eV) before they are weighed: energy per atom by scale, forces by scale / Å,
    stress times volume per atom (eV per atom and unit strain) by scale.

    Attributes:
      energy: Weight of the energy per atom.
      forces: Weight of the mean force error; used where the data have forces.
      stress: Weight of the stress error; used where the data have stress.
      shape: "huber" (quadratic below `delta`), "mae", "mse", or "nll" (Gaussian negative log likelihood of the energy; needs
        a model with a variance head).
      delta: Where Huber's loss turns linear, in units of scale.
    """

    energy: float = 1.0
    forces: float = 10.0
    stress: float = 10.0
    shape: str = "huber"
    delta: float = 0.3

    def __post_init__(self) -> None:
        """Checks the shape."""
        allowed = ("huber", "mae", "mse", "nll")
        if self.shape not in allowed:
            raise ValueError(f"loss shape is {self.shape!r}; allowed: {', '.join(allowed)}")

    def outcome(self, output: Output, graph: Graph, scale: jax.Array) -> Outcome:
        """What a risk needs to know of a batch.

        Args:
          output: What the model says, with derivatives where the data have them.
          graph: The batch with its labels.
          scale: eV per unit.

        Raises:
          ValueError: If the shape is "nll" and the model has no variance head.
        """
        g = graph.globals
        n_atom = jnp.maximum(graph.n_node, 1).astype(jnp.float32)
        error = (output.energy - g.energy) / n_atom / scale
        loss = self.energy * self._energy(error, output.log_variance) * g.has_energy
        if output.forces is not None:
            loss = loss + self.forces * _mean_over_atoms(self._penalty((output.forces - graph.nodes.forces) / scale), graph) * g.has_forces
        if output.stress is not None:
            loss = loss + self.stress * self._stress(output.stress - g.stress, graph, scale) * g.has_stress
        labelled = g.mask & (g.has_energy + g.has_forces + g.has_stress > 0)
        return Outcome(loss, output.features, output.log_variance, error, g.domain, g.weight, labelled, g.mask)

    def _energy(self, error: jax.Array, log_variance: jax.Array | None) -> jax.Array:
        if self.shape != "nll":
            return self._penalty(error)
        if log_variance is None:
            raise ValueError("loss shape 'nll' needs a model with a variance head; set model.variance = true")
        bounded = jnp.clip(log_variance, -8.0, 4.0)
        return 0.5 * (jnp.exp(-bounded) * error**2 + bounded)

    def _stress(self, error: jax.Array, graph: Graph, scale: jax.Array) -> jax.Array:
        volume_per_atom = graph.globals.volume / jnp.maximum(graph.n_node, 1)
        return jnp.mean(self._penalty(error * volume_per_atom[:, None, None] / scale), axis=(1, 2))

    def _penalty(self, error: jax.Array) -> jax.Array:
        if self.shape == "mae":
            return jnp.abs(error)
        if self.shape == "mse":
            return error**2
        return optax.losses.huber_loss(error, delta=self.delta)


def energy_only(loss: Loss) -> Loss:
    """The same loss without forces and stress."""
    return dataclasses.replace(loss, forces=0.0, stress=0.0)


def _mean_over_atoms(values: jax.Array, graph: Graph) -> jax.Array:
    """Mean over the atoms and components of each crystal: [n_node, 3] -> [n_graph]."""
    n_graph = graph.n_node.shape[0]
    owner = jnp.repeat(jnp.arange(n_graph), graph.n_node, total_repeat_length=values.shape[0])
    return jax.ops.segment_sum(jnp.mean(values, -1), owner, n_graph, indices_are_sorted=True) / jnp.maximum(graph.n_node, 1)
