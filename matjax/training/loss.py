"""The loss per crystal: how wrong a batch is, before any risk weighs crystals or domains."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from jax.scipy.stats import norm

from matjax.config import spec
from matjax.nn.head import Head
from matjax.training.head_loss import head_loss, n_labelled
from matjax.types import Graph, Outcome, Output

SHAPES = ("huber", "mae", "mse", "nll", "crps")
FORCE_SHAPES = ("", "huber", "mae", "mse", "l2", "conditional_huber")
HUBER_BINS, HUBER_FACTORS = (100.0, 200.0, 300.0), (1.0, 0.7, 0.4, 0.1)  # eV/Å; parts of delta


@spec
class Loss:
    """Weighted sum of energy, force and stress errors, dimensionless, one number per crystal.

    Errors are divided by the model's scale (eV) before they are weighed: energy per atom by scale, forces by scale / Å,
    stress times volume per atom (eV per atom and unit strain) by scale.

    Attributes:
      energy: Weight of the energy per atom.
      forces: Weight of the mean force error; used where the data have forces.
      stress: Weight of the stress error; used where the data have stress.
      shape: "huber" (quadratic below `delta`), "mae", "mse", "nll" (Gaussian negative log likelihood of the energy) or "crps"
        (continuous ranked probability score of the same Gaussian: a few large errors weigh less); the last two need a model with a
        variance head.
      delta: Where Huber's loss turns linear, in units of scale.
      force_shape: Of the force error, where it differs from `shape` (Huber beside "nll"): "huber", "mae", "mse"; "l2" is the length
        of the error vector, which no rotation changes; "conditional_huber" is Huber's with a delta that is 0.7, 0.4 and 0.1
        of `delta` on atoms whose labelled force is above 100, 200 and 300 eV/Å, so that broken frames weigh little.

    Source:
      Batatia et al. (2023), A foundation model for atomistic materials chemistry, section "conditional Huber loss"; Gneiting & Raftery
      (2007), Strictly proper scoring rules, eq. 21 (CRPS).
    """

    energy: float = 1.0
    forces: float = 10.0
    stress: float = 10.0
    shape: str = "huber"
    delta: float = 0.3
    force_shape: str = ""

    def __post_init__(self) -> None:
        """Checks the shape."""
        for name, allowed in (("shape", SHAPES), ("force_shape", FORCE_SHAPES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"loss {name} is {getattr(self, name)!r}; allowed: {', '.join(a or repr(a) for a in allowed)}")

    def outcome(
        self, output: Output, graph: Graph, scale: jax.Array, heads: Mapping[Head, jax.Array] = {}, *, slope: bool = False
    ) -> Outcome:
        """What a risk needs to know of a batch.

        Args:
          output: What the model says, with derivatives where the data have them.
          graph: The batch with its labels.
          scale: eV per unit.
          heads: {head: label units per unit} of the model's heads.
          slope: Also the loss's derivative by a common factor on all that the model says.

        Raises:
          ValueError: If the shape is "nll" or "crps" and the model has no variance head.
        """
        g = graph.globals
        total = lambda said: functools.reduce(jnp.add, self.terms(said, graph, scale, heads).values())
        loss, by_factor = (total(output), None) if not slope else jax.jvp(total, (output,), (_answers(output),))
        error, prediction = _energy_error(output, graph, scale), _per_atom(output.energy, graph, scale)
        labelled = g.mask & (g.has_energy + g.has_forces + g.has_stress + n_labelled(graph) > 0)
        return Outcome(loss, output.features, output.log_variance, error, g.domain, g.weight, labelled, g.mask, prediction, by_factor)

    def terms(self, output: Output, graph: Graph, scale: jax.Array, heads: Mapping[Head, jax.Array] = {}) -> dict[str, jax.Array]:
        """What the loss is the sum of, weights included: energy, forces, stress, heads, each [n_graph]; arguments as for `outcome`."""
        g = graph.globals
        terms = {"energy": self.energy * self.of_error(_energy_error(output, graph, scale), output.log_variance) * g.has_energy}
        if output.forces is not None:
            terms["forces"] = self.forces * self._forces(output.forces - graph.nodes.forces, graph, scale) * g.has_forces
        if output.stress is not None:
            terms["stress"] = self.stress * self._stress(output.stress - g.stress, graph, scale) * g.has_stress
        return terms | ({"heads": head_loss(output, graph, heads, self._penalty)} if heads else {})

    def of_error(self, error: jax.Array, log_variance: jax.Array | None) -> jax.Array:
        """The loss [n_graph] of an error in units of scale [n_graph]; unweighted.

        Raises:
          ValueError: If the shape is "nll" or "crps" and there is no variance.
        """
        if self.shape not in ("nll", "crps"):
            return self._penalty(error)
        if log_variance is None:
            raise ValueError(f"loss shape {self.shape!r} needs a model with a variance head; set model.variance = true")
        bounded = jnp.clip(log_variance, -8.0, 4.0)
        if self.shape == "crps":
            std = jnp.exp(bounded / 2)
            z = error / std
            return std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
        return 0.5 * (jnp.exp(-bounded) * error**2 + bounded)

    def _forces(self, error: jax.Array, graph: Graph, scale: jax.Array) -> jax.Array:
        """Mean over the atoms of each crystal of the penalty of a force error in eV/Å [n_node, 3]."""
        if self.force_shape == "l2":
            return _mean_over_atoms(_length(error / scale), graph)
        if self.force_shape == "conditional_huber":
            size = jnp.linalg.norm(graph.nodes.forces, axis=-1, keepdims=True)
            delta = self.delta * jnp.asarray(HUBER_FACTORS)[jnp.searchsorted(jnp.asarray(HUBER_BINS), size, side="right")]
            return _mean_over_atoms(optax.losses.huber_loss(error / scale, delta=delta), graph)
        return _mean_over_atoms(self._penalty(error / scale, self.force_shape), graph)

    def _stress(self, error: jax.Array, graph: Graph, scale: jax.Array) -> jax.Array:
        volume_per_atom = graph.globals.volume / jnp.maximum(graph.n_node, 1)
        return jnp.mean(self._penalty(error * volume_per_atom[:, None, None] / scale), axis=(1, 2))

    def _penalty(self, error: jax.Array, shape: str = "") -> jax.Array:
        shape = shape or self.shape
        if shape == "mae":
            return jnp.abs(error)
        if shape == "mse":
            return error**2
        return optax.losses.huber_loss(error, delta=self.delta)


def energy_only(loss: Loss) -> Loss:
    """The same loss without forces and stress."""
    return dataclasses.replace(loss, forces=0.0, stress=0.0)


def _energy_error(output: Output, graph: Graph, scale: jax.Array) -> jax.Array:
    """Error of the energy per atom in units of scale [n_graph], zero where it is not labelled."""
    return jnp.where(graph.globals.has_energy > 0, _per_atom(output.energy - graph.globals.energy, graph, scale), 0.0)


def _per_atom(energy: jax.Array, graph: Graph, scale: jax.Array) -> jax.Array:
    return energy / jnp.maximum(graph.n_node, 1).astype(jnp.float32) / scale


def _answers(output: Output) -> Output:
    """The output as a tangent: what it answers moves with a common factor, its variances and features do not."""
    still = jax.tree.map(jnp.zeros_like, output)
    return still._replace(energy=output.energy, forces=output.forces, stress=output.stress, heads=output.heads)


def _length(vectors: jax.Array) -> jax.Array:
    """Lengths [n, 1] of vectors [n, 3], with a gradient of zero at zero."""
    square = jnp.sum(vectors**2, -1, keepdims=True)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


def _mean_over_atoms(values: jax.Array, graph: Graph) -> jax.Array:
    """Mean over the atoms and components of each crystal: [n_node, n_component] -> [n_graph]."""
    n_graph = graph.n_node.shape[0]
    owner = jnp.repeat(jnp.arange(n_graph), graph.n_node, total_repeat_length=values.shape[0])
    return jax.ops.segment_sum(jnp.mean(values, -1), owner, n_graph, indices_are_sorted=True) / jnp.maximum(graph.n_node, 1)
