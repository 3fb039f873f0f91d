"""A trained ensemble: crystals in, samples out. Masks and padding stay inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from matjax.graph import Shape, batches, shape_for, to_graphs
from matjax.nn import Model
from matjax.thermo import References
from matjax.training.step import predict_step
from matjax.training.supervision import Supervision
from matjax.types import Crystal, Prediction


@dataclasses.dataclass(frozen=True, eq=False)
class GraphPredictor:
    """Ensemble of graph networks.

    Attributes:
      model: The network.
      params: Parameters with a leading member axis.
      constants: `scale` and `average_degree`.
      references: Added back to every prediction, in float64.
      supervision: What it was trained on.
      shape: Batch shape; a crystal that does not fit gets a shape of its own.
      history: One record per epoch of training.
      own_references: Added to the references of each member [n_member, n_element], eV/atom; None but in cross-fitting.
    """

    model: Model
    params: Any
    constants: Any
    references: References
    supervision: Supervision
    shape: Shape
    history: tuple[dict[str, float], ...] = ()
    own_references: np.ndarray | None = None

    def __call__(self, crystals: Sequence[Crystal], *, derivatives: tuple[str, ...] = ()) -> Prediction:
        """Predicts crystals.

        Args:
          crystals: Any number, any size.
          derivatives: "forces", "stress" or both.

        Raises:
          ValueError: If a derivative is asked for that the training labels do not support, or there are no crystals.
        """
        for name in derivatives:
            self.supervision.require(name)
        if not len(crystals):
            raise ValueError("no crystals to predict; the list is empty")
        graphs = to_graphs(crystals, cutoff=self.model.cutoff)
        shape = self._room_for(graphs)
        n_atom = np.array([len(c) for c in crystals])
        parts = [self._one(batch, derivatives) for batch in batches(graphs, shape, cutoff=self.model.cutoff)]
        joined = {k: np.concatenate([p[k] for p in parts], axis=0 if k == "features" else 1) for k in parts[0]}
        log_variance = joined.get("log_variance")
        return Prediction(
            samples=joined["energy"] / n_atom + self._reference(crystals),
            noise=None if log_variance is None else float(self.constants["scale"]) * np.sqrt(np.exp(log_variance).mean(0)),
            features=joined["features"],
            forces=joined.get("forces"),
            stress=joined.get("stress"),
            n_atom=n_atom,
            label=self.supervision.label,
            unit=self.supervision.unit,
        )

    def _reference(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """References per atom [n_member or 1, n]."""
        common = self.references.per_atom(crystals)[None]
        if self.own_references is None:
            return common
        return common + np.stack([References(own).per_atom(crystals) for own in self.own_references])

    def member(self, number: int) -> Callable[[Sequence[Crystal]], Prediction]:
        """One member as a predictor of its own, with its own features; it shares the ensemble's compiled program."""
        turn = lambda x: np.roll(x, -number, axis=0)
        own = None if self.own_references is None else turn(self.own_references)
        first = dataclasses.replace(self, params=jax.tree.map(turn, self.params), own_references=own)

        def predict(crystals: Sequence[Crystal]) -> Prediction:
            said = first(crystals)
            return dataclasses.replace(said, samples=said.samples[:1])

        return predict

    def _one(self, batch: Any, derivatives: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Host arrays of one batch, padding removed."""
        out = predict_step(self.params, self.constants, batch, model=self.model, derivatives=derivatives)
        real, atoms = batch.globals.mask, batch.nodes.mask
        found = {"energy": np.asarray(out.energy, np.float64)[:, real], "features": np.asarray(out.features)[0, real]}
        if out.log_variance is not None:
            found["log_variance"] = np.clip(np.asarray(out.log_variance, np.float64)[:, real], -8.0, 4.0)
        if out.forces is not None:
            found["forces"] = np.asarray(out.forces, np.float64)[:, atoms]
        if out.stress is not None:
            found["stress"] = np.asarray(out.stress, np.float64)[:, real]
        return found

    def _room_for(self, graphs: list[Any]) -> Shape:
        """The run's shape, or the next rung of a ladder of doublings that holds the largest crystal."""
        need = shape_for(graphs, 1)
        node, edge = self.shape.n_node, self.shape.n_edge
        while node < need.n_node or edge < need.n_edge:
            node, edge = 2 * node, 2 * edge
        return Shape(node, edge, self.shape.n_graph)
