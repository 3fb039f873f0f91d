"""What every round's model of crystals has in common: an ensemble that foresees properties, calibrated doubt, a memory."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import jax
import numpy as np

from matjax.campaign.arrays import replace_arrays
from matjax.thermo import Landscape, describe
from matjax.types import Candidate
from matjax.uncertainty.novelty import NoveltyScore
from matjax.value import Properties
from matjax.value.relaxed import Ensemble

if TYPE_CHECKING:
    from matjax.campaign.crystals.problem import CrystalProblem

RAW = "raw_stability"
"""Stability as the members say it, before their spread is widened."""


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A trained ensemble and what it says of the measured cells: [n_member, n] eV/atom, features [n, n_feature]."""

    predictor: Ensemble
    enthalpy: np.ndarray
    features: np.ndarray


@dataclasses.dataclass(frozen=True)
class Doubt:
    """How much wider than the members' spread their error is: std = factor * hypot(spread, floor).

    Attributes:
      factor: At least 1.
      floor: What the members cannot disagree about, eV/atom.
    """

    factor: float
    floor: float

    def widen(self, samples: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Samples [n_member, ...] with exactly that spread.

        Deviations from the mean are stretched; where the members agree to nothing, `draws` [n_member] take their place.
        """
        if len(samples) < 2:
            return samples
        mean, spread = samples.mean(0), samples.std(0, ddof=1)
        own = (draws / draws.std(ddof=1)).reshape(-1, *(1,) * (samples.ndim - 1))
        apart = spread > 1e-6
        direction = np.where(apart, (samples - mean) / np.where(apart, spread, 1.0), own)
        return mean + self.factor * np.hypot(spread, self.floor) * direction


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Beliefs:
    """What the members make of the measurements, whatever the crystals.

    Attributes:
      ground: The oracle's own landscape, of one member: first guesses of volume and stiffness, and what candidates are weighed against
        where only they are in doubt.
      draws: Where each member stands in what is left open of the three moduli and of the enthalpy, in standard deviations [4, n_member].
      novelty: Distance in the latent space.
      limit: (99th percentile, scale) of the distance of measured cells it was not fitted on.
      doubt: What the members' spread is widened to.
      compounds: Names, in the order of the landscape.
    """

    ground: Landscape
    draws: np.ndarray
    novelty: NoveltyScore
    limit: tuple[float, float]
    doubt: Doubt
    compounds: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class CrystalSurrogate(ABC):
    """One round's model of candidates that are crystals.

    Attributes:
      problem: What is sought.
      network: The ensemble.
      beliefs: What it makes of the measurements.
      facts: Plain values for the round's record.
      memory: File that predictions are kept in, so that a resumed round and the report ask for none of them again; None for no file.
    """

    problem: CrystalProblem
    network: Network
    beliefs: Beliefs
    facts: Mapping[str, Any]
    memory: Path | None = None
    _seen: dict[str, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Reads what was predicted before."""
        if self.memory is not None and self.memory.exists():
            with np.load(self.memory) as kept:
                names = [name for name in kept.files if name != "keys"]
                columns = {name: kept[name] for name in names}
                for i, key in enumerate(kept["keys"].tolist()):
                    self._seen[key] = {name: columns[name][i] for name in names}

    @abstractmethod
    def foresee(self, candidates: Sequence[Candidate]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Samples of every property and of RAW [n_member, n], the calibrated spread in them, and novelty [n]; not kept."""

    @abstractmethod
    def stability(self, candidates: Sequence[Candidate], temperature: float) -> tuple[Any, ...]:
        """Stability of candidates by every member (a `thermo.Stability`, spread not yet calibrated), and what it is made of."""

    def competitors(self, candidate: Candidate, member: int = 0) -> list[dict[str, Any]]:
        """What a member thinks the candidate would fall apart into."""
        found = self.stability([candidate], self.problem.temperature)[0]
        return describe(jax.tree.map(lambda v: v[member, 0], found), self.problem.elements, self.beliefs.compounds)

    def properties(self, candidates: Sequence[Candidate]) -> Properties:
        """Properties with the calibrated spread, one sample per member."""
        self._look_at(candidates)
        rows = [self._seen[c.key] for c in candidates]
        samples = {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0] if name not in ("novelty", RAW)}
        novelty = np.array([row["novelty"] for row in rows])
        notes = tuple({"flagged": bool(far)} for far in novelty > self.beliefs.limit[0])
        return Properties(samples, novelty, notes)

    def log_utility(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Log utility [n_member, n], at most 0."""
        return np.asarray(self.problem.utility.log_utility(self.properties(candidates).samples))

    def reward(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Pessimistic reward [n]."""
        said, beliefs = self.properties(candidates), self.beliefs
        log_utility = np.asarray(self.problem.utility.log_utility(said.samples))
        return np.asarray(self.problem.pessimism.reward(log_utility, said.novelty, beliefs.limit))

    def raw_stability(self, candidate: Candidate) -> np.ndarray:
        """Stability by every member, its spread not widened [n_member], eV/atom."""
        self._look_at([candidate])
        return self._seen[candidate.key][RAW]

    def stricter(self, factor: float) -> Self:
        """The same model with a reward that tolerates less disagreement; see `Pessimism.stricter`."""
        return dataclasses.replace(self, problem=dataclasses.replace(self.problem, pessimism=self.problem.pessimism.stricter(factor)))

    def single(self, candidates: Sequence[Candidate]) -> np.ndarray:
        """Log utility by the first network alone: its own stability, all else without doubt [n]."""
        said = self.properties(candidates).samples
        alone = {name: values.mean(0, keepdims=True) for name, values in said.items()}
        alone["stability"] = np.array([[self._seen[c.key][RAW][0] for c in candidates]])
        return np.asarray(self.problem.utility.log_utility(alone))[0]

    def _look_at(self, candidates: Sequence[Candidate]) -> None:
        """Predicts what has not been predicted yet."""
        new = list({c.key: c for c in candidates if c.key not in self._seen}.values())
        if not new:
            return
        samples, novelty = self.foresee(new)
        for i, candidate in enumerate(new):
            self._seen[candidate.key] = {name: values[:, i] for name, values in samples.items()} | {"novelty": novelty[i]}
        if self.memory is not None:
            columns = {name: np.stack([row[name] for row in self._seen.values()]) for name in next(iter(self._seen.values()))}
            replace_arrays(self.memory, {"keys": np.array(list(self._seen)), **columns})
