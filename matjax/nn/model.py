"""The equivariant model: energy and features of every crystal in a batch, as a function of edge vectors only."""

from __future__ import annotations

from collections.abc import Callable

import e3nn_jax as e3nn
import flax.linen as nn
import jax
import jax.numpy as jnp

from matjax.data.elements import N_ELEMENT
from matjax.nn.condition import Condition
from matjax.nn.embedding import ElementEmbedding
from matjax.nn.features import EdgeFeatures, Features, NodeFeatures, channels, degree
from matjax.nn.head import Head, HeadReadout
from matjax.nn.interaction import Interaction
from matjax.nn.radial import bessel
from matjax.nn.wall import wall
from matjax.types import Graph, Output

Layer = Callable[[Features, EdgeFeatures, NodeFeatures], Features]


class Equivariant(nn.Module):
    """E(3)-equivariant graph network (NequIP type).

    Variables: collection "params" is trained; "constants" holds `scale` (eV per unit of the network's output) and
    `average_degree`, set from the training data by the learner.

    Attributes:
      irreps: Hidden irreps of each layer, such as "32x0e+32x1o"; parities (-1)^l keep the paths few.
      n_layer: Message-passing layers.
      cutoff: In Å.
      n_basis: Radial basis functions.
      radial: Hidden widths of the radial networks.
      variance: Add a head for the log variance of the energy per atom.
      physical: Embed elements by physical descriptors.
      learned: Add a learned correction per element.
      layers: The user's own layers, applied after the last interaction: flax modules (features, edges, nodes) -> features.
      embedding: "network" on the descriptors and the correction, or "table": one learned row per element and nothing else.
      width: Channels of the embedding; 0 for as many as there are scalars in `irreps`.
      readout: "network" with one hidden layer on scalars and embedding, or "linear" in the scalars.
      heads: What the network says beside the energy.
      fidelities: Levels of theory that the answer is conditioned on, such as ("PBE", "experiment"); the first is the default.
      charge: Condition the answer on a total charge.
      wall: Add the repulsion of screened nuclei (ZBL) below the sum of covalent radii, where data are rare.
      backend: Of the edge operation: "xla", or "cuequivariance" on a GPU.
    """

    irreps: str = "32x0e+32x1o"
    n_layer: int = 2
    cutoff: float = 4.0
    n_basis: int = 8
    radial: tuple[int, ...] = ()
    variance: bool = False
    physical: bool = True
    learned: bool = True
    layers: tuple[nn.Module, ...] = ()
    embedding: str = "network"
    width: int = 0
    readout: str = "network"
    heads: tuple[Head, ...] = ()
    fidelities: tuple[str, ...] = ()
    charge: bool = False
    wall: bool = False
    backend: str = "xla"

    @nn.compact
    def __call__(self, graph: Graph) -> Output:
        """Predicts a packed batch."""
        wanted = channels(self.irreps)
        degree = self.variable("constants", "average_degree", lambda: jnp.ones(())).value
        scale = self.variable("constants", "scale", lambda: jnp.ones(())).value
        embedding = self._embed(graph.nodes.numbers, self.width or wanted["0e"])
        if self.fidelities or self.charge:
            embedding = embedding + Condition(embedding.shape[-1], self.fidelities, self.charge, name="condition")(graph)
        nodes = NodeFeatures(embedding, graph.nodes.mask, degree)
        edges = edge_features(graph, tuple(wanted), self.cutoff, self.n_basis)
        features: Features = {"0e": embedding[:, None, :]}
        for i in range(self.n_layer):
            features = Interaction(self.irreps, self.radial, self.backend, name=f"interaction_{i}")(features, edges, nodes)
        for layer in self.layers:
            features = layer(features, edges, nodes)
        return self._read_out(features, embedding, graph, scale)

    def _embed(self, numbers: jax.Array, width: int) -> jax.Array:
        if self.embedding == "table":
            return nn.Embed(N_ELEMENT + 1, width, embedding_init=nn.initializers.normal(1.0), name="element")(numbers)
        if self.embedding != "network":
            raise ValueError(f"embedding is {self.embedding!r}; allowed: network, table")
        return ElementEmbedding(width, self.physical, self.learned, name="element")(numbers)

    def _read_out(self, features: Features, embedding: jax.Array, graph: Graph, scale: jax.Array) -> Output:
        """Sums atomic energies and averages invariant features over each crystal."""
        mask = graph.nodes.mask.astype(jnp.float32)[:, None]
        n_graph = graph.n_node.shape[0]
        owner = jnp.repeat(jnp.arange(n_graph), graph.n_node, total_repeat_length=mask.shape[0])
        pool = lambda x: jax.ops.segment_sum(x * mask, owner, n_graph, indices_are_sorted=True)
        n_atom = jnp.maximum(graph.n_node, 1)[:, None]
        hidden = features["0e"][:, 0]
        if self.readout == "network":
            hidden = nn.silu(nn.Dense(hidden.shape[-1], name="readout")(jnp.concatenate([hidden, embedding], -1)))
        elif self.readout != "linear":
            raise ValueError(f"readout is {self.readout!r}; allowed: network, linear")
        atomic = nn.Dense(1, use_bias=self.readout == "network", name="energy")(hidden)
        pooled = pool(hidden) / n_atom
        log_variance = nn.Dense(1, name="log_variance")(nn.silu(nn.Dense(16, name="spread")(pooled)))[:, 0] if self.variance else None
        energy = scale * pool(atomic)[:, 0]
        if self.wall:
            energy = energy + pool(wall(graph, self.cutoff)[:, None])[:, 0]
        output = Output(energy=energy, log_variance=log_variance, features=pooled)
        said = {h.name: HeadReadout(h, name=f"head_{h.name}")(features, embedding, n_atom[:, 0], pool) for h in self.heads}
        spread = {name: log_variance for name, (_, log_variance) in said.items() if log_variance is not None}
        return output._replace(heads={name: answer for name, (answer, _) in said.items()}, head_log_variance=spread)


def edge_features(graph: Graph, irreps: tuple[str, ...], cutoff: float, n_basis: int) -> EdgeFeatures:
    """Lengths, harmonics (degrees of the irreps, parity (-1)^l) and radial basis of every edge."""
    vectors = graph.edges.vectors
    lengths = jnp.sqrt(jnp.sum(vectors**2, axis=-1))
    pair, first = graph.edges.pair, graph.edges.first
    pair_basis = None if first is None else bessel(lengths[first], cutoff, n_basis)
    basis = bessel(lengths, cutoff, n_basis) if pair_basis is None else pair_basis[pair]
    degrees = range(max(degree(ir) for ir in irreps) + 1)
    kinds = [f"{n}{'eo'[n % 2]}" for n in degrees]
    harmonics = {k: e3nn.spherical_harmonics(e3nn.Irreps(k), vectors, normalize=True, normalization="component").array for k in kinds}
    return EdgeFeatures(vectors, lengths, harmonics, basis, graph.senders, graph.receivers, pair, pair_basis)
