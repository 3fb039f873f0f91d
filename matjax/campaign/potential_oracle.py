"""A learned potential as an oracle: crystals relaxed side by side on the device."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from matjax.campaign.oracle import check_symbols, failed, failed_by, foreign_elements
from matjax.campaign.recipe import Recipe
from matjax.config import spec
from matjax.data.elements import SYMBOLS
from matjax.nn.sharing import count
from matjax.simulate.batch_relax import batch_relax
from matjax.simulate.dynamics import Dynamics, heated, npt
from matjax.simulate.elastic_batch import elastic_constants
from matjax.simulate.evidence import transformed
from matjax.simulate.frames import dataset, shaken
from matjax.simulate.network import network
from matjax.simulate.network_energy import network_energy
from matjax.training.predictor import GraphPredictor
from matjax.training.pretrained import NAMED, potential
from matjax.types import Crystal, Dataset, Result

NEAREST = 0.7
"""Atoms nearer than this (Å) overlap, where no potential was taught; the shortest bond there is, of H2, has 0.74."""


PADDING = 32
"""Most atoms that a stack of crystals of one shape pads the largest with."""


@spec
class Potential:
    """Measures with a potential that matjax knows by name, or that it trained; of an ensemble the mean over members.

    Elastic constants are second derivatives, so the recipe's `strain_step` has no part here.

    Attributes:
      weights: A name such as "nequix-oam-1-pft", or the path of a .nqx or .safetensors file.
      known: Symbols of the elements to use it for; the model must have been trained on them.
      recipe: How crystals are relaxed and measured; `ideal` is not for this oracle.
      batch_size: Crystals side by side in a relaxation; an accelerator wants hundreds.
      elastic_batch_size: The same for elastic constants: 1 is best on a processor, an accelerator wants more.
    """

    kind: ClassVar[str] = "potential"
    weights: str
    known: tuple[str, ...]
    recipe: Recipe = Recipe()
    batch_size: int = 32
    elastic_batch_size: int = 1

    def __post_init__(self) -> None:
        """Refuses what is no element, a batch of none, or atoms kept on ideal sites."""
        check_symbols(self.known)
        if self.batch_size < 1 or self.elastic_batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}, elastic_batch_size {self.elastic_batch_size}; both must be at least 1")
        if self.recipe.ideal:
            raise ValueError("recipe.ideal is true, but a potential relaxes positions too; leave it out")

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements it knows."""
        return self.known

    @property
    def name(self) -> str:
        """What people call it."""
        return self.weights if self.weights in NAMED else Path(self.weights).name

    @property
    def version(self) -> str:
        """The sha256 of its weights.

        Raises:
          ValueError: If there is no such file.
        """
        if self.weights in NAMED:
            return f"sha256 {NAMED[self.weights].sha256}"
        path = Path(self.weights)
        if not path.is_file():
            raise ValueError(f"no potential at {path}; give the path of a .nqx or .safetensors file, or a name: {', '.join(NAMED)}")
        return f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"

    @property
    def note(self) -> str:
        """What a reader of its numbers must know."""
        taught = f" ({NAMED[self.weights].note})" if self.weights in NAMED else ""
        return f"a learned potential{taught}: results are relative to it, not to the method that it learned from, nor to experiment"

    @property
    def max_force(self) -> float:
        """Largest force on an atom of a relaxed crystal, eV/Å."""
        return self.recipe.max_force

    @property
    def gives(self) -> tuple[str, ...]:
        """What it measures beside energy and volume."""
        return self.recipe.gives

    def self_test(self) -> dict[str, float]:
        """Loads the weights, so that what is missing is said before anything is measured.

        Raises:
          ValueError: If they are not there, or were not trained on forces, stress and the known elements.
          ConnectionError: If they have to be downloaded and cannot be.
        """
        return {"n_member": float(count(self._load().params))}

    def measure(self, crystals: Sequence[Crystal], *, elastic: bool = False, frames: bool = False) -> list[Result]:
        """One result per crystal; see `Oracle.measure`."""
        start = time.perf_counter()
        refused = {i: error for i, crystal in enumerate(crystals) if (error := foreign_elements(self, crystal))}
        rows = [i for i in range(len(crystals)) if i not in refused]
        results = {i: failed("programming", error) for i, error in refused.items()}
        try:
            found = self._measured([crystals[i] for i in rows], elastic and "elastic" in self.gives, frames and "frames" in self.gives)
        except Exception as error:  # of the weights or the device, not of a crystal
            found = [failed_by(error)] * len(rows)
        results |= dict(zip(rows, found, strict=True))
        share = (time.perf_counter() - start) / max(len(crystals), 1)
        return [dataclasses.replace(results[i], cost=share) for i in range(len(crystals))]

    def _load(self) -> GraphPredictor:
        """The predictor, able to do what is asked of it."""
        _ = self.version  # says what is missing
        predictor = potential(self.weights)
        for quantity in ("forces", "stress"):
            predictor.supervision.require(quantity)
        taught = {SYMBOLS[z] for z in predictor.supervision.elements}
        if untaught := [symbol for symbol in self.known if symbol not in taught]:
            raise ValueError(f"{self.name} was not trained on {', '.join(untaught)}; take it out of known, or train on crystals with it")
        return predictor

    def _measured(self, crystals: Sequence[Crystal], elastic: bool, frames: bool) -> list[Result]:
        """Results of crystals of known elements."""
        if not crystals:
            return []
        predictor, recipe = self._load(), self.recipe
        limits = {"max_force": recipe.max_force, "max_stress": recipe.max_stress, "n_step": recipe.max_step}
        rests = batch_relax(predictor, crystals, cell="volume", batch_size=min(self.batch_size, len(crystals)), **limits)
        results = [_judged(given, rest, recipe) for given, rest in zip(crystals, rests, strict=True)]
        if recipe.dynamics is not None:
            results = self._heated(predictor, results, recipe.dynamics)
        if elastic:
            results = _extended(results, crystals, lambda _, relaxed: self._elastic(predictor, relaxed))
        if frames:
            results = _extended(results, crystals, lambda given, relaxed: self._frames(predictor, given, relaxed))
        return results

    def _heated(self, predictor: GraphPredictor, results: Sequence[Result], settings: Dynamics) -> list[Result]:
        """The converged results with what molecular dynamics adds; energies above the references of the elements are put right again."""
        found, known = list(results), network(predictor)
        rows = [i for i, result in enumerate(found) if result.converged]
        relaxed = [crystal for i in rows if (crystal := found[i].crystal) is not None]
        if not rows:
            return found
        energy = network_energy(known, max(map(len, relaxed)) + PADDING)
        size = min(self.batch_size, len(rows))
        runs = npt(energy, relaxed, float(known.model.cutoff), settings, chunk=size, batch_size=size)
        for i, crystal, run in zip(rows, relaxed, runs, strict=True):
            offset = float(known.references[crystal.numbers].mean())
            found[i] = heated(found[i], run._replace(enthalpy=run.enthalpy + offset), settings)
        return found

    def _elastic(self, predictor: GraphPredictor, relaxed: Sequence[Crystal]) -> list[dict[str, Any]]:
        """Elastic constants of crystals whose rest has been judged: a lattice whose shape is kept may be under shear."""
        size = self.elastic_batch_size
        found = elastic_constants(predictor, relaxed, max_force=np.inf, max_stress=np.inf, chunk=size, batch_size=size)
        return [{"elastic": one.elastic} if one.converged else {"status": "failed", "error": one.error} for one in found]

    def _frames(self, predictor: GraphPredictor, given: Sequence[Crystal], relaxed: Sequence[Crystal]) -> list[dict[str, Any]]:
        """Frames of every crystal, labelled all at once."""
        recipe, size = self.recipe, self.recipe.n_copy + 2
        sets = [shaken(a, b, recipe.n_copy, recipe.max_strain, recipe.rattle) for a, b in zip(given, relaxed, strict=True)]
        labels = _labels(predictor, [frame for frames in sets for frame in frames])
        parts = [labels[i * size :][:size] for i in range(len(sets))]
        reference = predictor.supervision.reference
        return [{"frames": _frames_of(*one, self.name, reference)} for one in zip(given, sets, parts, strict=True)]


