"""An equivariant model for small cells whose sums over neighbours are products of matrices."""

from __future__ import annotations

import e3nn_jax as e3nn
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from matjax.graph.pair_matrix import PairMatrix, enough_blocks, pair_matrix
from matjax.nn.embedding import ElementEmbedding
from matjax.nn.radial_whitening import whitened_bessel
from matjax.types import Graph, Output

Tensor = tuple[jax.Array, ...]  # per degree l: [n_block, 2l+1, width (receiver), width (sender), n_basis]


class GeometryTensor(nn.Module):
    """Two message-passing layers on a geometry tensor without parameters, for cells of up to `width` atoms.

    Geometry enters as S_l[i, j, k, m] = sum over the images of j around i of b_k(r) Y_lm: built once, used by both layers, always
    linearly (so a supercell has the energy of its cells). With radial functions linear in the basis b every sum over neighbours
    is a product of matrices,

      first layer   a_l[i] = sum_jk S_l[i, j, k] u_l[element of j, k]                  species densities of degree l
      atoms         h = network(a_0, |a_l|², element), h_l = gate_l(a) W a_l           many-body, at the cost of atoms
      second layer  s[i] = sum_ljkm S_l[i, j, k, m] w_l[k] h_l[j, m]                   messages into scalars
      readout       energy = network(s, hidden of the first layer, element)

    and the networks that make it expressive run on atoms, of which there are dozens of times fewer than edges. Nothing is learned
    on edges: what distances may do is the linear span of `n_basis` functions per pair of elements and channel.

    A crystal of more than `width` atoms, or one that finds no room in `n_block` blocks, has NaN for energy and features. Parameters depend
    on neither number: learners, predictors and simulations choose both for every batch (`nn.layout`).

    Variables: collection "params" is trained; "constants" holds `scale` (eV per unit of the network's output) and
    `average_degree`, set from the training data by the learner.

    Attributes:
      l_max: Largest degree of the harmonics.
      n_channel: Channels of every degree.
      hidden: Width of the networks on atoms.
      cutoff: In Å.
      n_basis: Radial functions, shared by all channels.
      n_wave: Bessel functions of which they are made.
      width: Atoms per block: at least those of the largest crystal.
      n_block: Blocks per batch (`graph.pair_matrix.blocks_needed`); 0 for as many as always suffice.
      n_element: Channels of the element embedding.
      physical: Embed elements by physical descriptors.
      learned: Add a learned correction per element.
      variance: Add a head for the log variance of the energy per atom.
    """

    l_max: int = 1
    n_channel: int = 32
    hidden: int = 64
    cutoff: float = 5.0
    n_basis: int = 8
    n_wave: int = 16
    width: int = 32
    n_block: int = 0
    n_element: int = 8
    physical: bool = True
    learned: bool = True
    variance: bool = False

    @nn.compact
    def __call__(self, graph: Graph) -> Output:
        """Predicts a packed batch."""
        degree = self.variable("constants", "average_degree", lambda: jnp.ones(())).value
        scale = self.variable("constants", "scale", lambda: jnp.ones(())).value
        n_block = self.n_block or enough_blocks(graph.nodes.mask.shape[0], graph.n_node.shape[0], self.width)
        layout = pair_matrix(graph, self.width, n_block)
        numbers = jnp.zeros(n_block * self.width + 1, graph.nodes.numbers.dtype).at[layout.row].set(graph.nodes.numbers)[:-1]
        element = ElementEmbedding(self.n_element, self.physical, self.learned, name="element")(numbers)
        tensor = self._geometry(graph, layout, n_block, 1 / jnp.sqrt(degree))
        scalars, higher, known = self._first_layer(tensor, element)
        heard = self._second_layer(tensor, scalars, higher)
        heard = heard * (1 + _dense(heard.shape[-1], "element_2", zero=True)(element))
        hidden = nn.silu(_dense(self.hidden, "readout", bias=True)(jnp.concatenate([heard, known, element], -1)))
        atomic = _dense(1, "energy", bias=True)(hidden) + _dense(1, "element_energy", zero=True)(element)
        return self._pool(graph, layout, scale * atomic, hidden)

    def _geometry(self, graph: Graph, layout: PairMatrix, n_block: int, factor: jax.Array) -> Tensor:
        """S_l of every block; an edge j -> i also stands for i -> j, whose harmonics have the sign (-1)^l."""
        vectors = graph.edges.vectors[layout.edge]
        basis = whitened_bessel(jnp.sqrt(jnp.sum(vectors**2, -1)), self.cutoff, self.n_basis, self.n_wave) * (layout.share * factor)
        irreps = e3nn.Irreps.spherical_harmonics(self.l_max)
        angular = e3nn.spherical_harmonics(irreps, vectors, normalize=True, normalization="component").array.T
        per_edge = (angular[:, None, :] * basis[None, :, :]).reshape(-1, len(vectors)).T
        n_entry = n_block * self.width**2
        summed = jax.ops.segment_sum(per_edge, layout.entry, n_entry + 1)[:-1]
        one_way = summed.reshape(n_block, self.width, self.width, -1, self.n_basis).transpose(0, 3, 1, 2, 4)
        sign = np.concatenate([np.full(2 * n + 1, (-1.0) ** n) for n in range(self.l_max + 1)])
        both = one_way + one_way.swapaxes(2, 3) * jnp.asarray(sign, one_way.dtype)[None, :, None, None, None]
        return tuple(both[:, n * n : (n + 1) ** 2] for n in range(self.l_max + 1))

    def _first_layer(self, tensor: Tensor, element: jax.Array) -> tuple[jax.Array, Tensor, jax.Array]:
        """Scalars [n_row, n_channel], higher degrees [n_block, 2l+1, width, n_channel], and the hidden layer [n_row, hidden]."""
        n_row, n_channel = len(element), self.n_channel
        density: list[jax.Array] = []
        for n, s in enumerate(tensor):
            sent = _dense(self.n_basis * n_channel, f"element_radial_{n}", spread=self.n_basis)(element)
            flat = s.reshape(len(s), (2 * n + 1) * self.width, -1) @ sent.reshape(len(s), -1, n_channel)
            gain = 1 + _dense(n_channel, f"element_1_{n}", zero=True)(element)
            density.append(flat.reshape(-1, 2 * n + 1, self.width, n_channel) * gain.reshape(-1, 1, self.width, n_channel))
        lengths = [jnp.mean(a**2, axis=1).reshape(n_row, n_channel) for a in density[1:]]
        invariants = jnp.concatenate([density[0].reshape(n_row, n_channel), *lengths, element], -1)
        known = nn.silu(_dense(self.hidden, "hidden", bias=True)(invariants))
        gates = _dense(n_channel * len(tensor), "gates")(known).reshape(-1, 1, self.width, len(tensor), n_channel)
        higher = tuple(_dense(n_channel, f"mix_{n}")(a) * gates[..., n, :] for n, a in enumerate(density) if n > 0)
        return gates[..., 0, :].reshape(n_row, n_channel), higher, known

    def _second_layer(self, tensor: Tensor, scalars: jax.Array, higher: Tensor) -> jax.Array:
        """Messages into scalars [n_row, n_channel]: degree l of the sender meets degree l of the geometry."""
        sent = (scalars.reshape(-1, 1, self.width, self.n_channel), *higher)
        total = jnp.zeros((len(tensor[0]), self.width, self.n_channel), scalars.dtype)
        for n, (s, h) in enumerate(zip(tensor, sent, strict=True)):
            radial = self.param(f"radial_{n}", nn.initializers.normal(self.n_basis**-0.5), (self.n_basis, self.n_channel))
            weighted = (h[..., None, :] * radial[None, None, None]).reshape(len(s), 2 * n + 1, -1, self.n_channel)
            rows = s.reshape(len(s), 2 * n + 1, self.width, -1)
            total = total + jnp.einsum("bmix,bmxc->bic", rows, weighted) / (2 * n + 1) ** 0.5
        return total.reshape(-1, self.n_channel)

    def _pool(self, graph: Graph, layout: PairMatrix, atomic: jax.Array, hidden: jax.Array) -> Output:
        """Sums atomic energies and averages invariant features over each crystal."""
        n_graph = graph.n_node.shape[0]
        mask = jnp.asarray(graph.nodes.mask)[:, None]
        owner = jnp.repeat(jnp.arange(n_graph), graph.n_node, total_repeat_length=len(mask))
        row = jnp.minimum(layout.row, len(atomic) - 1)

        def pool(x: jax.Array) -> jax.Array:
            summed = jax.ops.segment_sum(jnp.where(mask, x[row], 0.0), owner, n_graph, indices_are_sorted=True)
            return jnp.where(layout.fits[:, None], summed, jnp.nan)

        energy = pool(atomic)[:, 0]
        pooled = pool(hidden) / jnp.maximum(graph.n_node, 1)[:, None]
        log_variance = nn.Dense(1, name="log_variance")(nn.silu(nn.Dense(16, name="spread")(pooled)))[:, 0] if self.variance else None
        return Output(energy=energy, log_variance=log_variance, features=pooled)


def _dense(n_out: int, name: str, *, bias: bool = False, zero: bool = False, spread: float = 1.0) -> nn.Dense:
    """A linear map that starts with unit variance over `spread` times its inputs, or at zero."""
    start = nn.initializers.zeros if zero else nn.initializers.variance_scaling(1.0 / spread, "fan_in", "normal")
    return nn.Dense(n_out, use_bias=bias, kernel_init=start, name=name)
