"""A trained ensemble: crystals in, samples out. Masks and padding stay inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from matjax.graph import Shape, climb, prefetch, to_graph
from matjax.nn import Model
from matjax.nn.head import noise
from matjax.nn.layout import too_large, with_room
from matjax.thermo import References
from matjax.training.conditions import charges, fidelity_index
from matjax.training.head_labels import head_scales, heads_of
from matjax.training.step import predict_step
from matjax.training.supervision import Supervision
from matjax.types import Crystal, Prediction


@dataclasses.dataclass(frozen=True, eq=False)
class GraphPredictor:
    """Ensemble of graph networks.

    Attributes:
      model: The network.
      params: Parameters with a leading member axis.
      constants: `scale` and `average_degree`, and scale and shift of every head.
      references: Added back to every prediction, in float64.
      supervision: What it was trained on.
      shape: Batch shape, and the lowest rung of a ladder for larger crystals (see `graph.climb`).
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

    def __call__(
        self,
        crystals: Sequence[Crystal],
        *,
        derivatives: tuple[str, ...] = (),
        fidelity: str | Sequence[str] | None = None,
        charge: float | Sequence[float] | np.ndarray = 0.0,
        report: Callable[[int], None] | None = None,
    ) -> Prediction:
        """Predicts crystals.

        Args:
          crystals: Any number, any size.
          derivatives: "forces", "stress" or both.
          fidelity: Level of theory to answer for, one for all or one per crystal; None for the model's first.
          charge: Total charge, one for all or one per crystal.
          report: Told after each batch how many crystals are done.

        Raises:
          ValueError: If a derivative is asked for that the training labels do not support, there are no crystals, the model
            knows no such fidelity or hears no charge, it has no place for an element (a table of elements, not descriptors), or a
            crystal is larger than it can take.
        """
        for name in derivatives:
            self.supervision.require(name)
        if not len(crystals):
            raise ValueError("no crystals to predict; the list is empty")
        for i, crystal in enumerate(crystals):
            if objection := too_large(self.model, len(crystal)):
                raise ValueError(f"crystal {i} is refused: {objection}")
        if getattr(self.model, "embedding", "") == "table":  # a row that was never trained says nothing
            self.supervision.require_elements(crystals)
        n, cutoff = len(crystals), self.model.cutoff
        asked = zip(crystals, fidelity_index(self.model, fidelity, n), charges(self.model, charge, n), strict=True)
        graphs = (to_graph(c, cutoff=cutoff, index=i, fidelity=f, charge=q) for i, (c, f, q) in enumerate(asked))
        parts: list[dict[str, np.ndarray]] = []
        done = 0
        packed = climb(graphs, self.shape, cutoff=cutoff)
        for batch in prefetch(packed) if n > 1 else packed:  # a thread costs what a small crystal does
            parts.append(self._one(batch, derivatives))
            done += int(batch.globals.mask.sum())
            if report is not None:
                report(done)
        n_atom = np.array([len(c) for c in crystals])
        joined = _in_order(parts, n_atom)
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
            **self._heads(joined, n_atom),
        )

    def _heads(self, joined: dict[str, np.ndarray], n_atom: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        """What the heads that were trained say, and the noise of those that have a variance."""
        scales = head_scales(self.model, self.constants)
        heads = {h: scale for h, scale in scales.items() if h.name in self.supervision.heads}
        spread = {h: joined[f"head_log_variance/{h.name}"] for h in heads if h.variance}
        return {
            "heads": {h.name: joined[f"heads/{h.name}"] for h in heads},
            "head_noise": {h.name: noise(h, values, float(heads[h]), n_atom) for h, values in spread.items()},
        }

    def _reference(self, crystals: Sequence[Crystal]) -> np.ndarray:
        """References per atom [n_member or 1, n]."""
        if not self.supervision.label:  # heads were trained alone: there is no energy to tell
            return np.full((1, len(crystals)), np.nan)
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
            return dataclasses.replace(said, samples=said.samples[:1], heads={name: x[:1] for name, x in said.heads.items()})

        return predict

    def _one(self, batch: Any, derivatives: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Host arrays of one batch, padding removed."""
        out = predict_step(self.params, self.constants, batch, model=with_room(self.model, batch), derivatives=derivatives)
        real, atoms = batch.globals.mask, batch.nodes.mask
        found = {
            "index": batch.globals.index[real],
            "energy": np.asarray(out.energy, np.float64)[:, real],
            "features": np.asarray(out.features)[0, real],
        }
        if out.log_variance is not None:
            found["log_variance"] = np.clip(np.asarray(out.log_variance, np.float64)[:, real], -8.0, 4.0)
        if out.forces is not None:
            found["forces"] = np.asarray(out.forces, np.float64)[:, atoms]
        if out.stress is not None:
            found["stress"] = np.asarray(out.stress, np.float64)[:, real]
        for head in heads_of(self.model):
            for kind in ("heads", "head_log_variance"):
                if (said := getattr(out, kind).get(head.name)) is not None:
                    found[f"{kind}/{head.name}"] = np.asarray(said, np.float64)[:, atoms if head.per == "atom" else real]
        return found


def _in_order(parts: list[dict[str, np.ndarray]], n_atom: np.ndarray) -> dict[str, np.ndarray]:
    """Answers for batches as answers for the crystals as they were given, per crystal or per atom."""
    index = np.concatenate([part.pop("index") for part in parts])
    rows, atoms = np.argsort(index), np.argsort(np.repeat(index, n_atom[index]), kind="stable")
    axis = lambda name: 0 if name == "features" else 1
    joined = {name: np.concatenate([part[name] for part in parts], axis(name)) for name in parts[0]}
    return {name: x.take(rows if x.shape[axis(name)] == len(rows) else atoms, axis(name)) for name, x in joined.items()}