def _judged(given: Crystal, rest: Result, recipe: Recipe) -> Result:
    """The result of a relaxation, "transformed" where the crystal is no longer the one that was meant."""
    if rest.status == "failed":
        return rest
    nearest = rest.evidence["min_distance"]
    error = transformed(given, rest.evidence, recipe)
    if not error and nearest < NEAREST:
        error = f"physical: atoms overlap: the nearest two are {nearest:.2f} Å apart; at least {NEAREST} Å"
    return dataclasses.replace(rest, status="transformed", error=error) if error else rest


def _extended(
    results: Sequence[Result],
    given: Sequence[Crystal],
    of: Callable[[Sequence[Crystal], Sequence[Crystal]], Sequence[Mapping[str, Any]]],
) -> list[Result]:
    """The results, the converged ones with what a function of the given and the relaxed crystals says of them."""
    found, rows = list(results), [i for i, result in enumerate(results) if result.converged]
    relaxed = [crystal for i in rows if (crystal := results[i].crystal) is not None]
    for i, said in zip(rows, of([given[i] for i in rows], relaxed) if rows else [], strict=True):
        found[i] = dataclasses.replace(found[i], **said)
    return found


def _labels(predictor: GraphPredictor, crystals: Sequence[Crystal]) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Energy eV, forces [n_atom, 3] eV/Å and stress [3, 3] eV/Å³ of crystals as they are, the mean over members."""
    said = predictor(crystals, derivatives=("forces", "stress"))
    n_atom = np.array([len(crystal) for crystal in crystals])
    assert said.forces is not None and said.stress is not None
    forces = np.split(said.forces.mean(0), np.cumsum(n_atom)[:-1])
    return list(zip((said.samples.mean(0) * n_atom).tolist(), forces, said.stress.mean(0), strict=True))


def _frames_of(given: Crystal, frames: Sequence[Crystal], labels: Sequence[Any], source: str, reference: str) -> Dataset:
    found = dataset(given.key, frames, labels, source)
    return dataclasses.replace(found, metadata=dataclasses.replace(found.metadata, reference=reference))
