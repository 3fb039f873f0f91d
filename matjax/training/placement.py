"""Where the arrays of a fit live: on one device as they come, or spread over a mesh."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from matjax.graph import Shape, sizes_of
from matjax.nn import Model
from matjax.nn.layout import with_room
from matjax.training.distributed import to_host
from matjax.training.mesh import DATA, MEMBER
from matjax.training.shards import Shards, assigned, collect, deal, shard_shape, stand_in
from matjax.training.step import predict_step
from matjax.types import Graph, Output


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """One device or a mesh; the loop that trains is the same.

    Every process holds the same members and plans the same batches; it reads the crystals of its own devices.

    Attributes:
      mesh: Axes (member, data), or None for the default device.
      shape: Room of a shard of a batch.
      cutoff: Of padding edges, Å.
    """

    mesh: Mesh | None
    shape: Shape
    cutoff: float

    @classmethod
    def of(cls, mesh: Mesh | None, shape: Shape, graphs: Sequence[Graph], cutoff: float) -> Placement:
        """For batches of this shape made of these graphs."""
        if mesh is None:
            return cls(None, shape, cutoff)
        n_node, n_edge = sizes_of(graphs).max(0).tolist()
        largest = Shape(n_node, n_edge, 1)
        return cls(mesh, shard_shape(shape, mesh.shape[DATA], largest), cutoff)

    def members(self, tree: Any) -> Any:
        """Members, or anything with a leading member axis, each on the devices that train it."""
        return self._put(tree, P(MEMBER))

    def everywhere(self, tree: Any) -> Any:
        """A tree that every device needs."""
        return self._put(tree, P())

    def read(self, graphs: Sequence[Graph], rows: Sequence[int]) -> list[Graph]:
        """The graphs of a batch, with stand-ins for crystals that only other processes' devices get."""
        if self.mesh is None or jax.process_count() == 1:
            return [graphs[i] for i in rows]
        sizes, here = sizes_of(graphs, rows), jax.process_index()
        parts, _ = assigned(sizes, self.n_shard, self.shape)
        ours = {j for j, column in enumerate(self.mesh.devices.T) if any(device.process_index == here for device in column)}
        mine = {k for j in ours for k in parts[j]}
        like = graphs[rows[0]]
        return [graphs[i] if k in mine else stand_in(like, *sizes[k].tolist()) for k, i in enumerate(rows)]

    def batch(self, batch: Graph) -> Graph:
        """A packed batch, or a stack of them that make one update, as `train_step` takes it."""
        if self.mesh is None:
            return batch
        if batch.n_node.ndim == 1:
            return self._put(self._deal(batch).graph, P(DATA))
        batches = [jax.tree.map(lambda x, i=i: x[i], batch) for i in range(len(batch.n_node))]
        widest = max(self._deal(one).shape for one in batches)
        parts = [deal(one, self.n_shard, widest, cutoff=self.cutoff).graph for one in batches]
        return self._put(jax.tree.map(lambda *x: np.stack(x, 1), *parts), P(DATA))

    def host(self, tree: Any) -> Any:
        """NumPy arrays of what was placed."""
        return to_host(tree)

    def predict(self, params: Any, constants: Any, batch: Graph, *, model: Model, derivatives: tuple[str, ...]) -> Output:
        """Host arrays of what all members say of a packed batch [n_member, ...]."""
        if self.mesh is None:
            said = predict_step(params, constants, batch, model=with_room(model, batch), derivatives=derivatives)
            return jax.tree.map(np.asarray, said)
        shards = self._deal(batch)
        graph = self._put(shards.graph, P(DATA))
        said = predict_step(params, constants, graph, model=model, derivatives=derivatives, mesh=self.mesh)
        return collect(to_host(said), shards, batch)

    @property
    def n_shard(self) -> int:
        """Parts that a batch is cut into."""
        return 1 if self.mesh is None else self.mesh.shape[DATA]

    def _deal(self, batch: Graph) -> Shards:
        return deal(batch, self.n_shard, self.shape, cutoff=self.cutoff)

    def _put(self, tree: Any, spec: P) -> Any:
        if self.mesh is None:
            return tree
        sharding = NamedSharding(self.mesh, spec)
        if jax.process_count() == 1:
            return jax.device_put(tree, sharding)
        piece = lambda x: jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])
        return jax.tree.map(lambda x: piece(np.asarray(x)), tree)
