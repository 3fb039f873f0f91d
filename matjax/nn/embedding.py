"""Element embedding: physical descriptors and a learned correction, so that an unseen element has a place."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from matjax.data.elements import physical_features


class ElementEmbedding(nn.Module):
    """Maps atomic numbers to [n_node, n_channel].

    The physical part is a small network on descriptors of the element (electronegativity, radius, valence, row, group,
    ...). The learned part starts at zero and moves only for elements in the training data: an unseen element is placed by
    its physics alone.

    Attributes:
      n_channel: Width.
      physical: Use the descriptors; without them the learned part starts at random and an unseen element is noise.
      learned: Use the learned correction.
    """

    n_channel: int
    physical: bool = True
    learned: bool = True

    @nn.compact
    def __call__(self, numbers: jax.Array) -> jax.Array:
        """Embeds numbers [n_node]."""
        table = jnp.asarray(physical_features(), jnp.float32)
        x = jnp.zeros((len(numbers), self.n_channel), jnp.float32)
        if self.physical:
            x = x + nn.Dense(self.n_channel, name="physical")(table[numbers])
        if self.learned or not self.physical:
            start = nn.initializers.zeros if self.physical else nn.initializers.normal(1.0)
            x = x + nn.Embed(len(table), self.n_channel, embedding_init=start, name="learned")(numbers)
        return nn.Dense(self.n_channel, name="mix")(nn.silu(x))
