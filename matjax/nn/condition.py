"""What an answer is conditioned on besides the atoms: the level of theory and a total charge."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from matjax.types import Graph


class Condition(nn.Module):
    """Added to the embedding of every atom of a crystal, [n_node, n_channel]; zero for all crystals before training.

    A network that is given it therefore goes on from the same answers. Charge enters per atom, which makes a supercell with
    twice the charge twice the cell, and adds nothing where the charge is zero.

    Attributes:
      n_channel: Width.
      fidelities: Names of the levels of theory; the crystal's `fidelity` is a place among them. Empty for none.
      charge: Whether the crystal's `charge` is heard.
    """

    n_channel: int
    fidelities: tuple[str, ...] = ()
    charge: bool = False

    @nn.compact
    def __call__(self, graph: Graph) -> jax.Array:
        """Embeds what the batch is conditioned on."""
        n_graph, n_node = graph.n_node.shape[0], graph.nodes.numbers.shape[0]
        zeros = nn.initializers.zeros
        x = jnp.zeros((n_graph, self.n_channel), jnp.float32)
        if self.fidelities:
            x = x + nn.Embed(len(self.fidelities), self.n_channel, embedding_init=zeros, name="fidelity")(graph.globals.fidelity)
        if self.charge:
            wave = nn.Dense(self.n_channel, name="charge_hidden")
            per_atom = (graph.globals.charge / jnp.maximum(graph.n_node, 1))[:, None]
            change = nn.silu(wave(per_atom)) - nn.silu(wave(jnp.zeros_like(per_atom)))
            x = x + nn.Dense(self.n_channel, use_bias=False, kernel_init=zeros, name="charge")(change)
        return jnp.repeat(x, graph.n_node, axis=0, total_repeat_length=n_node)
